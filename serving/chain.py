"""Reading the acts of a store and the pointer to the last one: nothing removed, nothing replayed."""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from campaigns.errors import InputError
from serving.acts import MOST_BYTES, Standing, file_name
from serving.durable import TEMPORARY, opened, parse, read_small, replace, sync, temporary, write_new
from serving.keys import Trusted

CURRENT: Final = "current"
ACTS: Final = "acts"
TRIES: Final = 1000
"""Times that a reader looks again where writers keep switching."""
MOST_POINTER: Final = 1 << 12


@dataclass(frozen=True)
class Pointer:
    """What `current` says: the last act, by number and hash of its file, and what counts after it.

    The act alone is believed; version and percent are for people, and must agree with it.
    """

    act: int
    sha256: str
    version: int | None
    percent: int

    @classmethod
    def to(cls, standing: Standing) -> Self:
        return cls(len(standing.acts), standing.head, standing.version, standing.percent)

    @classmethod
    def parse(cls, data: bytes, place: Path) -> Self:
        """Read the bytes of `current`.

        Raises:
            InputError: They are not as `data` writes them.
        """
        plain = parse(data, place)
        numbers = [plain.get(key) for key in ("act", "version", "percent")]
        if set(plain) == set(cls.__dataclass_fields__) and all(n is None or type(n) is int for n in numbers):
            pointer = cls(**plain)
            if pointer.data() == data:
                return pointer
        raise InputError(f"{place}: not a pointer as it is written; it was changed")

    def data(self) -> bytes:
        """Return the bytes of `current`."""
        return (json.dumps(vars(self), sort_keys=True) + "\n").encode()


class Chain:
    """The acts of a store; remembers those that it has verified, and refuses a store that goes back behind them."""

    def __init__(self, root: Path, trusted: Trusted, anchor: Path | None) -> None:
        """Look at a store.

        Args:
            root: Its folder.
            trusted: Whose signatures count.
            anchor: A file outside of the store that notes the last act that was seen.
        """
        self._root, self._trusted, self._anchor = root, trusted, anchor
        self._standing, self._heads = Standing(), list[str]()
        self._pointed = 0
        self._noted = 0

    def stamp(self) -> bytes | None:
        """Return the bytes of `current`, None where there is none.

        Raises:
            InputError: It is no regular file, or too large.
        """
        if not os.path.lexists(self._root / CURRENT):
            return None
        with opened(self._root) as handle:
            return read_small(handle, CURRENT, self._root, MOST_POINTER)

    def read(self, pointer: bool = True) -> Standing:
        """Return what the acts say, all of them verified.

        Args:
            pointer: Whether `current` must agree with them.

        Raises:
            InputError: An act or the pointer is not as it was signed, was removed, or is an older one.
        """
        stamp = self.stamp()
        for _ in range(TRIES):
            standing, heads = self._extended()
            again = self.stamp()
            if again == stamp:
                break
            stamp = again
        else:
            raise InputError(f"{self._root}: switched {TRIES} times while it was read; try again")
        if pointer:
            self._check_pointer(stamp, standing, heads)
        self._check_anchor(standing, heads)
        self._standing, self._heads = standing, heads
        return standing

    def note(self, standing: Standing) -> None:
        """Write to the anchor how far the store has come."""
        acts = len(standing.acts)
        if self._anchor is None or acts <= self._noted:
            return
        self._anchor.parent.mkdir(parents=True, exist_ok=True)
        replace(self._anchor, (json.dumps({"acts": acts, "sha256": standing.head}) + "\n").encode(), 0o644)
        self._noted = acts

    def add(self, data: bytes, standing: Standing, after: Standing) -> None:
        """Write one more act, if nobody else wrote it, and switch `current` to it.

        Args:
            data: Bytes of its file.
            standing: What counts before it.
            after: What counts after it.

        Raises:
            InputError: Another writer was first.
            OSError: The disk is full or the like; nothing is changed.
        """
        folder = self._root / ACTS
        act, pointer = temporary(folder), temporary(self._root)
        target = folder / file_name(len(after.acts))
        try:
            write_new(act, data)
            write_new(pointer, Pointer.to(after).data(), 0o644)
            try:
                os.link(act, target)  # fails where there is one
            except FileExistsError:
                raise InputError(f"{target}: another publisher was first; look at what counts and try again") from None
            try:
                sync(folder)
                pointer.replace(self._root / CURRENT)
            except BaseException:
                target.unlink()
                raise
        finally:
            for path in (act, pointer):
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def catch_up(self, standing: Standing) -> None:
        """Switch `current` to the last act, where a writer was killed before it did."""
        wanted = Pointer.to(standing).data()
        if standing.acts and self.stamp() != wanted:
            replace(self._root / CURRENT, wanted, 0o644)

    def _extended(self) -> tuple[Standing, list[str]]:
        """Return what the acts on disk say, and the hash of each; those that are known are not read again."""
        folder = self._root / ACTS
        standing, heads = self._standing, list(self._heads)
        if not os.path.lexists(folder) and not heads:
            return standing, heads
        with opened(folder) as handle:
            names = sorted(name for name in os.listdir(handle) if not name.startswith(TEMPORARY))
            if names != [file_name(number) for number in range(1, len(names) + 1)]:
                raise InputError(
                    f"{folder}: the acts are not numbered 1 to {len(names)}; one was removed or brought in"
                )
            if len(names) < len(heads):
                raise InputError(f"{folder}: has {len(names)} acts, and had {len(heads)}; the last were removed")
            for name in names[len(heads) :]:
                standing = standing.after(read_small(handle, name, folder, MOST_BYTES), self._trusted, folder / name)
                heads.append(standing.head)
        return standing, heads

    def _check_pointer(self, stamp: bytes | None, standing: Standing, heads: list[str]) -> None:
        place, last = self._root / CURRENT, len(standing.acts)
        if stamp is None:
            if last > 1 or self._pointed:
                raise InputError(f"{place}: no such file, though {last} acts were done; it was removed")
            return
        pointer = Pointer.parse(stamp, place)
        if not 1 <= pointer.act <= last:
            raise InputError(f"{place}: names act {pointer.act}, but there are {last}; acts were removed")
        if pointer.sha256 != heads[pointer.act - 1]:
            raise InputError(f"{place}: act {pointer.act} is not the one that it names; one of them was replaced")
        if last - pointer.act > 1 or pointer.act < self._pointed:
            raise InputError(
                f"{place}: names act {pointer.act}, but there are {max(last, self._pointed)}; an older one was put "
                "back. To let an earlier version count, roll back"
            )
        if pointer.act == last and pointer != Pointer.to(standing):
            raise InputError(f"{place}: says {pointer.version} for {pointer.percent} %, which act {last} does not")
        self._pointed = pointer.act

    def _check_anchor(self, standing: Standing, heads: list[str]) -> None:
        if self._anchor is None or self._noted or not self._anchor.exists():
            return
        noted: dict[str, Any] = parse(self._anchor.read_bytes(), self._anchor)
        acts = noted.get("acts")
        if type(acts) is not int or acts < 1:
            raise InputError(f"{self._anchor}: not a note of the last act; remove it if the store is known to be right")
        if acts > len(heads) or heads[acts - 1] != noted.get("sha256"):
            raise InputError(
                f"{self._root}: was seen with act {acts}, which is no longer there; an earlier state, or another "
                f"store, was put in its place. Remove {self._anchor} if that was meant"
            )
        self._noted = acts
