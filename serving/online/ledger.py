"""Budget and stock of every arm, exact under concurrency: reserve before the till, commit after it, or release.

A reservation holds the most that the redemption may cost and one piece of the offer's stock; a commit spends what it
did cost and gives the rest back. What was not committed in time comes back by itself. held + spent never exceeds the
limit, and a decision is redeemed once.
"""

import secrets
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import apsw

from serving.online.commits import Journal
from serving.online.events import ConflictError
from serving.online.tables import Table

FILE: Final = "ledger.sqlite"
MONEY: Final = ""
"""Offer of the row that counts an arm's money; the others count pieces."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS accounts (
  period TEXT, arm TEXT, offer TEXT, version INTEGER NOT NULL, most INTEGER NOT NULL,
  held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0), spent INTEGER NOT NULL DEFAULT 0 CHECK (spent >= 0),
  PRIMARY KEY (period, arm, offer)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS redemptions (
  id TEXT PRIMARY KEY, decision INTEGER NOT NULL, customer TEXT NOT NULL, period TEXT NOT NULL, arm TEXT NOT NULL,
  offer TEXT NOT NULL, cents INTEGER NOT NULL CHECK (cents >= 0), state TEXT NOT NULL, expires REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS once ON redemptions (decision) WHERE state IN ('reserved', 'committed');
CREATE INDEX IF NOT EXISTS expiry ON redemptions (expires) WHERE state = 'reserved';
CREATE TABLE IF NOT EXISTS keys (
  key TEXT PRIMARY KEY, asked TEXT NOT NULL, redemption TEXT NOT NULL, at REAL NOT NULL
) STRICT, WITHOUT ROWID
"""
_INDEX: Final = "CREATE INDEX IF NOT EXISTS age ON keys (at)"
_FIELDS: Final = "id, decision, customer, period, arm, offer, cents, state, expires"
KEY_SECONDS: Final = 30 * 86_400.0
"""How long an idempotency key is remembered."""


class State(Enum):
    RESERVED = "reserved"
    COMMITTED = "committed"
    RELEASED = "released"
    EXPIRED = "expired"


class RefusedError(Exception):
    """The ledger does not allow it: used up, expired, redeemed already."""


class UnknownError(Exception):
    """There is no such redemption."""


class Redemption(NamedTuple):
    """One redemption.

    Attributes:
        id: Its name.
        decision: Number of the decision.
        customer, period, arm, offer: Of the decision.
        cents: Held while reserved, spent once committed.
        state: Value of `State`.
        expires: When a reservation comes back by itself, seconds since 1970.
    """

    id: str
    decision: int
    customer: str
    period: str
    arm: str
    offer: str
    cents: int
    state: str
    expires: float


@dataclass(frozen=True)
class Wanted:
    """What is to be reserved: the attributes of `Redemption`, `cents` being the most that it may cost."""

    decision: int
    customer: str
    period: str
    arm: str
    offer: str
    cents: int


class Left(NamedTuple):
    """One account; `most`, `held` and `spent` are cents where the offer is `MONEY`, pieces elsewhere."""

    period: str
    arm: str
    offer: str
    most: int
    held: int
    spent: int


Result = TypeVar("Result")


class Ledger:
    """The ledger of a state folder; all methods may be called from any thread."""

    def __init__(self, folder: Path, now: Callable[[], float], seconds: float) -> None:
        """Open or make it.

        Args:
            folder: Of the state.
            now: Seconds since 1970.
            seconds: How long a reservation is held.

        Raises:
            InputError: It is not readable as SQLite.
        """
        self._now = now
        self._seconds = seconds
        self.caps: Mapping[str, int] = {}
        """Most that one redemption may cost [cents], by offer of the tables so far."""
        self.used_up: Collection[tuple[str, str, str]] = frozenset()
        """Period, arm and offer of what no more can be reserved of."""
        self.left: Collection[Left] = ()
        self._journal = Journal(folder / FILE, f"{_SCHEMA};{_INDEX}")

    def open_accounts(self, table: Table) -> "Future[None]":
        """Let a version's limits count for its period, beside what was spent of it before."""

        def write(connection: apsw.Connection) -> None:
            for arm, account in table.accounts.items():
                for offer, most in {MONEY: account.budget_cents, **account.stock}.items():
                    connection.execute(_OPEN, (table.period, arm, offer, table.version, most))
            self.caps = {**self.caps, **{offer.name: offer.cap_cents for offer in table.offers.values()}}

        return self._write(write)

    def reserve(self, wanted: Wanted, key: str) -> "Future[Redemption]":
        """Hold money and a piece for a redemption.

        The future ends with `RefusedError` where too little is left or the decision is redeemed already, with
        `ConflictError` where the key was used for something else.
        """
        asked = repr(("reserve", wanted))

        def write(connection: apsw.Connection) -> Redemption:
            before = _before(connection, key, asked)
            if before is not None:
                return before
            return _remember(connection, key, asked, self._reserve(connection, wanted), self._now())

        return self._write(write)

    def commit(self, name: str, cents: int, key: str) -> "Future[Redemption]":
        """Spend what a reserved redemption did cost, at most what was reserved; ends like `reserve`."""
        return self._end(name, State.COMMITTED, cents, key)

    def release(self, name: str, key: str) -> "Future[Redemption]":
        """Give a reservation back; ends like `reserve`."""
        return self._end(name, State.RELEASED, 0, key)

    def find(self, name: str) -> "Future[Redemption]":
        """Return a redemption; the future ends with `UnknownError` where there is none."""
        return self._write(lambda connection: _find(connection, name))

    def expire(self) -> "Future[None]":
        """Give back what was not committed in time."""
        return self._write(lambda connection: None)

    def close(self) -> None:
        self._journal.close()

    def _write(self, write: Callable[[apsw.Connection], Result]) -> "Future[Result]":
        def inner(connection: apsw.Connection) -> Result:
            self._expire(connection)
            result = write(connection)
            self._look(connection)
            return result

        return self._journal.submit(inner)

    def _reserve(self, connection: apsw.Connection, wanted: Wanted) -> Redemption:
        if connection.execute(_ACTIVE, (wanted.decision,)).get is not None:
            raise RefusedError("this decision is reserved or redeemed already")
        for offer, amount in ((MONEY, wanted.cents), (wanted.offer, 1)):
            place = (wanted.period, wanted.arm, offer)
            changed = connection.execute(_HOLD, (amount, *place, amount)).get
            limited = offer == MONEY or connection.execute(_ACCOUNT, place).get is not None
            if limited and changed is None:
                what = "budget" if offer == MONEY else "stock"
                raise RefusedError(f"the {what} of this arm is used up")
        made = Redemption(
            secrets.token_hex(16), wanted.decision, wanted.customer, wanted.period, wanted.arm, wanted.offer,
            wanted.cents, State.RESERVED.value, self._now() + self._seconds,
        )  # fmt: skip
        connection.execute(f"INSERT INTO redemptions ({_FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", made)
        return made

    def _end(self, name: str, state: State, cents: int, key: str) -> "Future[Redemption]":
        asked = repr((state.value, name, cents))

        def write(connection: apsw.Connection) -> Redemption:
            before = _before(connection, key, asked)
            if before is not None:
                return before
            found = _find(connection, name)
            if found.state != State.RESERVED.value:
                raise RefusedError(f"the redemption is {found.state}, no longer reserved")
            if cents > found.cents:
                raise RefusedError(f"{found.cents} cents are reserved, not {cents}; release it and reserve more")
            return _remember(connection, key, asked, _close(connection, found, state, cents), self._now())

        return self._write(write)

    def _expire(self, connection: apsw.Connection) -> None:
        now = self._now()
        for row in connection.execute(f"SELECT {_FIELDS} FROM redemptions {_DUE}", (now,)).fetchall():
            _close(connection, Redemption._make(row), State.EXPIRED, 0)

    def _look(self, connection: apsw.Connection) -> None:
        """Note what is left, for decisions to come."""
        left = [Left(*row) for row in connection.execute(_LEFT)]
        money = {(one.period, one.arm): one.most - one.held - one.spent for one in left if one.offer == MONEY}
        used = {
            (one.period, one.arm, one.offer) for one in left if one.offer != MONEY and one.held + one.spent >= one.most
        }
        dear = {
            (*place, name) for place, rest in money.items() for name, cap in self.caps.items() if cap > max(rest, 0)
        }
        self.left = left
        self.used_up = frozenset(used | dear)


_OPEN: Final = """
INSERT INTO accounts (period, arm, offer, version, most) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET version = excluded.version, most = excluded.most WHERE excluded.version >= version
"""
_ACTIVE: Final = "SELECT id FROM redemptions WHERE decision = ? AND state IN ('reserved', 'committed')"
_HOLD: Final = """
UPDATE accounts SET held = held + ? WHERE period = ? AND arm = ? AND offer = ? AND held + spent + ? <= most
RETURNING held
"""
_ACCOUNT: Final = "SELECT most FROM accounts WHERE period = ? AND arm = ? AND offer = ?"
_SETTLE: Final = "UPDATE accounts SET held = held - ?, spent = spent + ? WHERE period = ? AND arm = ? AND offer = ?"
_LEFT: Final = """
SELECT period, arm, offer, most, held, spent FROM accounts
WHERE period IN (SELECT period FROM accounts GROUP BY period ORDER BY max(version) DESC LIMIT 2)
"""
_DUE: Final = "WHERE state = 'reserved' AND expires < ?"


def _close(connection: apsw.Connection, found: Redemption, state: State, cents: int) -> Redemption:
    committed = state is State.COMMITTED
    place = (found.period, found.arm)
    connection.execute(_SETTLE, (found.cents, cents, *place, MONEY))
    connection.execute(_SETTLE, (1, int(committed), *place, found.offer))
    connection.execute("UPDATE redemptions SET state = ?, cents = ? WHERE id = ?", (state.value, cents, found.id))
    return found._replace(state=state.value, cents=cents)


def _find(connection: apsw.Connection, name: str) -> Redemption:
    row = connection.execute(f"SELECT {_FIELDS} FROM redemptions WHERE id = ?", (name,)).fetchone()
    if row is None:
        raise UnknownError("there is no such redemption")
    return Redemption._make(row)


def _before(connection: apsw.Connection, key: str, asked: str) -> Redemption | None:
    """Return the redemption that the same request made before, as it stands now."""
    row = connection.execute("SELECT asked, redemption FROM keys WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    if row[0] != asked:
        raise ConflictError("this idempotency key was used for another request")
    return _find(connection, row[1])


def _remember(connection: apsw.Connection, key: str, asked: str, made: Redemption, now: float) -> Redemption:
    connection.execute("DELETE FROM keys WHERE at < ?", (now - KEY_SECONDS,))
    connection.execute("INSERT INTO keys VALUES (?, ?, ?, ?)", (key, asked, made.id, now))
    return made
