"""The store behind the pages: what its acts say, and comparisons of versions, each made once."""

import asyncio
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool

from campaigns.errors import InputError
from serving.acts import Act, Deed, Standing
from serving.keys import Trusted
from serving.online.service import Settings
from serving.pages import office
from serving.pages.versions import Versions, Waiting, versions

if TYPE_CHECKING:  # it reads Parquet: a second that a look-up need not wait for
    from serving.store import Store

KEPT: Final = 16
"""Comparisons that are remembered; versions never change."""


class Archive:
    """Asks the store of a service, or none where that serves a folder."""

    def __init__(self, settings: Settings) -> None:
        self._root, self._trusted = settings.store, settings.trusted
        self.kept = settings.store is not None
        """Whether there is a store at all."""
        self._store: Store | None = None
        self._reading = Lock()
        self._busy = asyncio.Lock()
        self._compared: dict[tuple[int, int], Any] = {}

    async def glance(self) -> tuple[Standing | None, tuple[Waiting, ...]]:
        """Return what the acts say and what waits; nothing where there is no store, or one that cannot be read."""
        if self._root is None:
            return None, ()
        try:
            standing, trusted = await run_in_threadpool(self._standing)
        except InputError:  # the service says so on every page
            return None, ()
        return standing, versions(standing, trusted).waiting

    async def versions(self) -> Versions:
        """Return what the store holds.

        Raises:
            InputError: It cannot be read, or is not as it was signed.
        """
        return versions(*await run_in_threadpool(self._standing))

    async def compare(self, before: int, after: int) -> Any:
        """Return what changes from one version to another, as plain data.

        Raises:
            InputError: One of them is not there, or not as it was signed.
        """
        async with self._busy:  # one at a time, so that many readers take no more than one core
            if (before, after) not in self._compared:
                found = await office.ask({**self._where("compare"), "before": before, "after": after})
                self._compared = {**dict(list(self._compared.items())[1 - KEPT :]), (before, after): found}
        return self._compared[before, after]

    async def propose(self, deed: Deed, by: str, version: int, reason: str) -> tuple[Act, str]:
        """Return an act for somebody to sign, and the public key that must have signed it, in hex.

        Raises:
            InputError: It is not possible now, or not for them.
        """

        def proposed() -> tuple[Act, str]:
            with self._reading:
                store = self._opened()
                act = store.propose(deed, by, version, reason)
                return act, store.trusted.keys[by].raw.hex()

        return await run_in_threadpool(proposed)

    async def accept(self, signed: bytes) -> int:
        """Hand in what somebody signed; return the version that counts then.

        Raises:
            InputError: It is refused; the text says why.
        """
        async with self._busy:
            done = await office.ask({**self._where("accept"), "act": signed.decode()})
        return int(done)

    def _standing(self) -> tuple[Standing, Trusted]:
        with self._reading:
            store = self._opened()
            return store.standing(), store.trusted

    def _opened(self) -> "Store":
        from serving.store import Store

        if self._root is None or self._trusted is None:
            raise InputError("there is no store")
        if self._store is None:
            self._store = Store(self._root, Trusted.read(self._trusted))
        return self._store

    def _where(self, task: str) -> dict[str, Any]:
        if self._root is None:
            raise InputError("there is no store")
        return {"task": task, "store": str(self._root), "trusted": str(self._trusted)}
