"""Members of a sweep: each fails alone, with one line that is kept in `failed/`, and never takes the others along."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from experiments.children import attempt, do_apart
from history.artifacts import hash_value, read_json, write_json

FAILED = "failed"
"""Folder of a run with a record of each member of a sweep that failed."""
LOCAL_LAUNCHERS = ("basic_launcher", "joblib")
"""Their members share a process or a pool that one member could bring down; other launchers keep them apart."""


class MembersFailedError(Exception):
    """Some members of a sweep failed; carries the folder of their records and the sweep's name."""


@dataclass(frozen=True)
class Member:
    """One job of a sweep.

    Attributes:
        number: Of the job.
        overrides: Its settings, as on a command line.
        varied: Keys whose values were given several on the command line.
        searched: A sweeper wants its score; a failure must reach it as NaN.
        local: It shares its launcher's processes with other members.
    """

    number: int
    overrides: tuple[str, ...]
    varied: frozenset[str]
    searched: bool
    local: bool

    @property
    def label(self) -> str:
        """What tells this job from the others."""
        own = [override for override in self.overrides if override.split("=")[0].lstrip("+") in self.varied]
        return " ".join(own or self.overrides)


def this_member(varied: frozenset[str]) -> Member:
    """Describe the job that Hydra runs now."""
    job = HydraConfig.get()
    return Member(
        job.job.num,
        tuple(job.overrides.task),
        varied,
        "optuna" in job.sweeper["_target_"],
        any(name in job.launcher["_target_"] for name in LOCAL_LAUNCHERS),
    )


def varied_keys(arguments: Sequence[str]) -> frozenset[str]:
    """Return the keys that a command line gives several values."""
    given = [argument for argument in arguments if "=" in argument and not argument.startswith("-")]
    try:
        parsed = OverridesParser.create().parse_overrides(given)
    except HydraException:
        return frozenset()  # Hydra itself says what is wrong, with the command line as a whole in view
    return frozenset(override.get_key_element() for override in parsed if override.is_sweep_override())


def run_member(member: Member, folder: Path, sweep: str, work: Callable[[], Any]) -> Any:
    """Do a member's work; where it fails say so in one line and keep a record.

    Args:
        member: Whose work it is.
        folder: Of the run.
        sweep: Name of the sweep.
        work: What to do.

    Returns:
        What the work returned; NaN where it failed and a sweeper wants a score.

    Raises:
        MembersFailedError: It failed; all others of the sweep are still done.
    """
    ended = do_apart(work) if member.local else attempt(work)
    record = folder / FAILED / f"{hash_value(member.overrides)[:12]}.json"
    if not ended.reason:
        record.unlink(missing_ok=True)
        return ended.result
    told = {"sweep": sweep, "member": member.number, "label": member.label, "overrides": member.overrides}
    write_json(record, told | {"reason": ended.reason, "trace": ended.trace})
    where = f"; see {record}" if ended.trace else ""
    print(f"error: member {member.number} ({member.label}): {ended.reason}{where}", file=sys.stderr)
    if member.searched:
        return math.nan
    raise MembersFailedError(str(folder / FAILED), sweep)


def failures_line(error: MembersFailedError) -> str:
    """Say how many members of a sweep failed, and what to do."""
    folder, sweep = error.args
    count = sum(read_json(path)["sweep"] == sweep for path in Path(folder).glob("*.json"))
    return (
        f"{count} {'member' if count == 1 else 'members'} of the sweep failed (reasons in {folder}); the others are "
        "finished and kept. The same command tries the failed ones again"
    )
