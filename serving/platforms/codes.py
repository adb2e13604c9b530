"""Codes that customers type: unique, not to be guessed, and the same for the same export.

A code is HMAC-SHA256 of what it stands for under a secret key, written in an alphabet without look-alike characters. 18
characters out of 22 hold 80.2 bits: with a million codes outstanding, a guess hits one with probability below 1e-18.
The key comes from the environment or from a file that is made once; whoever has it can compute every code.

References:
    RFC 2104 (HMAC); NIST SP 800-107, section 5.3 (truncated HMAC).
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from campaigns.errors import InputError
from serving.durable import write_new
from serving.platforms.lots import Lot

ALPHABET: Final = "34679ACDEFHJKMNPQRTWXY"
"""No 0 O, 1 I L, 2 Z, 5 S, 8 B, G (a 6), U V."""
LENGTH: Final = 18
GROUP: Final = 6
KEY_VARIABLE: Final = "OFFERSMITH_CODE_KEY"
LEAST_KEY: Final = 32
"""Fewest characters of a key: 128 bits in hex."""
PATTERN: Final = "-".join([f"[{ALPHABET}]{{{GROUP}}}"] * (LENGTH // GROUP))
_ANYWHERE: Final = re.compile(PATTERN, re.IGNORECASE)


@dataclass(frozen=True)
class Codes:
    """What codes are made from.

    Attributes:
        key: The secret.
        table: Hash of the policy table: another table has other codes.
    """

    key: bytes
    table: str

    def __repr__(self) -> str:
        return f"Codes(table={self.table!r})"

    def for_customers(self, lot: Lot) -> tuple[str, ...]:
        """Return one code per customer of the lot, in their order.

        Raises:
            InputError: Two of them are the same.
        """
        codes = tuple(self._code(lot.offer.name, lot.category, customer) for customer in lot.customers)
        if len(set(codes)) != len(codes):
            raise InputError(f"two codes of {lot.title!r} are the same; change {KEY_VARIABLE} and hand over again")
        return codes

    def for_all(self, lot: Lot) -> str:
        """Return the one code that all customers of the lot share."""
        return self._code(lot.offer.name, lot.category)

    def _code(self, *parts: str) -> str:
        text = "\x1f".join((self.table, *parts))
        number = int.from_bytes(hmac.new(self.key, text.encode("utf-8"), hashlib.sha256).digest())
        signs = []
        for _ in range(LENGTH):  # 256 bits onto 80: what the remainder favours is below 2^-170
            number, place = divmod(number, len(ALPHABET))
            signs.append(ALPHABET[place])
        return "-".join("".join(signs[i : i + GROUP]) for i in range(0, LENGTH, GROUP))


def read_key(path: Path, environment: Mapping[str, str]) -> bytes:
    """Return the secret of the codes: from the environment, else from the file, which is made where it is missing.

    Args:
        path: File that only its owner may read.
        environment: As `os.environ`.

    Raises:
        InputError: The key is too short to be a secret.
    """
    if KEY_VARIABLE in environment:
        return _checked(environment[KEY_VARIABLE].strip(), f"the environment variable {KEY_VARIABLE}")
    if not path.exists():
        _write_key(path)
    return _checked(path.read_text("ascii").strip(), str(path))


def hide(text: str, also: Sequence[str] = ()) -> str:
    """Return a message without the codes in it, and without the texts in `also`, for logs and errors."""
    text = _ANYWHERE.sub("[code]", text)
    for secret in also:
        text = text.replace(secret, "[secret]") if secret else text
    return text


def _checked(key: str, place: str) -> bytes:
    if len(key) < LEAST_KEY:
        raise InputError(
            f"{place} holds a key of {len(key)} characters; expected at least {LEAST_KEY}, such as "
            "`python -c 'import secrets; print(secrets.token_hex(32))'` prints"
        )
    return key.encode("utf-8")


def _write_key(path: Path) -> None:
    """Make a key whole or not at all; where two make one at the same time, the first one counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        write_new(new, f"{secrets.token_hex(32)}\n".encode("ascii"), 0o600)
        try:
            os.link(new, path)
        except FileExistsError:
            return
    finally:
        new.unlink(missing_ok=True)
