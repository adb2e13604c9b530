"""What was sent, on disk before it counts: a repeated or broken-off hand-over makes nothing twice.

One JSON line per event, flushed to the disk: a request is begun before it leaves, and done with the platform's id once
that is known. A request that is begun and not done may or may not have arrived: the platform is asked before it is
sent again. The file holds keys, hashes and ids of the platform; no code and no credential.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from campaigns.errors import InputError
from serving.durable import sync


@dataclass(frozen=True)
class Entry:
    """The last that is known of a request; no id while it is only begun."""

    body: str  # hash of what was sent
    id: str = ""


class Journal:
    """The journal of one table on one platform, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make the journal.

        Raises:
            InputError: Another process is sending, or the file is not a journal.
        """
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._stream = os.fdopen(handle, "r+b")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._stream.close()
            raise InputError(f"{path}: another process is sending this campaign; wait for it") from None
        try:
            self._entries = self._read()
        except InputError:
            self._stream.close()
            raise
        sync(path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def get(self, key: str) -> Entry | None:
        """Return what is known of a request."""
        return self._entries.get(key)

    def begin(self, key: str, body: str) -> None:
        """Note that a request is about to leave."""
        self._append({"key": key, "body": body}, Entry(body))

    def finish(self, key: str, body: str, identity: str) -> None:
        """Note that a request has arrived, as what the platform calls it."""
        self._append({"key": key, "body": body, "id": identity}, Entry(body, identity))

    def _append(self, line: Mapping[str, Any], entry: Entry) -> None:
        self._stream.write(json.dumps(line, sort_keys=True).encode("utf-8") + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._entries[line["key"]] = entry

    def _read(self) -> dict[str, Entry]:
        """Read all whole lines and cut off a last one that a crash left torn."""
        entries: dict[str, Entry] = {}
        whole = 0
        for number, line in enumerate(self._stream, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                found = json.loads(line)
                entries[found["key"]] = Entry(found["body"], found.get("id", ""))
            except (ValueError, KeyError, TypeError):
                raise InputError(
                    f"{self._path}: line {number} is not a journal's; see what is in the shop, then move the file away"
                ) from None
            whole += len(line)
        self._stream.truncate(whole)
        self._stream.seek(whole)
        return entries
