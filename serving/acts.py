"""Signed acts on a store: who published, approved, rolled back or rolled out what, each tied to the one before."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from hashlib import sha256
from pathlib import Path
from re import fullmatch
from typing import Any, Final

from campaigns.errors import InputError
from serving.durable import parse
from serving.keys import Role, SigningKey, Trusted
from serving.release import PERCENTS

FIRST: Final = "0" * 64
"""What the first act names as the hash of the one before."""
CONTEXT: Final = b"offersmith act 1\0"
"""Stands before the signed bytes, so that no signature serves for anything else."""
MOST_BYTES: Final = 1 << 16


class Deed(Enum):
    PUBLISH = "publish"
    APPROVE = "approve"
    ROLL_BACK = "roll_back"
    ROLL_OUT = "roll_out"


ROLES: Final = {
    Deed.PUBLISH: Role.PUBLISH,
    Deed.APPROVE: Role.APPROVE,
    Deed.ROLL_BACK: Role.ROLLBACK,
    Deed.ROLL_OUT: Role.PUBLISH,
}


@dataclass(frozen=True)
class Act:
    """What somebody did, as it is signed.

    Attributes:
        number: From 1, without a gap.
        before: SHA-256 of the file of the act before, in hex.
        deed: What was done.
        by: Name of the key.
        at: When, by the clock of who did it, UTC; for people, nothing relies on it.
        version: Of what.
        percent: Share of customers who get the version (publish, roll out).
        manifest: SHA-256 of the version's manifest (publish), in hex.
        base: Version that most customers had when it was published; None for the first.
        changed: Share of decisions that differ from those of `base` (publish); None for the first.
        waits: It counts once a second person approves it (publish).
        reason: Why (roll back).
    """

    number: int
    before: str
    deed: Deed
    by: str
    at: str
    version: int
    percent: int | None = None
    manifest: str | None = None
    base: int | None = None
    changed: float | None = None
    waits: bool = False
    reason: str = ""

    def body(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "deed": self.deed.value}

    def text(self) -> bytes:
        """Return what is signed, after `CONTEXT`."""
        return _canonical(self.body())

    def sign(self, key: SigningKey) -> bytes:
        """Return the bytes of its file."""
        return self.sealed(key.sign(CONTEXT + self.text()))

    def sealed(self, signature: bytes) -> bytes:
        """Return the bytes of its file with a signature that was made elsewhere."""
        return _canonical({"act": self.body(), "signature": signature.hex()})


@dataclass(frozen=True)
class Standing:
    """What counts after some acts.

    Attributes:
        acts: All of them.
        head: SHA-256 of the last one's file.
        version, percent: Which version counts, and for how many; None before the first.
        base: What the other customers get, where percent is below 100.
        published: The act of each version.
        approved, counted: Versions that a second person approved; that counted at some time.
    """

    acts: tuple[Act, ...] = ()
    head: str = FIRST
    version: int | None = None
    percent: int = 100
    base: int | None = None
    published: Mapping[int, Act] = field(default_factory=dict)
    approved: frozenset[int] = frozenset()
    counted: frozenset[int] = frozenset()

    @property
    def established(self) -> int | None:
        """What most customers get."""
        return self.version if self.percent == 100 else self.base

    @property
    def highest(self) -> int:
        return max(self.published, default=0)

    def waiting(self) -> tuple[int, ...]:
        """Return the versions that an approval would let count."""
        return tuple(
            number
            for number, act in self.published.items()
            if act.waits and number not in self.approved and act.base == self.established
        )

    def after(self, data: bytes, trusted: Trusted, place: Path) -> "Standing":
        """Return what counts after one more act.

        Args:
            data: Bytes of its file.
            trusted: Whose signatures count.
            place: The file, for messages.

        Raises:
            InputError: The act is not signed by somebody who may, does not follow these, or is not possible.
        """
        act = read_act(data, trusted, place)
        return replace(self.with_act(act, trusted, place), acts=(*self.acts, act), head=sha256(data).hexdigest())

    def with_act(self, act: Act, trusted: Trusted, place: Path) -> "Standing":
        """Return what would count after an act that need not be signed yet; `acts` and `head` stay as they are.

        Raises:
            InputError: It does not follow these, or is not possible.
        """
        if act.number != len(self.acts) + 1 or act.before != self.head:
            raise InputError(
                f"{place}: does not follow act {len(self.acts)}; an act was removed, changed or brought in"
            )
        return {
            Deed.PUBLISH: self._published,
            Deed.APPROVE: self._approved,
            Deed.ROLL_BACK: self._rolled_back,
            Deed.ROLL_OUT: self._rolled_out,
        }[act.deed](act, trusted, str(place))

    def _published(self, act: Act, trusted: Trusted, place: str) -> "Standing":
        if act.version <= self.highest:
            raise InputError(f"{place}: {name(act.version)} is offered as new, but {name(self.highest)} was published")
        if act.percent not in PERCENTS or act.manifest is None:
            raise InputError(f"{place}: percent is {act.percent}; expected one of {', '.join(map(str, PERCENTS))}")
        if act.base != self.established or (act.base is None) != (act.changed is None):
            raise InputError(f"{place}: was compared with {_named(act.base)}; {_named(self.established)} counts")
        if act.base is None and act.percent < 100:
            raise InputError(
                f"{place}: the first version has percent {act.percent}, and the other customers had no table; "
                "publish it with percent=100"
            )
        grown = replace(self, published={**self.published, act.version: act})
        return grown if act.waits else grown._counts(act.version, act.percent)

    def _approved(self, act: Act, trusted: Trusted, place: str) -> "Standing":
        published = self._known(act.version, place)
        if act.version in self.approved:
            raise InputError(f"{place}: {name(act.version)} is approved already")
        if _same_person(trusted, published.by, act.by):
            raise InputError(
                f"{place}: {act.by!r} published {name(act.version)} and may not approve it; ask a second person"
            )
        approved = replace(self, approved=self.approved | {act.version})
        if act.version == self.version:
            return approved
        if not published.waits:
            raise InputError(f"{place}: {name(act.version)} does not wait for an approval")
        if published.base != self.established or act.version < (self.version or 0):
            raise InputError(
                f"{place}: {name(act.version)} was compared with {_named(published.base)}, but now "
                f"{_named(self.version)} counts; publish the table again"
            )
        return approved._counts(act.version, published.percent or 100)

    def _rolled_back(self, act: Act, trusted: Trusted, place: str) -> "Standing":
        self._known(act.version, place)
        if act.version not in self.counted:
            raise InputError(f"{place}: {name(act.version)} never counted; go back to one that did: {self._past()}")
        if act.version == self.version:
            raise InputError(f"{place}: {name(act.version)} counts already; go back to another one: {self._past()}")
        if not act.reason.strip():
            raise InputError(f"{place}: no reason is given; say why it goes back")
        return replace(self, version=act.version, percent=100, base=None)

    def _rolled_out(self, act: Act, trusted: Trusted, place: str) -> "Standing":
        if self.version is None or act.version != self.version:
            raise InputError(f"{place}: {name(act.version)} is to be rolled out, but {_named(self.version)} counts")
        if act.percent not in PERCENTS or act.percent <= self.percent:
            raise InputError(
                f"{place}: {name(act.version)} is to go from {self.percent} % to {act.percent} % of the customers; "
                f"expected more, one of {', '.join(map(str, PERCENTS))}; to take it back, roll back"
            )
        return self._counts(act.version, act.percent)

    def _counts(self, version: int, percent: int) -> "Standing":
        base = None if percent == 100 else self.established
        return replace(self, version=version, percent=percent, base=base, counted=self.counted | {version})

    def _known(self, version: int, place: str) -> Act:
        if version not in self.published:
            raise InputError(f"{place}: there is no {name(version)}; versions go from 1 to {self.highest}")
        return self.published[version]

    def _past(self) -> str:
        return ", ".join(name(version) for version in sorted(self.counted - {self.version})) or "there is none"


def name(version: int) -> str:
    """Return what a version's folder is called."""
    return f"v{version:06d}"


def number(text: str) -> int:
    """Return the version that a text such as "3" or "v000003" names.

    Raises:
        InputError: It names none.
    """
    if not fullmatch(r"v?[0-9]{1,6}", text, flags=0) or not text.isascii() or not int(text.removeprefix("v")):
        raise InputError(f"version is {text!r}; expected a number from 1, as in 3 or v000003")
    return int(text.removeprefix("v"))


def file_name(act: int) -> str:
    return f"{act:06d}.json"


def read_act(data: bytes, trusted: Trusted, place: Path) -> Act:
    """Return the act of a file's bytes, once somebody who may has signed it.

    Raises:
        InputError: It is not as it is written, or not signed so.
    """
    plain = parse(data, place)
    try:
        body, signature = plain["act"], bytes.fromhex(plain["signature"])
        act = Act(**{**body, "deed": Deed(body["deed"])})
        exact = _canonical({"act": act.body(), "signature": signature.hex()}) == data
    except (KeyError, TypeError, ValueError):
        exact = False
    if not exact or not _typed(act):
        raise InputError(f"{place}: not an act as it is written; it was changed")
    trusted.check(act.by, ROLES[act.deed], CONTEXT + _canonical(body), signature, str(place), act.number)
    return act


def _typed(act: Act) -> bool:
    texts = (act.before, act.by, act.at, act.reason)
    numbers = (act.number, act.version, act.percent or 0, act.base or 0)
    share = act.changed is None or (type(act.changed) is float and 0 <= act.changed <= 1)
    whole = all(type(value) is int and value >= 0 for value in numbers)
    manifest = act.manifest is None or (type(act.manifest) is str and fullmatch("[0-9a-f]{64}", act.manifest))
    return bool(share and whole and manifest and type(act.waits) is bool and all(type(text) is str for text in texts))


def _same_person(trusted: Trusted, one: str, other: str) -> bool:
    return one == other or trusted.keys[one].raw == trusted.keys[other].raw


def _canonical(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n").encode()


def _named(version: int | None) -> str:
    return "nothing" if version is None else name(version)
