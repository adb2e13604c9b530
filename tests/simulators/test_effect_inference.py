"""Known answers and laws of clustered errors, equivalence, sensitivity and regressions within units."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.effects.crossfit import cross_fit, fold_of, ridge
from simulators.effects.inference import Effect, clustered_variance, effect_of, robustness_value, strongest_covariate
from simulators.effects.within import ratio_of_slopes, within_effects, within_fit


def test_without_clusters_of_size_above_one_the_variance_is_that_of_independent_rows() -> None:
    influence = np.random.default_rng(0).normal(size=40)
    variance, freedom = clustered_variance(influence, np.arange(40))
    assert variance == pytest.approx((influence**2).sum() * 40 / 39)
    assert freedom == 39


def test_two_ways_that_are_the_same_count_once() -> None:
    influence, cluster = np.random.default_rng(0).normal(size=60), np.repeat(np.arange(12), 5)
    assert clustered_variance(influence, cluster, cluster) == clustered_variance(influence, cluster)


def test_a_shock_shared_by_a_campaign_widens_the_interval_of_a_mean() -> None:
    rng = np.random.default_rng(1)
    campaign, household = np.repeat(np.arange(10), 50), np.tile(np.arange(50), 10)
    values = rng.normal(size=10)[campaign] + rng.normal(size=500)
    influence = (values - values.mean()) / 500
    alone, both = effect_of(influence, 0.0, household), effect_of(influence, 0.0, household, campaign)
    assert both.error > 2 * alone.error
    assert both.freedom == 9


def test_one_campaign_says_nothing_of_shocks_between_campaigns() -> None:
    influence, household = np.random.default_rng(2).normal(size=30), np.arange(30)
    one = np.zeros(30, dtype=np.int64)
    assert clustered_variance(influence, household, one) == clustered_variance(influence, household)


def test_noise_does_not_pass_for_equivalence() -> None:
    vague, sharp = (Effect(0.0, error, -2 * error, 2 * error, 100, 500) for error in (1.0, 0.1))
    assert vague.equivalence_p(0.5) > 0.05
    assert sharp.equivalence_p(0.5) < 0.001
    assert Effect(0.6, 0.01, 0.58, 0.62, 100, 500).equivalence_p(0.5) > 0.5


def test_the_robustness_value_is_that_of_the_published_example() -> None:
    # Cinelli & Hazlett (2020), table 1: Darfur, t = 4.18 with 783 degrees of freedom.
    assert robustness_value(4.184, 783) == pytest.approx(0.139, abs=0.001)
    assert robustness_value(4.184, 783, critical=1.963) == pytest.approx(0.076, abs=0.001)
    assert robustness_value(0.5, 783, critical=1.96) == 0.0


def test_the_strongest_covariate_is_found_with_its_share() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4000, 3))
    best, share = strongest_covariate(x, 0.2 * x[:, 0] - 0.5 * x[:, 1] + rng.normal(size=4000))
    assert best == 1
    assert share == pytest.approx(0.25 / 1.25, abs=0.03)


def test_regression_within_units_is_the_one_with_a_dummy_each() -> None:
    rng = np.random.default_rng(4)
    unit, time = np.repeat(np.arange(30), 12), np.tile(np.arange(12), 30)
    keep = rng.random(360) < 0.8  # gaps, so that sweeping once would not do
    x = rng.normal(size=(360, 2)) + 0.3 * unit[:, None] + np.sin(time)[:, None]
    y = x @ [0.5, -0.2] + unit + time + rng.normal(size=360)
    design = np.column_stack([x, np.eye(30)[unit], np.eye(12)[time]])[keep]
    expected = np.linalg.lstsq(design, y[keep], rcond=None)[0][:2]
    found = within_effects(y[keep], x[keep], unit[keep], time[keep], unit[keep])
    assert found is not None
    np.testing.assert_allclose([effect.value for effect in found], expected, atol=1e-6)


def test_a_ratio_of_slopes_has_the_spread_of_repeated_worlds() -> None:
    ratios, errors = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        unit, time = np.repeat(np.arange(60), 20), np.tile(np.arange(20), 60)
        x = rng.normal(size=(1200, 2))
        fitted = within_fit(x @ [-0.4, 1.0] + rng.normal(size=1200), x, unit, time)
        assert fitted is not None
        ratio = ratio_of_slopes(*fitted, 0, 1, unit)
        ratios.append(ratio.value)
        errors.append(ratio.error)
    assert np.mean(ratios) == pytest.approx(-0.4, abs=4 * np.std(ratios) / 60**0.5)
    assert np.mean(errors) == pytest.approx(np.std(ratios), rel=0.3)


def test_nothing_that_varies_gives_no_estimate() -> None:
    unit, time = np.repeat(np.arange(30), 10), np.tile(np.arange(10), 30)
    flat, noise = np.ones((300, 1)), np.random.default_rng(0).normal(size=300)
    assert within_effects(noise, flat, unit, time, unit) is None
    assert within_effects(flat[:, 0], noise[:, None], unit, time, unit) is None
    assert within_effects(noise, unit[:, None].astype(float), unit, time, unit) is None


@given(st.integers(1, 40), st.integers(0, 5))
def test_rows_of_a_household_share_a_fold(households: int, seed: int) -> None:
    cluster = np.repeat(np.arange(households), 3)
    fold = fold_of(cluster, seed).reshape(households, 3)
    assert (fold == fold[:, :1]).all()


def test_what_a_fold_says_of_itself_is_not_used() -> None:
    rng = np.random.default_rng(5)
    x, y, fold = rng.normal(size=(90, 4)), rng.normal(size=90), np.arange(90) % 3
    learn = np.ones(90, dtype=bool)
    changed = np.where(fold == 1, y + 100.0, y)
    before, after = (cross_fit(ridge(), x, target, fold, learn) for target in (y, changed))
    np.testing.assert_array_equal(before[fold == 1], after[fold == 1])
    assert not np.allclose(before[fold == 0], after[fold == 0])
