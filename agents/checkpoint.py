"""Where a training stands, kept so that a kill at any moment loses no more than the work since the last checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from typing import Any

from torch import Tensor

from campaigns.errors import InputError
from history.artifacts import hash_file, read_json, read_tensors, write_json, write_tensors

RECORD = "checkpoint.json"


class Checkpoints:
    """The newest checkpoint of one training.

    Tensors go into a file of their own; only when they are on the disk, `checkpoint.json` is replaced by one that names
    them and holds their hash. So at every moment there is one whole checkpoint, or none yet.

    Args:
        folder: Of this training alone.
        identity: What the training is of, plain JSON values by name; a checkpoint of another one is refused.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._folder = folder
        self._identity = dict(identity)

    @property
    def step(self) -> int | None:
        """Customer-weeks that the newest checkpoint stands at; None where there is none."""
        path = self._folder / RECORD
        return int(read_json(path)["step"]) if path.is_file() else None

    def save(self, step: int, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
        """Keep a checkpoint and drop the one before it.

        Args:
            step: Customer-weeks that are done.
            tensors: Whatever is needed to go on.
            notes: What else is needed, plain JSON values.

        Raises:
            InputError: It cannot be written.
        """
        path = self._folder / f"state-{step:012d}.safetensors"
        try:
            write_tensors(path, tensors)
            record = {"step": step, "file": path.name, "sha256": hash_file(path), "notes": dict(notes)}
            write_json(self._folder / RECORD, record | {"identity": self._identity})
            for old in self._folder.glob("state-*.safetensors"):
                if old != path:
                    old.unlink()
        except OSError as error:
            raise InputError(
                f"{path}: the checkpoint cannot be written ({error}); make room or mend the folder's rights, then run "
                "the same command again"
            ) from None

    def load(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """Return step, tensors and notes of the newest checkpoint; None where there is none.

        Raises:
            InputError: It is of another training, or its file is damaged.
        """
        path = self._folder / RECORD
        if not path.is_file():
            return None
        record = read_json(path)
        for name, value in self._identity.items():
            if record["identity"].get(name) != value:
                raise InputError(
                    f"{path}: the checkpoint was written with another {name} than is configured now; run with what it "
                    f"was, or delete {self._folder} to begin anew"
                )
        file = self._folder / record["file"]
        if not file.is_file() or hash_file(file) != record["sha256"]:
            raise InputError(f"{file}: not the file that the checkpoint names; delete {self._folder} to begin anew")
        return record["step"], read_tensors(file), record["notes"]

    def clear(self) -> None:
        """Delete everything: the training is finished."""
        rmtree(self._folder, ignore_errors=True)
