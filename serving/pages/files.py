"""The files of a version, for downloading: each is handed out once its bytes are those of the manifest."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from campaigns.errors import InputError
from serving.release import Release

MANIFEST: Final = "manifest.json"
UNLISTED: Final = (MANIFEST, "manifest.sig")
"""Files that no manifest lists: itself, and its signature."""
ORDER: Final = (
    "policy.xlsx",
    "policy_by_customer_spreadsheet.csv",
    "policy_by_customer.csv",
    "policy_by_customer.parquet",
    "policy.sqlite",
    "policy_by_segment.csv",
    "policy_by_budget.parquet",
    "explanations.sqlite",
    *UNLISTED,
)
"""What people open comes first."""


@dataclass(frozen=True)
class FileRow:
    """A file, its size in bytes, and the SHA-256 that the manifest says, or ""."""

    name: str
    size: int
    sha256: str


class Files:
    """Remembers which files it has verified, as long as they lie there untouched."""

    def __init__(self) -> None:
        self._verified: dict[Path, tuple[tuple[int, ...], str]] = {}

    def listed(self, release: Release) -> tuple[FileRow, ...]:
        """Return the files of a release that are there."""
        hashes: Mapping[str, str] = release.manifest["files"]
        names = [*hashes, *UNLISTED]
        known = sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
        paths = [(name, release.folder / name) for name in known]
        return tuple(
            FileRow(name, path.stat().st_size, hashes.get(name, ""))
            for name, path in paths
            if path.is_file() and not path.is_symlink()
        )

    def verified(self, release: Release, name: str) -> Path:
        """Return where a file lies, once its bytes are those that the manifest says.

        Raises:
            InputError: There is no such file, or it was changed.
        """
        row = next((one for one in self.listed(release) if one.name == name), None)
        path = release.folder / name
        if row is None:
            raise InputError(f"{release.folder}: has no file {name!r}")
        if name == MANIFEST and json.loads(path.read_bytes()) != release.manifest:
            raise InputError(f"{path}: is not the manifest of the table that counts; it is not handed out")
        found = path.stat()
        seen = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if row.sha256 and self._verified.get(path) != (seen, row.sha256):
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest != row.sha256:
                raise InputError(f"{path}: its bytes are not those that were published; it is not handed out")
            self._verified = {**dict(list(self._verified.items())[-50:]), path: (seen, row.sha256)}
        return path
