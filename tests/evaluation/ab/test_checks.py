"""Whether an experiment ran as planned: alarms that are honest, effects that fade, segments that differ."""

import numpy as np
import pytest
from scipy import stats

from evaluation.ab.checks import ALARM, by_segment, check_split, holm, novelty, p_value, slopes
from evaluation.ab.means import Mean, difference

RNG = np.random.default_rng(0)
FOUR = np.array([8500.0, 500.0, 500.0, 500.0])


def test_the_split_s_p_value_is_that_of_pearson() -> None:
    counts = np.array([8400, 520, 560, 520])
    assert check_split(counts, FOUR).p_value == pytest.approx(
        stats.chisquare(counts, FOUR / FOUR.sum() * 10_000).pvalue
    )


def alarms(counts: np.ndarray, shares: np.ndarray) -> float:
    return float(np.mean([check_split(row, shares).mismatch for row in counts]))


def test_honest_splits_are_hardly_ever_called_a_mismatch() -> None:
    counts = RNG.multinomial(20_000, FOUR / FOUR.sum(), size=6000)
    expected = counts.sum(axis=1)[:, None] * FOUR / FOUR.sum()
    assert alarms(counts[:500], FOUR) <= 0.01
    assert (stats.chisquare(counts, expected, axis=1).pvalue < ALARM).mean() <= 0.001


def test_fifty_one_to_forty_nine_of_a_hundred_thousand_is_found() -> None:
    counts = RNG.multinomial(100_000, [0.51, 0.49], size=1000)
    assert alarms(counts, np.array([1.0, 1.0])) >= 0.99


def test_an_arm_that_was_to_be_empty_and_is_not_is_a_mismatch() -> None:
    assert check_split(np.array([100, 1]), np.array([1.0, 0.0])).mismatch
    assert not check_split(np.array([100, 0]), np.array([1.0, 0.0])).mismatch
    assert not check_split(np.array([0, 0]), np.array([1.0, 1.0])).mismatch


def test_holm_s_steps_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0]) and holm([]) == []


def test_a_p_value_belongs_to_its_interval() -> None:
    found = difference(Mean(0.2, 1.0, 5000), Mean(0.1, 1.0, 5000))
    assert p_value(found) == pytest.approx(2 * stats.norm.sf(found.value / found.error))
    assert p_value(difference(Mean(1.0, 0.0, 5), Mean(1.0, 0.0, 5))) == 1.0
    assert p_value(difference(Mean(1.0, 0.0, 5), Mean(2.0, 0.0, 5))) == 0.0


def test_a_slope_is_that_of_least_squares() -> None:
    values = RNG.normal(size=(5, 8))
    np.testing.assert_allclose(slopes(values), [np.polyfit(np.arange(8), row, 1)[0] for row in values])


def test_an_effect_that_wears_off_is_seen_and_a_steady_one_is_not() -> None:
    weeks = np.arange(8)
    habit = RNG.normal(5.0, 3.0, (4000, 1))  # weeks of one customer go together
    theirs = RNG.normal(5.0, 3.0, (4000, 1)) + RNG.normal(size=(4000, 8))
    fading, steady = (habit + RNG.normal(size=(4000, 8)) + effect for effect in (1.0 - 0.1 * weeks, 0.6))
    worn = novelty(fading, theirs)
    assert worn is not None and worn.hi < 0 and abs(worn.value + 0.1) < 4 * worn.error
    same = novelty(steady, theirs)
    assert same is not None and same.lo < 0 < same.hi
    assert novelty(fading[:, :2], theirs[:, :2]) is None


def test_segments_that_differ_are_told_and_small_ones_left_open() -> None:
    segment = RNG.integers(0, 3, 6000)
    segment[:30] = 3
    theirs = RNG.normal(size=6000)
    found = by_segment((RNG.normal(size=6000) + (segment == 1), segment), (theirs, segment), segments=5, least=50)
    assert [effect is None for effect in found.effects] == [False, False, False, True, True]
    assert found.p_value is not None and found.p_value < 1e-6
    one = found.effects[1]
    assert one is not None and one.lo < 1.0 < one.hi
    alike = by_segment((RNG.normal(size=6000) + 0.5, segment), (theirs, segment), segments=4, least=50)
    assert alike.p_value is not None and alike.p_value > 0.001


def test_limits_of_segments_hold_for_all_of_them_together() -> None:
    missed = 0
    for _ in range(400):
        segment = RNG.integers(0, 6, 1200)
        found = by_segment((RNG.normal(size=1200), segment), (RNG.normal(size=1200), segment), 6, 20)
        missed += any(effect is not None and not effect.lo <= 0 <= effect.hi for effect in found.effects)
    assert missed / 400 < 0.08
