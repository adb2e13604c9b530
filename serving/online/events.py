"""What happened after decisions: impressions, clicks, redemptions and purchases, each kept once, durably."""

import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import Future
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

import apsw
import orjson

from serving.online.commits import Journal

FILE: Final = "events.sqlite"
LATE_SECONDS: Final = 7 * 86_400.0
"""An event that is older than this when it arrives is set aside, like one from the future."""
EARLY_SECONDS: Final = 3_600.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
  event_id TEXT PRIMARY KEY, kind TEXT NOT NULL, customer TEXT NOT NULL, decision INTEGER, time REAL NOT NULL,
  received REAL NOT NULL, amount_cents INTEGER, aside TEXT NOT NULL, hash BLOB NOT NULL
) STRICT, WITHOUT ROWID
"""
_FIND: Final = "SELECT hash FROM events WHERE event_id = ?"
_INSERT: Final = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Kind(Enum):
    IMPRESSION = "impression"
    CLICK = "click"
    REDEMPTION = "redemption"
    PURCHASE = "purchase"


class Event(NamedTuple):
    """One event as it was sent.

    Attributes:
        event_id: Chosen by the sender; the same event sent twice is kept once.
        kind: Value of `Kind`.
        customer: Whose it is.
        decision: Number of the decision that it follows; None if it follows none.
        time: When it happened, seconds since 1970.
        amount_cents: Money of a purchase or a redemption; None where there is none.
    """

    event_id: str
    kind: str
    customer: str
    decision: int | None
    time: float
    amount_cents: int | None

    def hash(self) -> bytes:
        return hashlib.sha256(orjson.dumps(self[1:])).digest()[:16]


class Kept(NamedTuple):
    """How many events of a batch are new, were there already, and are set aside from evaluation."""

    accepted: int
    duplicates: int
    aside: int


class ConflictError(Exception):
    """The same id or key was used for something else before."""


class Events:
    """The journal of events of a state folder."""

    def __init__(self, folder: Path) -> None:
        """Open or make it.

        Raises:
            InputError: It is not readable as SQLite.
        """
        self._journal = Journal(folder / FILE, _SCHEMA)

    def keep(self, events: Sequence[Event]) -> "Future[Kept]":
        """Keep events, all or none of them; the future ends once they are durable.

        It ends with `ConflictError` where an id was used for another event, with
        `serving.online.commits.StorageError` where the disk is full.
        """
        received = time.time()
        return self._journal.submit(lambda connection: _keep(connection, events, received))

    def close(self) -> None:
        self._journal.close()


def _keep(connection: apsw.Connection, events: Sequence[Event], received: float) -> Kept:
    accepted = duplicates = aside = 0
    for event in events:
        mark = event.hash()
        found = connection.execute(_FIND, (event.event_id,)).get
        if found is None:
            why = _aside(event, received)
            connection.execute(_INSERT, (*event[:5], received, event.amount_cents, why, mark))
            accepted, aside = accepted + 1, aside + bool(why)
        elif found == mark:
            duplicates += 1
        else:
            raise ConflictError(f"event_id {event.event_id!r} was used for another event; nothing of this was kept")
    return Kept(accepted, duplicates, aside)


def _aside(event: Event, received: float) -> str:
    if event.time < received - LATE_SECONDS:
        return "late"
    return "early" if event.time > received + EARLY_SECONDS else ""
