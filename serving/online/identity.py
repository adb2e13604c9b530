"""Names of decisions: none occurs twice, none can be guessed, and each tells whether it is this customer's."""

import secrets
import time
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from re import fullmatch
from typing import Final

from campaigns.errors import InputError
from serving.durable import write_new

SECRET: Final = "decisions.key"
_BYTES: Final = 8
_SECRET_BYTES: Final = 32


class Names:
    """Makes and checks decision ids: 16 hexadecimal digits of a growing number, 16 of a keyed hash of it.

    The number begins with the nanoseconds since 1970 and grows by one per decision, so that ids stay in order over a
    restart. The hash is BLAKE2b over number, NUL and customer with the service's own key.
    """

    def __init__(self, secret: bytes, after: int = 0) -> None:
        """Begin after the last number that was written down.

        Args:
            secret: 32 bytes.
            after: Numbers begin above it.
        """
        self._keyed = blake2b(digest_size=_BYTES, key=secret)
        self._last = max(time.time_ns(), after)

    @classmethod
    def of(cls, folder: Path, after: int = 0) -> "Names":
        """Read the key of a state folder, or make one."""
        return cls(_read_secret(folder / SECRET), after)

    def make(self, customer: str) -> tuple[int, str]:
        """Return the next decision's number and its id."""
        self._last += 1
        digits = f"{self._last:016x}"
        return self._last, digits + self._mark(digits, customer)

    def number(self, decision_id: str, customer: str) -> int | None:
        """Return the number of a decision that was made here for this customer; None if it was not."""
        if not fullmatch("[0-9a-f]{32}", decision_id):
            return None
        mark = self._mark(decision_id[:16], customer)
        return int(decision_id[:16], 16) if secrets.compare_digest(mark, decision_id[16:]) else None

    def luck(self, *what: str) -> float:
        """Return a multiple of 2^-53 in [0, 1) that is always the same for the same words."""
        mark = self._keyed.copy()
        mark.update("\0".join(("luck", *what)).encode("utf-8", "surrogatepass"))
        return (int.from_bytes(mark.digest()) >> 11) * 2.0**-53

    def _mark(self, digits: str, customer: str) -> str:
        mark = self._keyed.copy()
        mark.update(f"{digits}\0{customer}".encode("utf-8", "surrogatepass"))
        return mark.hexdigest()


def _read_secret(path: Path) -> bytes:
    """Return the key of a file that only its owner reads, made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        write_new(path, secrets.token_bytes(_SECRET_BYTES), 0o600)
    secret = path.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise InputError(f"{path}: has {len(secret)} bytes; expected {_SECRET_BYTES}, remove it to make a new one")
    return secret
