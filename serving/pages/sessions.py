"""Who is logged in: a token in a cookie stands for an API key, for a working day and as long as that key opens."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from serving.online.api_keys import Key, Keys, Scope

COOKIE: Final = "offersmith_session"
SECONDS: Final = 8 * 3_600.0
"""How long a session lasts."""
MOST: Final = 1_000
"""Sessions that are kept; beyond that the oldest ends."""
VIEWERS: Final = frozenset({Scope.DECIDE.value, Scope.PUBLISH.value})
"""Either of these opens the pages: who may ask for every customer's decision may read the table."""


@dataclass(frozen=True)
class Session:
    """Somebody who is logged in.

    Attributes:
        key: Their API key, as it was then.
        until: Seconds since 1970.
        form: What every form of theirs sends back, so that no other site can send it for them.
    """

    key: Key
    until: float
    form: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def acts(self) -> bool:
        """Whether they may send acts."""
        return Scope.PUBLISH.value in self.key.scopes


class Sessions:
    """The sessions of one process; they end with it. Of a token only its hash is kept."""

    def __init__(self, keys: Keys, now: Callable[[], float]) -> None:
        """Begin with nobody.

        Args:
            keys: API keys, looked at for every request.
            now: Seconds since 1970.
        """
        self._keys, self._now = keys, now
        self._sessions: dict[str, Session] = {}

    def begin(self, token: str) -> str | None:
        """Return the cookie of a new session for an API key; None where that opens no page."""
        key = self._keys.find(token.encode("utf-8", "replace"))
        if key is None or not VIEWERS & set(key.scopes):
            return None
        for name in [name for name, one in self._sessions.items() if one.until < self._now()]:
            del self._sessions[name]
        while len(self._sessions) >= MOST:
            del self._sessions[next(iter(self._sessions))]
        cookie = secrets.token_urlsafe(32)
        self._sessions[_hashed(cookie)] = Session(key, self._now() + SECONDS)
        return cookie

    def find(self, cookie: str) -> Session | None:
        """Return the session of a cookie, unless it is over or its key opens nothing any more."""
        found = self._sessions.get(_hashed(cookie))
        if found is None or found.until < self._now() or not self._keys.holds(found.key):
            return None
        return found

    def end(self, cookie: str) -> None:
        self._sessions.pop(_hashed(cookie), None)


def _hashed(cookie: str) -> str:
    return sha256(cookie.encode("utf-8", "replace")).hexdigest()
