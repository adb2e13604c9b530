"""Every decision, written down with its pscore, in batches of a writer thread."""

import threading
from collections import deque
from pathlib import Path
from typing import Final, NamedTuple

import apsw
import orjson

from campaigns.errors import InputError
from serving.online.decider import Note

FILE: Final = "decisions.sqlite"
SECONDS: Final = 0.05
"""Longest time that a decision waits to be written; kill -9 loses no more than that."""
MOST_WAITING: Final = 500_000
"""Decisions that may wait; where more do, no offers are made until they are written."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS decisions (
  number INTEGER PRIMARY KEY, time REAL NOT NULL, customer TEXT NOT NULL, version INTEGER NOT NULL,
  period TEXT NOT NULL, reason TEXT NOT NULL, offer TEXT NOT NULL, arm TEXT NOT NULL, pscore REAL NOT NULL,
  valid_to TEXT
) STRICT
"""
_INSERT: Final = f"""
INSERT OR IGNORE INTO decisions SELECT {", ".join(f"value ->> {i}" for i in range(10))} FROM json_each(?)
"""
"""All rows in one statement, which runs without the interpreter's lock; row by row, every request would wait for it."""
_FIND: Final = "SELECT customer, period, offer, arm, valid_to FROM decisions WHERE number = ?"


class Made(NamedTuple):
    """What the log says of a decision; the names are its columns."""

    customer: str
    period: str
    offer: str
    arm: str
    valid_to: str | None


class DecisionLog:
    """An SQLite file in WAL mode that a thread fills."""

    def __init__(self, folder: Path) -> None:
        """Open or make the log of a state folder.

        Raises:
            InputError: It is not readable as SQLite.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        try:
            self._connection = apsw.Connection(str(path))
            self._connection.set_busy_timeout(5_000)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(_SCHEMA)
            self.last = int(self._connection.execute("SELECT coalesce(max(number), 0) FROM decisions").get)
        except apsw.Error as error:
            raise InputError(f"{path}: not usable as a log ({error}); move it away to begin a new one") from None
        self.written = 0
        self.failing = False
        self._waiting: deque[Note] = deque()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decision log", daemon=True)
        self._thread.start()

    def note(self, note: Note) -> bool:
        """Take a decision; False while the log cannot be written: then no offer may be made."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(note)
        return not self.failing

    def find(self, number: int) -> Made | None:
        """Return what was decided under a number."""
        self.flush()
        with self._lock:
            row = self._connection.execute(_FIND, (number,)).fetchone()
        return None if row is None else Made(*row)

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not waiting:
                return
            try:
                self._connection.execute(_INSERT, (orjson.dumps([_columns(note) for note in waiting]).decode(),))
            except apsw.Error:
                self._waiting.extendleft(reversed(waiting))
                self.failing = True
                return
            self.failing = False
            self.written += len(waiting)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.flush()
        self._connection.close()

    def _run(self) -> None:
        while not self._stop.wait(SECONDS):
            self.flush()


def _columns(note: Note) -> tuple[object, ...]:
    made = note.decision
    return (
        note.number, note.time, made.customer, made.version, note.period, made.reason, made.offer, made.arm,
        made.pscore, made.valid_to,
    )  # fmt: skip
