"""Picks, chances and tails: hand-made answers, enumeration, and bootstraps that are as wide as the truth."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from evaluation.estimate import estimate_mean
from evaluation.selection import (
    chance_best,
    conditional_value_at_risk,
    expected_regret,
    judge_claims,
    pick,
    redraw,
)

TRUE = np.array([1.0, 4.0, 2.0, 3.0])


def test_the_pick_of_four_policies_is_what_one_counts_by_hand() -> None:
    one, two, three, four = pick(np.array([0.9, 0.1, 0.8, 0.7]), TRUE, baseline=0.5)  # ranks them 0, 2, 3, 1
    assert (one.regret, one.best, one.worst, one.sharpe) == (3.0, 1.0, 1.0, None)
    assert (two.regret, two.best, two.worst, two.mean, two.spread) == (2.0, 2.0, 1.0, 1.5, 0.5)
    assert two.sharpe == pytest.approx((2.0 - 0.5) / 0.5)
    assert (three.regret, three.spread) == (1.0, pytest.approx(np.sqrt(2 / 3)))
    assert (four.regret, four.best, four.worst) == (0.0, 4.0, 1.0)


def test_a_perfect_ranking_has_no_regret_and_policies_that_are_alike_no_ratio() -> None:
    assert all(one.regret == 0 for one in pick(TRUE, TRUE, 0.0))
    assert all(one.sharpe is None and one.regret == 0 for one in pick(TRUE, np.full(4, 2.5), 0.0))


def test_claims_are_counted_on_both_sides() -> None:
    found = judge_claims(np.array([True, True, False, False, False]), np.array([True, False, True, True, False]))
    assert (found.better, found.worse, found.type_i, found.type_ii) == (3, 2, 0.5, pytest.approx(2 / 3))
    assert judge_claims(np.array([True]), np.array([True])).type_i is None
    assert judge_claims(np.array([True]), np.array([False])).type_ii is None


def test_chances_and_losses_are_those_of_an_enumeration() -> None:
    means = np.array([[1.0, 5.0, 2.0, 2.0], [3.0, 1.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    np.testing.assert_allclose(chance_best(means), [(0 + 1 + 0.5 + 1) / 4, (1 + 0 + 0.5 + 0) / 4, 0.0])
    np.testing.assert_allclose(expected_regret(means), [2 / 4, (4 + 2) / 4, (3 + 5 + 2 + 1) / 4])


def test_the_tail_is_the_mean_of_the_worst_and_counts_the_edge_in_part() -> None:
    values = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    assert conditional_value_at_risk(values, 0.4) == pytest.approx(1.5)
    assert conditional_value_at_risk(values, 0.5) == pytest.approx((1 + 2 + 0.5 * 3) / 2.5)
    assert conditional_value_at_risk(values, 0.1) == pytest.approx(1.0)
    assert conditional_value_at_risk(values, 1.0) == pytest.approx(3.0)
    # Rockafellar & Uryasev: the largest over z of z - E[(z - X)+] / tail, which lies at one of the values.
    best = max(z - np.clip(z - values, 0, None).mean() / 0.5 for z in values)
    assert conditional_value_at_risk(values, 0.5) == pytest.approx(best)


def test_resampled_means_spread_as_the_interval_of_the_mean_says() -> None:
    rng = np.random.default_rng(1)
    parts = rng.normal(size=(1, 40, 1)), rng.normal(size=(1, 1, 300)), 0.3 * rng.normal(size=(1, 40, 300))
    value = 2.0 + sum(parts)
    means = redraw([value], seed=0, resamples=4000)[0]
    assert means.mean() == pytest.approx(value.mean(), abs=0.02)
    assert means.std() == pytest.approx(estimate_mean(value).error, rel=0.06)


def test_what_all_policies_share_cancels_in_their_comparison() -> None:
    rng = np.random.default_rng(2)
    shared = rng.normal(size=(1, 30, 200)) + 3.0 * rng.normal(size=(1, 30, 1))
    means = redraw([shared, shared + 0.05], seed=0, resamples=500)
    np.testing.assert_allclose(means[1] - means[0], 0.05)
    np.testing.assert_allclose(chance_best(means), [0.0, 1.0])


def test_equal_policies_share_the_chance_and_the_same_seed_gives_the_same() -> None:
    rng = np.random.default_rng(3)
    values = [rng.normal(size=(3, 20, 100)) for _ in range(3)]
    chances = chance_best(redraw([values[0]] * 2, 5))
    assert chances.sum() == pytest.approx(1.0)
    np.testing.assert_array_equal(redraw(values, 7), redraw(values, 7))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_regret_at_k_of_a_blind_ranking_is_the_mean_over_all_picks(k: int) -> None:
    rng = np.random.default_rng(4)
    found = [pick(rng.random(4), TRUE, 0.0)[k - 1].regret for _ in range(4000)]
    expected: Any = np.mean([TRUE.max() - max(chosen) for chosen in combinations(TRUE, k)])
    assert np.mean(found) == pytest.approx(expected, abs=0.06)
