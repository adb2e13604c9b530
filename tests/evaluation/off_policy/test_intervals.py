"""Limits hold the truth as often as they say, and agree with each other in long logs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from campaigns.errors import InputError
from evaluation.off_policy.estimators import Shrinking, Terms, ips, snips, switch_dr
from evaluation.off_policy.intervals import (
    Bounds,
    degrees_of_freedom,
    lower_sequence,
    with_asymptotic_sequence,
    with_bernstein,
    with_bootstrap,
    with_confidence_sequence,
    with_normal,
)
from evaluation.off_policy.resampling import BLOCK, resampled_means
from evaluation.off_policy.reward_model import fit_reward
from evaluation.off_policy.rounds import condense
from evaluation.off_policy.slope import limits_to_try, tune
from experiments.off_policy import single_rounds
from experiments.off_policy_logs import draw_case

BOUNDS = Bounds(0.0, 1.0, 20.0)


def test_the_normal_limits_are_those_of_a_t_test_on_policy() -> None:
    """Rewards of two values are less spread out than Gaussian ones: no degree of freedom is taken from them."""
    case = draw_case(300, 0, binary=True)
    rounds = condense(case.log, np.asarray(case.log.behavior))
    lo, hi = stats.ttest_1samp(case.log.reward, 0).confidence_interval(0.95)
    found = with_normal(ips(rounds), rounds)
    assert (found.lo, found.hi) == (pytest.approx(lo), pytest.approx(hi))


def test_the_degrees_of_freedom_are_those_of_the_sample_variance() -> None:
    """Gamma values of shape a have m4 / m2^2 = 3 + 6 / a, so f = 2 n / (2 + 6 / a) in long samples."""
    rng = np.random.default_rng(8)
    values = rng.gamma(0.5, size=400_000) - 0.5
    assert degrees_of_freedom(values) == pytest.approx(2 * 400_000 / 14, rel=0.05)
    spread = np.array([(rng.gamma(0.5, size=200)).var(ddof=1) for _ in range(20_000)])
    matched = 2 * spread.mean() ** 2 / spread.var()
    assert matched == pytest.approx(2 * 200 / 14, rel=0.1)
    assert degrees_of_freedom(np.tile([1.0, -1.0], 50)) == 99 == degrees_of_freedom(np.zeros(100))


def test_rows_are_drawn_anew_block_by_block_as_often_as_at_once() -> None:
    rng = np.random.default_rng(9)
    columns = [rng.normal(size=BLOCK + 4000), rng.exponential(size=BLOCK + 4000)]
    mean, square = resampled_means(columns, 0, 2000)
    for number, column in enumerate(columns):
        for found, of in ((mean, column), (square, column**2)):
            error = of.std() / np.sqrt(len(of))
            assert abs(found[:, number].mean() - of.mean()) < 5 * error / np.sqrt(2000)
            assert found[:, number].std() == pytest.approx(error, rel=5 / np.sqrt(2 * 2000))
    ones, _ = resampled_means([np.ones(BLOCK + 1)], 1, 100)
    assert np.array_equal(ones, np.ones((100, 1)))  # n draws each


def test_a_bias_widens_the_limits_to_those_of_the_folded_normal() -> None:
    case = draw_case(3000, 1)
    rounds = condense(case.log, case.policy)
    plain = with_normal(ips(rounds), rounds)
    for factor in (0.5, 1.0, 3.0, 10.0):
        off = with_normal(replace(ips(rounds), bias=factor * plain.error), rounds)
        width = (off.hi - off.value) / off.error
        held = stats.norm.cdf(width - factor) - stats.norm.cdf(-width - factor)
        assert held == pytest.approx(0.95, abs=1e-3)


def test_bootstrap_and_normal_agree_in_long_logs_and_the_seed_decides() -> None:
    case = draw_case(20_000, 2)
    rounds = condense(case.log, case.policy)
    normal, boot = with_normal(snips(rounds), rounds), with_bootstrap(snips(rounds), rounds, 0)
    assert boot == with_bootstrap(snips(rounds), rounds, 0) != with_bootstrap(snips(rounds), rounds, 1)
    assert boot.value == normal.value and boot.error == pytest.approx(normal.error, rel=0.1)
    assert boot.hi - boot.lo == pytest.approx(normal.hi - normal.lo, rel=0.2)


def test_limits_for_any_length_are_wider_and_inside_the_bounds() -> None:
    case = draw_case(4000, 3, binary=True)
    rounds = condense(case.log, case.policy)
    normal = with_normal(ips(rounds), rounds)
    asymptotic = with_asymptotic_sequence(ips(rounds), rounds, 4000)
    for found in (with_bernstein(rounds, BOUNDS), with_confidence_sequence(rounds, BOUNDS), asymptotic):
        assert 0 <= found.lo < normal.lo < case.truth < normal.hi < found.hi <= 1
    scaled = replace(rounds, reward=10 * rounds.reward - 3)
    found = with_confidence_sequence(scaled, Bounds(-3.0, 7.0, 20.0))
    plain = with_confidence_sequence(rounds, BOUNDS)
    assert (found.lo, found.hi) == (pytest.approx(10 * plain.lo - 3), pytest.approx(10 * plain.hi - 3))
    with pytest.raises(InputError, match="outside the bounds"):
        with_bernstein(scaled, BOUNDS)
    with pytest.raises(InputError, match="correct the bounds"):
        Bounds(1.0, 0.0, 2.0)
    with pytest.raises(InputError, match="several rounds"):
        with_bernstein(replace(rounds, customer=np.arange(4000) // 2), BOUNDS)


def test_looking_after_every_round_does_not_raise_the_risk() -> None:
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(400):
        weighted = np.where(rng.random(1500) < 0.1, 10.0, 0.0) * (rng.random(1500) < 0.3)  # mean 0.3
        wrong += bool((lower_sequence(weighted, 0.05) > 0.3).any())
    assert wrong / 400 < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)
    assert lower_sequence(np.full(20_000, 0.5), 0.05)[-1] > 0.47


def test_slope_shrinks_where_the_model_is_perfect_and_leaves_weights_where_it_misleads() -> None:
    case = draw_case(5000, 5)
    good, bad = condense(case.log, case.policy, case.q), condense(case.log, case.policy, 3 * case.q + 9)
    for how in (Shrinking.SWITCH, Shrinking.OPTIMISTIC):
        limits = limits_to_try(good, how)
        assert limits[0] == np.inf and limits == sorted(limits, reverse=True)
        assert tune(good, how) == limits[-1]
        assert tune(bad, how) > tune(good, how)
    tuned = switch_dr(bad, tune(bad, Shrinking.SWITCH))
    assert abs(tuned.value - case.truth) < 4 * with_normal(tuned, bad).error + tuned.bias


def test_no_weight_at_all_does_not_crash() -> None:
    case = draw_case(100, 6)
    rounds = replace(condense(case.log, case.policy), weight=np.zeros(100))
    assert tune(rounds, Shrinking.OPTIMISTIC) == np.inf
    assert Terms(np.zeros(100)).value == 0


@pytest.mark.slow
def test_limits_hold_the_truth_in_a_small_study() -> None:
    """The full one is `python -m experiments.off_policy`; docs/off-policy.md has its figures."""
    times = 80
    held: dict[str, int] = {}
    for seed in range(times):
        for name, (found, truth) in single_rounds(1000, 10_000 + seed, 100).items():
            held[name] = held.get(name, 0) + int(found.lo <= truth <= found.hi)
    least = 0.95 - 3 * np.sqrt(0.95 * 0.05 / times)
    assert {name: count / times for name, count in held.items() if count / times < least} == {}
    assert len(held) >= 20


def test_every_part_predicts_what_it_was_not_fitted_on() -> None:
    case = draw_case(300, 7)
    model = fit_reward(case.log, case.x, 0)
    other = case.log.reward.copy()
    mine = model.fold == 0
    other[mine] += 100 * case.x[mine, 0]
    again = fit_reward(replace(case.log, reward=other), case.x, 0)
    everything = slice(0, 300)
    assert np.allclose(model(everything)[mine], again(everything)[mine])
    assert not np.allclose(model(everything)[~mine], again(everything)[~mine])
