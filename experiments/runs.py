"""A run's folder: steps that know what they came from, skip what is done and refuse what does not belong together."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaigns.errors import InputError
from experiments.circumstances import CIRCUMSTANCES
from history.artifacts import hash_file, hash_value, read_json, write_json

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes:
        folder: Where it writes.
        verb: The command that makes it.
        settings: The part of the configuration that it depends on, plain values.
        inputs: Folders of the steps that it reads, by name.
    """

    folder: Path
    verb: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Path]

    def key(self) -> dict[str, Any]:
        """Return what decides the step's result: its settings, and the manifests of its inputs, as hashes."""
        inputs = {name: hash_file(_finished(path)) for name, path in self.inputs.items()}
        return {"verb": self.verb, "settings": hash_value(self.settings), "inputs": inputs}

    def is_done(self) -> bool:
        """Return whether the step was finished with the same settings from the same inputs, and is still intact."""
        path = self.folder / MANIFEST
        if not path.is_file():
            return False
        manifest = read_json(path)
        return bool(manifest["key"] == self.key() and not _damaged(self.folder, manifest))

    def finish(self, notes: Mapping[str, Any] | None = None) -> None:
        """Write the manifest: only now the step counts as done."""
        files = sorted(p for p in self.folder.rglob("*") if p.is_file() and _counts(p, self.folder))
        write_json(
            self.folder / MANIFEST,
            {
                "key": self.key(),
                "settings": self.settings,
                "files": {str(p.relative_to(self.folder)): hash_file(p) for p in files},
                "notes": dict(notes or {}),
            },
        )

    def begin(self) -> None:
        """Make the folder, and take the old manifest away so that a step that breaks off is not taken for done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / MANIFEST).unlink(missing_ok=True)


def require(folder: Path, verb: str) -> dict[str, Any]:
    """Return a finished step's manifest, having checked that its files are what it wrote.

    Raises:
        InputError: the step has not been run, or a file of it was changed or lost.
    """
    manifest: dict[str, Any] = read_json(_finished(folder, verb))
    damaged = _damaged(folder, manifest)
    if damaged:
        raise InputError(f"{folder / damaged[0]}: not the file that `{verb}` wrote; run `{verb}` again")
    return manifest


def require_same_inputs(folder: Path, verb: str, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Return a finished step's manifest, having checked that it was made from these very inputs.

    Raises:
        InputError: it was made from another version of one of them.
    """
    manifest = require(folder, verb)
    for name, path in inputs.items():
        found, now = manifest["key"]["inputs"].get(name), hash_file(_finished(path))
        if found != now:
            raise InputError(
                f"{folder}: made from another {name} ({str(found)[:8]}) than the one in {path} ({now[:8]}); run "
                f"`{verb}` again, or delete the folder"
            )
    return manifest


def require_settings(step: Step, ignored: Collection[str] = ()) -> None:
    """Check that a finished step was made with what is configured now, so that no override is silently without effect.

    Args:
        step: As the present configuration describes it.
        ignored: Settings that may differ.

    Raises:
        InputError: the step has not been run, or was made with other settings.
    """
    made = require(step.folder, step.verb)["settings"]
    for name, value in step.settings.items():
        if name not in ignored and hash_value(value) != hash_value(made.get(name)):
            raise InputError(
                f"{step.folder}: made with other settings of {name!r} than are configured now; run `{step.verb}` with "
                "them too, or leave them out here"
            )


def _finished(folder: Path, verb: str | None = None) -> Path:
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder}: not finished; run `python -m experiments.{verb or folder.name}` first")
    return path


def _damaged(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    return [
        name
        for name, digest in manifest["files"].items()
        if not (folder / name).is_file() or hash_file(folder / name) != digest
    ]


def _counts(path: Path, folder: Path) -> bool:
    """Return whether a file belongs to the step's result: not its manifest, the circumstances, logs or leftovers."""
    relative = path.relative_to(folder)
    return path.name not in (MANIFEST, CIRCUMSTANCES) and not any(
        part.startswith(".") or part == "tensorboard" for part in relative.parts
    )
