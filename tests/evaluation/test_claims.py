"""Claims over seeds: known answers of rliable, and laws that intervals and profiles keep."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.claims import (
    Claim,
    claim,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    profile_band,
)

ANSWERS: dict[str, Any] = json.loads((Path(__file__).parent / "rliable_answers.json").read_text("utf-8"))
OURS, THEIRS = ([np.array(task) for task in ANSWERS[name]] for name in ("ours", "theirs"))
THRESHOLDS = np.array(ANSWERS["thresholds"])


def agrees(found: Claim, answer: list[float]) -> None:
    """The figure is the same; limits of two bootstraps differ by their luck, some hundredths of the width."""
    value, lo, hi = answer
    assert found.value == pytest.approx(value, abs=1e-12)
    assert [found.lo, found.hi] == pytest.approx([lo, hi], abs=0.09 * (hi - lo))


@pytest.mark.parametrize("agent", ["ours", "theirs"])
def test_the_interquartile_mean_and_its_interval_are_those_of_rliable(agent: str) -> None:
    scores = {"ours": OURS, "theirs": THEIRS}[agent]
    agrees(claim(interquartile_mean, scores, resamples=1500), ANSWERS["iqm"][agent])


def test_the_probability_of_improvement_and_its_interval_are_those_of_rliable() -> None:
    agrees(claim(probability_of_improvement, OURS, THEIRS, resamples=1500), ANSWERS["improvement"])


def test_the_performance_profile_and_its_band_are_those_of_rliable() -> None:
    assert performance_profile(OURS, THRESHOLDS) == pytest.approx(np.array(ANSWERS["profile"]))
    for found, answer in zip(profile_band(OURS, THRESHOLDS), ANSWERS["band"], strict=True):
        assert np.abs(found - np.array(answer)).max() <= 1 / 30 + 1e-9  # a step of the profile is one of 30 runs


def test_two_agents_improve_on_each_other_with_chances_that_sum_to_one() -> None:
    there, back = probability_of_improvement(OURS, THEIRS), probability_of_improvement(THEIRS, OURS)
    assert there + back == pytest.approx(1.0)
    assert probability_of_improvement(OURS, OURS) == 0.5


def test_an_outlier_moves_the_interquartile_mean_less_than_the_mean() -> None:
    scores = [np.array([0.1, 0.2, 0.3, 0.4, 100.0])]
    assert interquartile_mean(scores) == pytest.approx(0.3)


def test_tasks_may_have_different_numbers_of_seeds_and_none_drops_out() -> None:
    scores = [np.array([1.0]), np.arange(2.0, 9.0)]
    found = claim(lambda drawn: float(len(drawn[0]) + 10 * len(drawn[1])), scores, resamples=20)
    assert (found.value, found.lo, found.hi) == (71.0, 71.0, 71.0)


def test_the_same_seed_gives_the_same_interval_and_another_another() -> None:
    first, again, other = (claim(interquartile_mean, OURS, seed=seed, resamples=200) for seed in (1, 1, 2))
    assert first == again != other
