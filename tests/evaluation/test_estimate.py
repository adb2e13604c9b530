"""Estimates have the right value, and intervals that hold what they promise."""

import numpy as np
import pytest
from scipy import stats

from evaluation.estimate import estimate_mean, middle_95, middle_95_of_each, ratio_of_means, resample_clusters


def test_the_mean_of_customers_alone_has_the_interval_of_the_textbook() -> None:
    values = np.random.default_rng(0).normal(2.0, 3.0, 50)
    found = estimate_mean(values)
    lo, hi = stats.t.interval(0.95, 49, values.mean(), stats.sem(values))
    assert (found.value, found.error) == pytest.approx((values.mean(), stats.sem(values)))
    assert (found.lo, found.hi) == pytest.approx((lo, hi))
    assert found.n == 50


def test_an_axis_of_length_one_adds_nothing() -> None:
    values = np.random.default_rng(0).normal(2.0, 3.0, 50)
    assert estimate_mean(values.reshape(1, 1, 50)) == estimate_mean(values)


def test_what_seeds_and_customers_add_is_summed() -> None:
    seeds, customers = np.array([0.0, 3.0, 6.0]), np.array([-1.0, 0.0, 1.0, 4.0])
    found = estimate_mean(seeds[:, None] + customers[None, :])
    parts = [(seeds.var(ddof=1) / 3, 2), (customers.var(ddof=1) / 4, 3)]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / df for part, df in parts)
    assert found.value == pytest.approx(seeds.mean() + customers.mean())
    assert found.error == pytest.approx(variance**0.5)
    assert found.hi - found.value == pytest.approx(stats.t.ppf(0.975, freedom) * variance**0.5)


def test_values_that_are_all_the_same_have_no_error() -> None:
    found = estimate_mean(np.full((3, 4, 5), 7.0))
    assert (found.value, found.error, found.lo, found.hi) == (7.0, 0.0, 7.0, 7.0)
    assert found.above_zero
    assert not estimate_mean(np.zeros((2, 3))).above_zero


def covered(shape: tuple[int, int, int], spreads: tuple[float, float, float], noise: float, runs: int) -> float:
    """Return how often the interval holds the true mean 1 of crossed seeds, draws and customers."""
    rng, hits = np.random.default_rng(12), 0
    for _ in range(runs):
        parts = [spread * rng.normal(size=n) for n, spread in zip(shape, spreads, strict=True)]
        values = 1.0 + noise * rng.normal(size=shape)
        for axis, part in enumerate(parts):
            values += np.expand_dims(part, tuple(i for i in range(3) if i != axis))
        estimate = estimate_mean(values)
        hits += estimate.lo <= 1.0 <= estimate.hi
    return hits / runs


@pytest.mark.parametrize(
    ("shape", "spreads", "noise"),
    [
        ((3, 6, 40), (0.0, 0.0, 1.0), 0.5),
        ((3, 6, 40), (0.3, 0.3, 1.0), 0.5),
        ((5, 10, 40), (1.0, 0.5, 0.2), 1.0),
        ((1, 8, 60), (0.0, 0.5, 1.0), 0.5),
        ((2, 4, 40), (0.5, 0.5, 1.0), 0.0),
    ],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(
    shape: tuple[int, int, int], spreads: tuple[float, float, float], noise: float
) -> None:
    runs = 500
    tolerance = 4 * (0.95 * 0.05 / runs) ** 0.5
    rate = covered(shape, spreads, noise, runs)
    assert 0.95 - tolerance <= rate <= 0.99 + 1e-9 + tolerance / 4


def test_a_ratio_has_the_error_that_a_bootstrap_finds() -> None:
    rng = np.random.default_rng(4)
    cost = rng.gamma(2.0, 1.0, 500)
    gain = 1.5 * cost + rng.normal(0.0, 1.0, 500)
    found = ratio_of_means(gain, cost)
    assert found is not None
    index = rng.integers(500, size=(4000, 500))
    resampled = gain[index].mean(axis=1) / cost[index].mean(axis=1)
    assert found.value == pytest.approx(gain.mean() / cost.mean())
    assert found.error == pytest.approx(resampled.std(), rel=0.06)
    assert (found.lo, found.hi) == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=0.2 * found.error)


def test_the_ratio_of_an_exact_proportion_has_no_error() -> None:
    cost = np.arange(1.0, 9.0)
    found = ratio_of_means(3.0 * cost, cost)
    assert found is not None
    assert (found.value, found.error) == pytest.approx((3.0, 0.0), abs=1e-12)


def test_where_nothing_was_spent_there_is_no_ratio() -> None:
    assert ratio_of_means(np.ones(5), np.zeros(5)) is None


def test_the_range_over_draws_is_the_central_95_percent() -> None:
    draws = np.linspace(0.0, 1.0, 1001)
    assert middle_95(draws) == pytest.approx((0.025, 0.975))
    lo, hi = middle_95_of_each(np.column_stack([draws, 2.0 * draws]))
    assert (*lo, *hi) == pytest.approx((0.025, 0.05, 0.975, 1.95))


def test_a_resample_draws_whole_clusters_as_many_as_there_are() -> None:
    cluster = np.array([7, 3, 7, 9, 3, 7])
    for weight in resample_clusters(cluster, 0, 50):
        drawn = {int(name): set(weight[cluster == name]) for name in (3, 7, 9)}
        assert all(len(times) == 1 for times in drawn.values())
        assert sum(times.pop() for times in drawn.values()) == 3
