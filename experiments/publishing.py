"""What is done to a store of signed tables, and in which words it is told."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from re import fullmatch

from campaigns.errors import InputError
from serving.acts import Act, Deed, Standing, name, number
from serving.keys import Role
from serving.release import PERCENTS, Release


class Task(Enum):
    """What the verb `publish` does."""

    PUBLISH = "publish"  # a run's policy table, as the next version
    APPROVE = "approve"  # a version that changes many decisions, by a second person
    ROLL_OUT = "roll_out"  # the version that counts, to more customers
    ROLL_BACK = "roll_back"  # to a version that counted before
    DIFF = "diff"  # two versions
    SHOW = "show"  # what counts, what waits, and all acts
    MEND = "mend"  # a pointer that was lost or put back
    KEYGEN = "keygen"  # a key for a person


@dataclass
class PublishConfig:
    """What to do to which store, and who signs."""

    act: Task = Task.PUBLISH
    store: str = "store"
    keys: str = "keys"  # folder of private keys
    trusted: str = ""  # folder of public keys whose signatures count; `trusted` within the keys if empty
    key: str = ""  # name of the key that signs, or that keygen makes
    roles: list[Role] = field(default_factory=lambda: [Role.PUBLISH])  # of the key that keygen makes
    policy: str = ""  # folder of the table; the run's `policy` if empty
    percent: int = 100  # of the customers who get it
    version: str = ""  # to approve, to go back to, or that a diff ends at, as in 3 or v000003
    before: str = ""  # version that a diff begins at; the one that counts if empty
    reason: str = ""  # why it goes back
    json: str = ""  # file to write a diff to, as data

    def __post_init__(self) -> None:
        if self.percent not in PERCENTS:
            raise InputError(
                f"publish.percent is {self.percent}; expected one of {', '.join(str(step) for step in PERCENTS)}"
            )
        if not fullmatch("[a-z0-9_-]*", self.key):
            raise InputError(f"publish.key is {self.key!r}; expected the name of a key, as keygen takes it")
        for text in (self.version, self.before):
            if text:
                number(text)

    def signer(self) -> str:
        """Return whose key signs.

        Raises:
            InputError: Nobody is named.
        """
        if not self.key:
            raise InputError(f"publish.key is empty; name whose key is to {self.act.value}, as in publish.key=ana")
        return self.key

    def chosen(self) -> int:
        """Return the version that is to be approved or gone back to.

        Raises:
            InputError: None is named.
        """
        if not self.version:
            raise InputError(f"publish.version is empty; name which one to {self.act.value}, as in publish.version=3")
        return number(self.version)


def told(release: Release, standing: Standing, today: date) -> str:
    """Return what a release is, and what to do next."""
    act, called = standing.published[release.version], name(release.version)
    if release.version in standing.waiting():
        return (
            f"{called}, signed by {act.by}, waits for a second person: it changes {100 * (act.changed or 0):.1f} % of "
            f"the decisions of {name(act.base or 0)}. Look at it with publish.act=diff, then publish.act=approve "
            f"publish.version={release.version} publish.key=<somebody else's>"
        )
    if release.version != standing.version:
        return f"{called} does not count"
    others = "" if release.previous is None else f", {name(release.previous.version)} for the others"
    last = str(release.manifest["not_after"])
    late = f"; its last day was {last}, so that no decision is made by it any more" if last < str(today) else ""
    return f"{called}, signed by {act.by}, counts for {release.percent} % of the customers{others}{late}"


def listed(standing: Standing) -> Iterator[str]:
    """Yield a line for each act, and one for each version that waits."""
    for act in standing.acts:
        yield f"{act.number:>4}  {act.at}  {act.by}: {_done(act)}"
    for waiting in standing.waiting():
        yield f"{name(waiting)} waits for an approval"


def _done(act: Act) -> str:
    called = name(act.version)
    if act.deed is Deed.PUBLISH:
        changed = "" if act.changed is None else f", changes {100 * act.changed:.1f} % of {name(act.base or 0)}"
        return f"published {called} for {act.percent} %{changed}{', to be approved' if act.waits else ''}"
    if act.deed is Deed.APPROVE:
        return f"approved {called}"
    if act.deed is Deed.ROLL_OUT:
        return f"gave {called} to {act.percent} %"
    return f"went back to {called}: {act.reason}"
