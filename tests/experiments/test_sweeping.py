"""A member of a sweep fails alone: one line, one record, and the next try takes the record away."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from campaigns.errors import InputError
from experiments.sweeping import FAILED, Member, MembersFailedError, failures_line, run_member, varied_keys

MEMBER = Member(3, ("name=tiny", "agent=ppo", "seed=1"), frozenset({"agent", "seed"}), searched=False, local=False)


def fail() -> float:
    raise InputError("the loss became NaN")


def test_the_keys_that_vary_are_those_with_several_values() -> None:
    line = ["-m", "name=a", "agent=ppo,lin_ts", "+launcher=joblib", "seed=range(3)", "run.agents=[ppo,lin_ts]"]
    assert varied_keys(line) == {"agent", "seed"}


def test_a_failed_member_says_so_in_one_line_and_leaves_a_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MembersFailedError) as failed:
        run_member(MEMBER, tmp_path, "now", fail)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: member 3 (agent=ppo seed=1): the loss became NaN"
    (record,) = (tmp_path / FAILED).glob("*.json")
    assert json.loads(record.read_text("utf-8"))["reason"] == "the loss became NaN"
    assert failures_line(failed.value).startswith("1 member of the sweep failed")


def test_failures_of_another_sweep_are_not_counted(tmp_path: Path) -> None:
    with pytest.raises(MembersFailedError):
        run_member(replace(MEMBER, overrides=("seed=2",)), tmp_path, "before", fail)
    with pytest.raises(MembersFailedError) as failed:
        run_member(MEMBER, tmp_path, "now", fail)
    assert failures_line(failed.value).startswith("1 member")


def test_a_member_that_succeeds_at_last_is_no_longer_recorded_as_failed(tmp_path: Path) -> None:
    with pytest.raises(MembersFailedError):
        run_member(MEMBER, tmp_path, "now", fail)
    assert run_member(MEMBER, tmp_path, "again", lambda: 0.5) == 0.5
    assert list((tmp_path / FAILED).iterdir()) == []


def test_a_sweeper_that_wants_a_score_gets_nan_from_a_failed_member(tmp_path: Path) -> None:
    assert math.isnan(run_member(replace(MEMBER, searched=True), tmp_path, "now", fail))
