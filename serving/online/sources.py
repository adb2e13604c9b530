"""Where the service gets its table from: a store of signed versions, or the folder of a run to try it."""

from pathlib import Path
from typing import Protocol

from campaigns.errors import InputError
from serving.online.tables import read_manifest
from serving.release import Release


class Source(Protocol):
    """Says which release counts; `serving.store.Store` is one."""

    def stamp(self) -> bytes | None:
        """Return what differs as soon as another release counts."""

    def current(self) -> Release:
        """Return the release that counts.

        Raises:
            InputError: There is none, or it is not as it was published.
        """


class Folder:
    """The policy folder of a run, which nobody signed: for trials on one's own machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._highest = 0

    def stamp(self) -> bytes | None:
        try:
            found = (self._folder / "manifest.json").stat()
        except OSError:
            return None
        return f"{found.st_mtime_ns} {found.st_ino} {found.st_size}".encode()

    def current(self) -> Release:
        manifest = read_manifest(self._folder)
        version = manifest.get("table_version") if isinstance(manifest, dict) else None
        if not isinstance(version, int):
            raise InputError(f"{self._folder}: its manifest has no table_version; export it again")
        if version < self._highest:
            raise InputError(
                f"{self._folder}: version {version} was offered after {self._highest}; a store can roll back"
            )
        self._highest = version
        return Release(version, self._folder, manifest)
