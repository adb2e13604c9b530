"""What is learned in synthetic shops is held against their truth; a study that broke off goes on where it stopped."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.config import Config
from experiments.recovery import run_recovery

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(configure: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Return the settings of a short study."""
    short = ("recovery.truths=6", "recovery.sizes=[2500]", "recovery.policies=[1]")
    return configure(tmp_path_factory.mktemp("recovery"), "offers=synthetic", *short)


@pytest.fixture(scope="module")
def studied(config: Config) -> Path:
    """Return the folder of the finished study."""
    return run_recovery(config).parent


def test_the_summary_sets_the_coverage_of_the_estimate_beside_that_of_the_plain_comparison(studied: Path) -> None:
    effects = json.loads((studied / "recovery.json").read_text("utf-8"))["effects"]
    assert effects["truths"] == 6
    for name in ("visit", "naive_visit"):
        assert effects[name]["estimated"] > 0
        assert 0 <= effects[name]["lo"] <= effects[name]["coverage"] <= effects[name]["hi"] <= 1
    assert abs(effects["visit"]["bias"]) < abs(effects["naive_visit"]["bias"])


def test_the_policy_that_was_learned_brings_more_than_no_offer_and_no_more_than_the_bound(studied: Path) -> None:
    (of_size,) = json.loads((studied / "recovery.json").read_text("utf-8"))["policies"]
    assert of_size["customers"] == 2_500 and of_size["truths"] == of_size["better_than_no_offer"] == 1
    assert 0 < of_size["share"]["learned"] <= 1
    assert 0.97 < of_size["share"]["best_with_the_truth"] <= 1


def test_a_study_that_is_finished_is_not_done_again_and_one_that_broke_off_goes_on(
    studied: Path, config: Config
) -> None:
    before = {name: (studied / name).read_text("utf-8") for name in ("effects.jsonl", "policies.jsonl")}
    summary = (studied / "recovery.json").read_bytes()
    run_recovery(config)
    assert {name: (studied / name).read_text("utf-8") for name in before} == before
    lines = before["effects.jsonl"].splitlines(keepends=True)
    (studied / "effects.jsonl").write_text("".join(lines[:-1]), "utf-8")
    run_recovery(config)
    assert sorted((studied / "effects.jsonl").read_text("utf-8").splitlines(keepends=True)) == sorted(lines)
    assert json.loads((studied / "recovery.json").read_text("utf-8")) == json.loads(summary)
