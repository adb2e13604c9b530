"""Differences of arms: published answers, closed forms, and what a covariate and a ratio do to an interval."""

import numpy as np
import pytest
from scipy import stats

from evaluation.ab.means import Mean, always_valid, cuped, difference, ratio_values, relative
from evaluation.anytime import anytime_factor
from evaluation.estimate import ratio_of_means

RNG = np.random.default_rng(0)


def test_a_sequential_interval_of_a_relative_difference_is_the_published_one() -> None:
    found = relative(Mean.of_sums(2422.7, 134698.29, 3461), Mean.of_sums(1396.87, 52377.9767, 3000))
    assert found is not None
    limits = always_valid(found, tuned_for=1000)
    assert found.value == pytest.approx(0.50336, abs=5e-6)
    assert (limits.lo, limits.hi) == (pytest.approx(-0.55844, abs=5e-6), pytest.approx(1.56516, abs=5e-6))


def test_a_sequential_interval_of_proportions_is_the_published_one() -> None:
    found = relative(Mean.of_rate(2422, 3461), Mean.of_rate(1396, 3000))
    assert found is not None
    limits = always_valid(found, tuned_for=5000)
    assert found.value == pytest.approx(0.50386, abs=5e-6)
    assert (limits.lo, limits.hi) == (pytest.approx(0.40098, abs=5e-6), pytest.approx(0.60675, abs=5e-6))


def test_a_difference_is_that_of_welch() -> None:
    ours, theirs = RNG.normal(1.0, 2.0, 40), RNG.normal(0.5, 0.7, 25)
    found = difference(Mean.of(ours), Mean.of(theirs))
    known = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval()
    assert (found.lo, found.hi) == (pytest.approx(known.low), pytest.approx(known.high))


def test_sums_say_what_values_say() -> None:
    values = RNG.gamma(2.0, 3.0, 500)
    by_sums = Mean.of_sums(float(values.sum()), float((values**2).sum()), 500)
    assert by_sums.value == pytest.approx(values.mean()) and by_sums.variance == pytest.approx(values.var(ddof=1))


def test_nothing_is_relative_to_what_may_be_nothing() -> None:
    assert relative(Mean(1.0, 1.0, 100), Mean(0.2, 1.0, 100)) is None
    assert relative(Mean(1.0, 1.0, 100), Mean(0.0, 0.0, 100)) is None
    assert relative(Mean(1.0, 1.0, 100), Mean(-2.0, 1.0, 100)) is not None


def test_arms_without_any_spread_differ_surely() -> None:
    found = difference(Mean(2.0, 0.0, 10), Mean(1.5, 0.0, 10))
    assert (found.value, found.lo, found.hi) == (0.5, 0.5, 0.5)


def test_values_of_a_ratio_have_its_mean_and_the_delta_method_s_error() -> None:
    visits = RNG.poisson(3.0, 4000).astype(np.float64)
    bought = RNG.binomial(visits.astype(int), 0.3).astype(np.float64)
    mean, known = Mean.of(ratio_values(bought, visits)), ratio_of_means(bought, visits)
    assert known is not None
    assert mean.value == pytest.approx(known.value) and mean.error == pytest.approx(known.error, rel=1e-6)


def test_a_covariate_takes_away_what_it_foretells_and_moves_no_difference() -> None:
    n = 20_000
    arm = RNG.integers(0, 3, n)
    before = RNG.normal(10.0, 2.0, n)
    values = 0.8 * before + RNG.normal(0.0, 1.2, n) + 0.5 * (arm == 1)
    adjusted, explained = cuped(values, before, arm)
    assert explained == pytest.approx(0.64, abs=0.01)
    plain, better = (difference(Mean.of(v[arm == 1]), Mean.of(v[arm == 0])) for v in (values, adjusted))
    assert better.error / plain.error == pytest.approx(np.sqrt(1 - 0.64), abs=0.01)
    assert better.lo < 0.5 < better.hi
    assert adjusted.mean() == pytest.approx(values.mean())


def test_a_covariate_that_says_nothing_or_is_constant_changes_nothing() -> None:
    values, arm = RNG.normal(size=1000), RNG.integers(0, 2, 1000)
    same, explained = cuped(values, np.full(1000, 3.0), arm)
    np.testing.assert_array_equal(same, values)
    assert explained == 0.0


def test_an_effect_in_one_arm_does_not_leak_into_the_slope() -> None:
    # Were it fitted over both arms at once, a covariate that differs between them by chance would eat the effect.
    arm = np.repeat([0, 1], 50)
    before = np.where(arm == 1, 1.0, 0.0) + 0.1 * RNG.normal(size=100)
    adjusted, _ = cuped(5.0 * arm + 0.0 * before, before, arm)
    assert adjusted[arm == 1].mean() - adjusted[arm == 0].mean() == pytest.approx(5.0)


def test_limits_at_any_look_are_tightest_about_where_they_are_tuned_for() -> None:
    width = {n: anytime_factor(n, 1000) for n in (50, 1000, 20_000)}
    assert min(width, key=lambda n: width[n]) == 1000 or width[20_000] < width[1000] * 1.1
    assert anytime_factor(1000, 1000) <= min(anytime_factor(1000, tuned) for tuned in (100, 500, 2000, 10_000))
    assert all(value > stats.norm.isf(0.025) for value in width.values())


def false_alarms(experiments: int, looks: int, seed: int) -> float:
    """Return how often 100 looks at an experiment without any effect see one somewhere."""
    rng = np.random.default_rng(seed)
    per_look = 40
    sums = np.zeros((2, experiments))
    squares = np.zeros((2, experiments))
    alarm = np.zeros(experiments, dtype=bool)
    for look in range(1, looks + 1):
        drawn = rng.gamma(1.0, 1.0, size=(2, experiments, per_look))
        sums, squares = sums + drawn.sum(axis=2), squares + (drawn**2).sum(axis=2)
        n = look * per_look
        variance = (squares - sums**2 / n) / (n - 1)
        error = np.sqrt(variance.sum(axis=0) / n)
        alarm |= np.abs(sums[0] - sums[1]) / n > anytime_factor(2 * n, 4000) * error
    return float(alarm.mean())


def test_a_hundred_looks_at_nothing_raise_few_false_alarms() -> None:
    assert false_alarms(1000, 100, seed=1) <= 0.05
