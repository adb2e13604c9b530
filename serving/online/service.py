"""The service behind the HTTP answers: everything with a state, opened together and closed together."""

import asyncio
import logging
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final

from campaigns.errors import InputError
from serving.durable import locked
from serving.lookup import LOOKUP
from serving.online.api_keys import Keys
from serving.online.clock import Clock
from serving.online.decider import Decider, Loaded
from serving.online.decision_log import DecisionLog
from serving.online.events import Events
from serving.online.identity import Names
from serving.online.ledger import Ledger
from serving.online.sources import Folder, Source
from serving.online.switch import Switch
from serving.online.tables import Table
from serving.release import Release, rollout_part

ANCHOR: Final = "store.anchor"
"""Notes the last act of the store that was seen, so that an older store put in its place is refused."""
LOCK_SECONDS: Final = 2.0
"""How long a service waits for one that is ending on the same state folder."""
RETRY_SECONDS: Final = 5.0
"""After which a release that could not be opened is tried again."""
_TAKEN: Final = "another service works with this state folder; end it, or give this one a serve.state of its own"
_LOG: Final = logging.getLogger("serving.online")


@dataclass(frozen=True)
class Settings:
    """What the service works with.

    Attributes:
        state: Folder of logs, ledger, keys and kill switch; one service at a time.
        store, trusted: Signed versions, and the public keys that count.
        folder: Policy folder of a run, where there is no store.
        today: Date to decide for; None for the day that it is.
        poll_seconds: Between looks at store, keys and kill switch.
        reserve_seconds: How long a reservation is held.
        requests_per_second: Most requests of a key.
    """

    state: Path
    store: Path | None = None
    trusted: Path | None = None
    folder: Path | None = None
    today: date | None = None
    poll_seconds: float = 0.2
    reserve_seconds: float = 900.0
    requests_per_second: float = 50_000.0

    def __post_init__(self) -> None:
        if (self.store is None) == (self.folder is None):
            raise InputError("serve: name either a store of signed tables or the policy folder of a run")
        if (self.store is None) != (self.trusted is None):
            raise InputError("serve: a store needs the folder of trusted keys, and a policy folder has no use for it")
        if not 0 < self.poll_seconds <= 1 or not self.reserve_seconds > 0 or not self.requests_per_second > 0:
            raise InputError(
                f"serve: poll_seconds {self.poll_seconds}, reserve_seconds {self.reserve_seconds}, requests_per_second "
                f"{self.requests_per_second}; expected at most 1, and more than 0"
            )


class Service:
    """All that answers need; made in the event loop's thread, which alone asks its decider."""

    def __init__(self, settings: Settings, environment: Mapping[str, str] = os.environ) -> None:
        """Open everything, the table last: what is wrong with it is told by `problem`, not raised.

        Raises:
            InputError: The state folder cannot be used, or another service uses it.
        """
        self.settings = settings
        self._alone = ExitStack()
        self._alone.enter_context(locked(settings.state, LOCK_SECONDS, ".lock-service", _TAKEN))
        self.clock = Clock(settings.today)
        self.switch = Switch(settings.state, environment)
        self.keys = Keys(settings.state)
        self.log = DecisionLog(settings.state)
        self.names = Names.of(settings.state, self.log.last)
        self.events = Events(settings.state)
        self.ledger = Ledger(settings.state, self.clock.now, settings.reserve_seconds)
        self.decider = Decider(
            self.names, self.clock, self.log.note, lambda: self.switch.killed, lambda: self.ledger.used_up
        )
        self.problem = ""
        self.release: Release | None = None
        self.swaps = 0
        self._source = _source(settings)
        self._seen: bytes | None = b"nothing yet"
        self._tried = 0.0
        self.refresh()

    @property
    def state(self) -> str:
        """Return ready, default (no table), stale, killed, or failing (decisions cannot be written down)."""
        if self.switch.killed:
            return "killed"
        loaded = self.decider.loaded
        if loaded is None:
            return "default"
        if self.clock.today() > loaded.table.not_after:
            return "stale"
        return "failing" if self.log.failing else "ready"

    def cap_cents(self, offer: str) -> int:
        """Return the most that one redemption of an offer may cost; 0 for none and for one that no table has."""
        return self.ledger.caps.get(offer, 0)

    def refresh(self) -> None:
        """Load the release that counts, if that is another one."""
        if self._due():
            self._swap(self._open())

    async def watch(self) -> None:
        """Look at everything again and again; opening a table does not hold up answers."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.settings.poll_seconds)
            self.switch.look()
            with suppress(InputError):
                self.keys.look()
            with suppress(Exception):  # a full disk; it is tried again
                await asyncio.wrap_future(self.ledger.expire())
            self._drop_touched()
            if self._due():
                self._swap(await loop.run_in_executor(None, self._open))

    def close(self) -> None:
        """Write down what waits and close everything."""
        self.log.close()
        self.events.close()
        self.ledger.close()
        self._alone.close()

    def _drop_touched(self) -> None:
        """Answer "no offer" from now on where a table was written to after it was verified, until one can be loaded."""
        loaded = self.decider.loaded
        if loaded is None or not any(one.touched for one in (loaded.table, loaded.before) if one is not None):
            return
        self.decider.loaded = self.release = None
        self.problem, self._tried = "the look-up file was changed where it lies; publish the table again", 0.0
        _LOG.error("the table is not used any more: %s", self.problem)
        self._close_tables(loaded)

    def _due(self) -> bool:
        stamp = self._source.stamp()
        if stamp == self._seen and (not self.problem or self.clock.now() < self._tried + RETRY_SECONDS):
            return False
        self._seen, self._tried = stamp, self.clock.now()
        return True

    def _open(self) -> tuple[Release, Loaded] | None:
        try:
            release = self._source.current()
            loaded = _load(release, verified=self.settings.store is not None)
            for table in (loaded.table, loaded.before):
                if table is not None:
                    self.ledger.open_accounts(table).result()
        except Exception as error:  # whatever is wrong with a table, the last good one goes on
            self.problem = str(error)
            _LOG.error("the table was not loaded: %s", error)
            return None
        self.problem = ""
        return release, loaded

    def _swap(self, opened: tuple[Release, Loaded] | None) -> None:
        if opened is None:
            return
        before = self.decider.loaded
        self.release, self.decider.loaded = opened
        self.swaps += 1
        if before is not None:
            self._close_tables(before)

    @staticmethod
    def _close_tables(loaded: Loaded) -> None:
        for table in (loaded.table, loaded.before):
            if table is not None:
                table.close()


def _source(settings: Settings) -> Source:
    if settings.folder is not None:
        return Folder(settings.folder)
    assert settings.store is not None and settings.trusted is not None
    from serving.store import Store, Trusted  # which reads Parquet: a second that a policy folder does not need

    return Store(settings.store, Trusted.read(settings.trusted), needed=(LOOKUP,), anchor=settings.state / ANCHOR)


def _load(release: Release, verified: bool) -> Loaded:
    previous = release.previous
    if previous is None:
        return Loaded(Table.open(release.folder, release.manifest, verified))
    table = Table.open(release.folder, release.manifest, verified)
    before = Table.open(previous.folder, previous.manifest, verified)
    return Loaded(table, release.percent, before, partial(rollout_part, table.campaign))
