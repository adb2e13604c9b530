"""A store of signed policy tables: versions that never change, signed acts on them, and which one counts.

    <store>/versions/v000001/   the table's files, manifest.json, manifest.sig; read-only
    <store>/acts/000001.json    what was done, signed; each names the hash of the one before
    <store>/current             names the last act; switched atomically

An act is what counts: `current` is switched right after it, and where a writer was killed in between, the next one does
so. Readers take no lock.
"""

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from re import fullmatch
from typing import Any, Final

from campaigns.errors import InputError
from serving.acts import ROLES, Act, Deed, Standing, name, read_act
from serving.chain import ACTS, Chain
from serving.changes import Diff, Side, changed_share, compare
from serving.durable import TEMPORARY, clearly, locked, remove, sync, temporary
from serving.keys import Role, SigningKey, Trusted
from serving.parts import CUSTOMERS_PARQUET
from serving.release import Release
from serving.versions import build, content, read_source, trace, verify

__all__ = ["Release", "SigningKey", "Store", "Trusted"]

VERSIONS: Final = "versions"
UNCHANGED: Final = "nothing was changed: what counted counts"
REMEMBERED: Final = 4
"""Verified versions whose manifests are kept in memory."""


def now() -> str:
    """Return the time of this machine's clock, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """Reads and writes a store; one instance remembers what it has verified, and for one thread at a time."""

    def __init__(
        self,
        root: Path,
        trusted: Trusted,
        *,
        needed: Collection[str] = (),
        anchor: Path | None = None,
        wait: float = 60.0,
        clock: Callable[[], str] = now,
    ) -> None:
        """Look at a store, which need not exist yet.

        Args:
            root: Its folder.
            trusted: Whose signatures count.
            needed: Files of a version that the reader uses: only they are hashed, and the rows; all if empty.
            anchor: A file outside of the store that notes the last act that was seen, so that a store which was put
                back as a whole is refused after a restart as well; none if not given.
            wait: Seconds that a writer waits for another one.
            clock: Says when an act was done.
        """
        self.root, self.trusted = Path(root), trusted
        self._needed, self._wait, self._clock = needed, wait, clock
        self._chain = Chain(self.root, trusted, anchor)
        self._verified: dict[int, tuple[Any, bool, dict[str, Any]]] = {}
        self._shares: dict[tuple[int, int], float] = {}

    def stamp(self) -> bytes | None:
        """Return what differs as soon as another release counts: the bytes of `current`, None if there is none."""
        return self._chain.stamp()

    def current(self) -> Release:
        """Return the release that counts, once all of it is verified.

        What was verified before, and lies there untouched, is not read again.

        Raises:
            InputError: Nothing was published, or something is not as it was signed; the text says what.
        """
        with clearly(self.root, "the store cannot be read"):
            standing = self._chain.read()
            release = self._release(standing)
            self._check_agreed(standing)
            self._chain.note(standing)
        return release

    def standing(self) -> Standing:
        """Return what the acts say, all of them verified, without a look at the versions.

        Raises:
            InputError: An act or `current` is not as it was signed.
        """
        with clearly(self.root, "the store cannot be read"):
            return self._chain.read()

    def history(self) -> tuple[Act, ...]:
        """Return all acts, the first one first."""
        return self.standing().acts

    def version(self, number: int) -> Release:
        """Return a version by its number, verified, whether or not it counts.

        Raises:
            InputError: There is none, or it is not as it was signed.
        """
        with clearly(self.root, "the store cannot be read"):
            return Release(number, self._folder(number), self._manifest(self._chain.read(), number))

    def diff(self, before: int, after: int) -> Diff:
        """Compare two versions.

        Raises:
            InputError: One of them is not there, or not as it was signed.
        """
        standing = self.standing()
        return compare(self._side(standing, before), self._side(standing, after), (before, after))

    def holds(self, folder: Path) -> int | None:
        """Return the version that counts, or waits, and has the same table as a run's policy folder; None if none.

        Raises:
            InputError: The folder holds no policy, or the store is not as it was signed.
        """
        standing, wanted = self.standing(), content(read_source(folder)[1])
        for number in (standing.version, *standing.waiting()):
            if number is not None and content(self._manifest(standing, number)) == wanted:
                return number
        return None

    def publish(self, folder: Path, key: SigningKey, percent: int = 100) -> Release:
        """Publish the policy folder of a run as the next version.

        It counts at once, unless it changes more decisions than `trusted.approval_above`: then once it is approved.

        Args:
            folder: What `serving.publishing.publish` wrote.
            key: With the role `publish`.
            percent: Share of the customers who get it, one of `serving.release.PERCENTS`.

        Returns:
            The new version; `standing().waiting()` names it if it waits.

        Raises:
            InputError: The table breaks a limit, the key may not do this, or the store cannot be written.
        """
        self.trusted.admit(key, Role.PUBLISH)
        with self._writing(new=True) as standing, ExitStack() as undo:
            number = standing.highest + 1
            staged, target = temporary(self.root / VERSIONS), self._folder(number)
            undo.callback(remove, staged)
            data = build(Path(folder), staged, number, key)
            base = standing.established
            changed = None if base is None else self._share(standing, base, Side.read(staged, json.loads(data)))
            waits = changed is not None and changed > self.trusted.approval_above
            terms = {"percent": percent, "base": base, "changed": changed, "waits": waits}
            act = self._act(standing, Deed.PUBLISH, key.name, number, manifest=sha256(data).hexdigest(), **terms)
            after = standing.after(act.sign(key), self.trusted, self.root)  # refused before anything is put in place
            try:
                staged.rename(target)  # fails where there is one
            except OSError as error:
                raise InputError(
                    f"{target}: cannot be put in place ({error.strerror}); nothing was published"
                ) from None
            undo.callback(remove, target)
            sync(target.parent)
            self._chain.add(act.sign(key), standing, after)
            undo.pop_all()
        standing = self.standing()
        if standing.version == number:
            return self.current()
        previous = None if percent == 100 or base is None else self.version(base)
        return Release(number, target, self._manifest(standing, number), percent, previous)

    def approve(self, version: int, key: SigningKey) -> Release:
        """Let a version count that waits for a second person.

        Args:
            version: Its number.
            key: With the role `approve`, not the publisher's.

        Raises:
            InputError: The version does not wait, what it was compared with no longer counts, or the key may not.
        """
        return self._sign(Deed.APPROVE, key, version)

    def roll_back(self, version: int, key: SigningKey, reason: str) -> Release:
        """Let a version count again that counted before, for everybody.

        Args:
            version: Its number.
            key: With the role `rollback`.
            reason: Why, for the record.

        Raises:
            InputError: The version never counted, no reason is given, or the key may not do this.
        """
        return self._sign(Deed.ROLL_BACK, key, version, reason=reason.strip())

    def roll_out(self, percent: int, key: SigningKey) -> Release:
        """Give the version that counts to more customers.

        Args:
            percent: More than now, one of `serving.release.PERCENTS`.
            key: With the role `publish`.

        Raises:
            InputError: That is not more, not one of the steps, or the key may not do this.
        """
        return self._sign(Deed.ROLL_OUT, key, percent=percent)

    def propose(self, deed: Deed, by: str, version: int, reason: str = "") -> Act:
        """Return an act for somebody to sign where their key is, once all but the signature would count.

        Raises:
            InputError: It is not possible now, or not for the key of that name.
        """
        standing = self.standing()
        act = self._act(standing, deed, by, version, reason=reason.strip())
        self.trusted.signer(by, ROLES[deed], str(self.root), act.number)
        standing.with_act(act, self.trusted, self.root)
        return act

    def accept(self, data: bytes) -> Release:
        """Do what somebody approved or rolled back, and signed elsewhere.

        Args:
            data: `Act.sealed` of what `propose` returned.

        Raises:
            InputError: It is not signed by somebody who may, another act was done since, or it is not possible.
        """
        act = read_act(data, self.trusted, self.root)
        if act.deed not in (Deed.APPROVE, Deed.ROLL_BACK):
            raise InputError(f"{self.root}: to {act.deed.value} needs the table; sign it where that is")
        with self._writing() as standing:
            self._add(data, standing, act.version)
        return self.current()

    def mend(self) -> Release:
        """Switch `current` to the last act again, where it was lost or put back, once all acts are verified.

        Raises:
            InputError: The acts or the version that counts are not as they were signed.
        """
        with clearly(self.root, UNCHANGED), locked(self.root, self._wait):
            self._chain.catch_up(self._chain.read(pointer=False))
        return self.current()

    def _release(self, standing: Standing) -> Release:
        if standing.version is None:
            raise InputError(f"{self.root}: nothing was published there; publish a table first")
        previous = None
        if standing.base is not None:
            previous = Release(standing.base, self._folder(standing.base), self._manifest(standing, standing.base))
        number = standing.version
        return Release(number, self._folder(number), self._manifest(standing, number), standing.percent, previous)

    def _check_agreed(self, standing: Standing) -> None:
        """Refuse a version that changes more decisions than its publisher said, or than one person may."""
        back = {act.version for act in standing.acts if act.deed is Deed.ROLL_BACK}
        for number in {standing.version, standing.base} - {None} - standing.approved - back:
            act = standing.published[number or 0]
            if act.base is None:
                continue
            if (act.base, act.version) not in self._shares:
                share = self._share(standing, act.base, self._side(standing, act.version))
                self._shares[act.base, act.version] = share
            if self._shares[act.base, act.version] > self.trusted.approval_above:
                raise InputError(
                    f"{self._folder(act.version)}: changes {100 * self._shares[act.base, act.version]:.1f} % of the "
                    f"decisions of {name(act.base)}, more than the {100 * self.trusted.approval_above:g} % that one "
                    "person may; let a second one approve it"
                )

    def _share(self, standing: Standing, base: int, side: Side) -> float:
        manifest = self._manifest(standing, base, compared=True)
        return changed_share(Side.read(self._folder(base), manifest), side)

    def _side(self, standing: Standing, number: int) -> Side:
        return Side.read(self._folder(number), self._manifest(standing, number))

    def _manifest(self, standing: Standing, number: int, compared: bool = False) -> dict[str, Any]:
        """Return the manifest of a version, verified unless it was and lies there untouched.

        What a version is only compared with need not be verified beyond its signature and the rows' hash.
        """
        if number not in standing.published:
            raise InputError(f"{self.root}: there is no {name(number)}; versions go from 1 to {standing.highest}")
        folder = self._folder(number)
        seen, known = trace(folder), self._verified.pop(number, None)
        if known is None or known[0] != seen or (known[1] and not compared):
            needed = (CUSTOMERS_PARQUET,) if compared else self._needed
            manifest = verify(folder, standing.published[number], self.trusted, needed, limits=not compared)
            known = seen, compared, manifest
        self._verified[number] = known
        for old in list(self._verified)[:-REMEMBERED]:
            del self._verified[old]
        return known[2]

    def _folder(self, number: int) -> Path:
        return self.root / VERSIONS / name(number)

    @contextmanager
    def _writing(self, new: bool = False) -> Iterator[Standing]:
        """Be the only writer, with what killed ones left cleared up; what is done is durable when this ends."""
        if not new and not self.root.is_dir():
            raise InputError(f"{self.root}: nothing was published there; publish a table first")
        with clearly(self.root, UNCHANGED), locked(self.root, self._wait):
            standing = self._chain.read()
            for folder in (self.root / VERSIONS, self.root / ACTS):
                folder.mkdir(exist_ok=True)
            self._clear_up(standing)
            self._chain.catch_up(standing)
            yield standing
            with clearly(self.root, "it counts, but the disk has not confirmed to keep it"):
                sync(self.root)

    def _clear_up(self, standing: Standing) -> None:
        """Remove what killed writers left: temporary files, and versions that no act published."""
        for folder in (self.root, self.root / VERSIONS, self.root / ACTS):
            for path in folder.glob(f"{TEMPORARY}*"):
                remove(path)
        for path in (self.root / VERSIONS).iterdir():
            if fullmatch("v[0-9]{6}", path.name) and int(path.name[1:]) not in standing.published:
                remove(path)

    def _act(self, standing: Standing, deed: Deed, by: str, version: int, **terms: Any) -> Act:
        return Act(len(standing.acts) + 1, standing.head, deed, by, self._clock(), version, **terms)

    def _sign(self, deed: Deed, key: SigningKey, version: int | None = None, **terms: Any) -> Release:
        """Do something to a version, the one that counts if none is given."""
        self.trusted.admit(key, ROLES[deed])
        with self._writing() as standing:
            number = standing.version if version is None else version
            if number is None:
                raise InputError(f"{self.root}: nothing was published there; publish a table first")
            self._add(self._act(standing, deed, key.name, number, **terms).sign(key), standing, number)
        return self.current()

    def _add(self, data: bytes, standing: Standing, version: int) -> None:
        """Write an act on a version down, once it is possible and the version is as it was signed."""
        after = standing.after(data, self.trusted, self.root)
        self._manifest(standing, version)
        self._chain.add(data, standing, after)
