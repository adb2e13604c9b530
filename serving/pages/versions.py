"""The versions of a store as people see them: what was done, what waits, who may do what next."""

from collections.abc import Iterator
from dataclasses import dataclass

from serving.acts import ROLES, Act, Deed, Standing
from serving.keys import Trusted


@dataclass(frozen=True)
class Waiting:
    """A version that waits for a second person.

    Attributes:
        version, base: Its number, and what it was compared with.
        by, at: Who published it, and when.
        changed: Share of the decisions that it changes.
        signers: Keys that may approve it.
    """

    version: int
    base: int | None
    by: str
    at: str
    changed: float
    signers: tuple[str, ...]


@dataclass(frozen=True)
class Versions:
    """What a store holds.

    Attributes:
        version, percent, base: What counts, for how many, and what the others get.
        acts: The last one first.
        waiting: What an approval would let count.
        earlier: Versions that may count again, the last one first.
        signers: Keys that may roll back.
        numbers: All versions, the last one first.
        above: Share of changed decisions above which two persons must agree.
    """

    version: int | None
    percent: int
    base: int | None
    acts: tuple[Act, ...]
    waiting: tuple[Waiting, ...]
    earlier: tuple[int, ...]
    signers: tuple[str, ...]
    numbers: tuple[int, ...]
    above: float


def versions(standing: Standing, trusted: Trusted) -> Versions:
    """Return what a store holds, for people."""
    return Versions(
        version=standing.version,
        percent=standing.percent,
        base=standing.base,
        acts=standing.acts[::-1],
        waiting=tuple(_waiting(standing, trusted)),
        earlier=tuple(sorted(standing.counted - {standing.version}, reverse=True)),
        signers=tuple(_signers(standing, trusted, Deed.ROLL_BACK)),
        numbers=tuple(sorted(standing.published, reverse=True)),
        above=trusted.approval_above,
    )


def pair(found: Versions) -> tuple[int, int] | None:
    """Return which two versions to compare first: what waits with what it would replace, or the last two."""
    if found.waiting:
        last = found.waiting[-1]
        return (last.base or last.version, last.version)
    before = [number for number in found.numbers if found.version is not None and number < found.version]
    return (before[0], found.version) if before and found.version is not None else None


def _waiting(standing: Standing, trusted: Trusted) -> Iterator[Waiting]:
    for number in standing.waiting():
        act = standing.published[number]
        others = (
            name
            for name in _signers(standing, trusted, Deed.APPROVE)
            if name != act.by and trusted.keys[name].raw != trusted.keys[act.by].raw
        )
        yield Waiting(number, act.base, act.by, act.at, act.changed or 0.0, tuple(others))


def _signers(standing: Standing, trusted: Trusted, deed: Deed) -> Iterator[str]:
    """Yield the names of keys that may do it next."""
    number = len(standing.acts) + 1
    for name, key in sorted(trusted.keys.items()):
        if ROLES[deed] in key.roles and (key.last_act is None or number <= key.last_act):
            yield name
