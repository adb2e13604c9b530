"""Keys of those who may call the service: random secrets of which only hashes are kept, with scopes."""

import json
import secrets
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from campaigns.errors import InputError
from serving.durable import locked, replace

FILE: Final = "keys.json"
WAIT_SECONDS: Final = 10.0
PREFIX: Final = b"osk_"
_NOBODY: Final = sha256(b"").hexdigest()


class Scope(Enum):
    """What a key opens."""

    DECIDE = "decide"  # decisions, the policy, metrics
    REDEEM = "redeem"  # events and redemptions
    PUBLISH = "publish"  # publishing, approving, rolling back
    ADMIN = "admin"  # the kill switch


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        id: Its public name: 8 hexadecimal digits.
        sha256: Of the secret, in hexadecimal digits.
        scopes: Values of `Scope`.
        note: Whose it is.
        created, expires: Seconds since 1970; it never expires where that is None.
    """

    id: str
    sha256: str
    scopes: tuple[str, ...]
    note: str
    created: float
    expires: float | None

    @property
    def over(self) -> bool:
        return self.expires is not None and self.expires < time.time()


class Keys:
    """The keys of a state folder, as of the last look at their file."""

    def __init__(self, folder: Path) -> None:
        """Read them; no file is no key.

        Raises:
            InputError: The file is there and not readable.
        """
        self._path = folder / FILE
        self._seen: tuple[int, int] | None = None
        self._keys: dict[bytes, Key] = {}
        self._found: dict[bytes, Key] = {}
        self.look()

    def __len__(self) -> int:
        return len(self._keys)

    def look(self) -> None:
        """Read the file again if it changed.

        Raises:
            InputError: It is not readable; the keys stay as they were.
        """
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._seen, self._keys, self._found = None, {}, {}
            return
        if (found.st_mtime_ns, found.st_ino) != self._seen:
            self._keys = {key.id.encode(): key for key in _read(self._path)}
            self._found = {}
            self._seen = (found.st_mtime_ns, found.st_ino)

    def find(self, token: bytes) -> Key | None:
        """Return the key that a caller's token is, in the same time for a wrong secret as for a right one."""
        key = self._found.get(token)  # of those that were right before
        if key is None:
            key = self._compare(token)
            if key is None:
                return None
            self._found[token] = key
        return None if key.over else key

    def _compare(self, token: bytes) -> Key | None:
        key = self._keys.get(token[4:12])
        expected = _NOBODY if key is None else key.sha256
        right = secrets.compare_digest(sha256(token[13:]).hexdigest(), expected)
        return key if right and token[:4] == PREFIX and token[12:13] == b"_" else None

    def holds(self, key: Key) -> bool:
        """Return whether a key still opens what it opened when it was found."""
        return self._keys.get(key.id.encode()) == key and not key.over


def create_key(folder: Path, scopes: Iterable[Scope], note: str, days: float | None = None) -> str:
    """Make a key and return its token, which is nowhere kept.

    Args:
        folder: Of the state.
        scopes: What it opens, at least one.
        note: Whose it is.
        days: Until it expires; None for never.

    Raises:
        InputError: No scope is given, or the file is not readable.
    """
    named = tuple(dict.fromkeys(scope.value for scope in scopes))
    if not named:
        raise InputError(f"a key without scopes opens nothing; name some of {', '.join(s.value for s in Scope)}")
    folder.mkdir(parents=True, exist_ok=True)
    name, secret, now = secrets.token_hex(4), secrets.token_urlsafe(32), time.time()
    expires = None if days is None else now + 86_400 * days
    key = Key(name, sha256(secret.encode()).hexdigest(), named, note, now, expires)
    path = folder / FILE
    with _alone(folder):
        _write(path, [*(_read(path) if path.exists() else []), key])
    return f"{PREFIX.decode()}{name}_{secret}"


def revoke_key(folder: Path, name: str) -> None:
    """Remove a key by its id; a running service notices within a second.

    Raises:
        InputError: There is no such key.
    """
    path = folder / FILE
    with _alone(folder):
        keys = _read(path) if path.exists() else []
        if name not in [key.id for key in keys]:
            raise InputError(f"{path}: no key {name!r}; there are {', '.join(key.id for key in keys) or 'none'}")
        _write(path, [key for key in keys if key.id != name])


def _alone(folder: Path) -> AbstractContextManager[None]:
    """Let nobody else change the keys meanwhile: a key that was removed would come back."""
    return locked(folder, WAIT_SECONDS, ".lock-keys", "the keys are being changed; try again")


def _read(path: Path) -> list[Key]:
    known = {scope.value for scope in Scope}
    try:
        entries: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["keys"]
        keys = [Key(**{**entry, "scopes": tuple(entry["scopes"])}) for entry in entries]
        if any(not set(key.scopes) <= known for key in keys):
            raise ValueError(f"a scope is none of {', '.join(sorted(known))}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not readable as API keys ({error}); move it away and make new ones") from None
    return keys


def _write(path: Path, keys: list[Key]) -> None:
    """Replace the file as a whole, for its owner's eyes alone."""
    text = json.dumps({"keys": [asdict(key) for key in keys]}, indent=1) + "\n"
    replace(path, text.encode(), 0o600)
