"""Groups that are treated alike or not: known ratios, intervals that hold, a verdict that waits for customers."""

import numpy as np
import pandas as pd
import pytest

from evaluation.estimate import estimate_mean
from evaluation.fairness.groups import Finding, Grouping, by_group, fieller, judge, together, worst_ratio


def grouping(n: int, seed: int = 0) -> Grouping:
    names = np.random.default_rng(seed).choice(["a", "b", "c"], size=n, p=[0.5, 0.3, 0.2])
    return Grouping.of("age", pd.Series(names))


def chances(groups: Grouping, means: list[float], seed: int = 1) -> np.ndarray:
    """Return chances of an offer whose mean is the group's."""
    rng = np.random.default_rng(seed)
    return np.clip(np.array(means)[groups.code] + rng.uniform(-0.2, 0.2, len(groups.code)), 0.0, 1.0)


def test_a_policy_that_treats_a_group_worse_fails() -> None:
    groups = grouping(20_000)
    worst = worst_ratio(chances(groups, [0.5, 0.5, 0.3]), groups)
    assert worst is not None and (worst.group, worst.lo < 0.6 < worst.hi) == ("c", True)
    assert judge(worst, 0.8) is Finding.FAIL


def test_a_fair_policy_passes_with_many_customers_and_waits_with_few() -> None:
    many, few = grouping(100_000), grouping(100)
    assert judge(worst_ratio(chances(many, [0.5, 0.5, 0.5]), many), 0.8) is Finding.PASS
    rare = (np.random.default_rng(2).random(100) < 0.5).astype(np.float64)
    assert judge(worst_ratio(rare, few), 0.8) in (Finding.INCONCLUSIVE, Finding.NOT_ESTIMABLE)
    assert judge(worst_ratio(chances(grouping(120), [0.5] * 3), grouping(120)), 0.95) is Finding.INCONCLUSIVE


def test_an_interval_of_the_worst_ratio_holds_it_though_the_worst_was_looked_for() -> None:
    rng, held = np.random.default_rng(3), 0
    groups = Grouping.of("g", pd.Series(np.repeat([str(i) for i in range(8)], 150)))
    for _ in range(300):
        worst = worst_ratio((rng.random(1200) < 0.4).astype(np.float64), groups)  # all alike: the true ratio is 1
        held += worst is not None and worst.lo <= 1.0 <= worst.hi
    assert held / 300 >= 0.95


def test_the_ratio_s_limits_are_those_of_a_simulation() -> None:
    rng = np.random.default_rng(4)
    above, below = rng.normal(2.0, 1.0, (4000, 60)), rng.normal(4.0, 1.5, (4000, 80))
    held = []
    for one, other in zip(above, below, strict=True):
        limits = fieller(estimate_mean(one), estimate_mean(other))
        held.append(limits is not None and limits[0] <= 0.5 <= limits[1])
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_a_ratio_with_what_may_be_nothing_is_left_open() -> None:
    values = np.random.default_rng(5).normal(0.01, 1.0, 400)
    groups = Grouping.of("g", pd.Series(["a", "b"] * 200))
    assert worst_ratio(values, groups) is None and judge(None, 0.8) is Finding.NOT_ESTIMABLE


def test_small_groups_and_what_is_not_stated_are_left_out() -> None:
    values = pd.Series(["a"] * 50 + ["b"] * 40 + ["c"] * 19 + [None] * 30)
    groups = Grouping.of("age", values)
    assert groups.names == ("a", "b", "c") and list(groups.sizes()) == [50, 40, 19] and groups.told() == [0, 1]
    found = by_group(np.arange(139.0), groups)
    assert found[2] is None and found[0] is not None and found[0].value == pytest.approx(24.5)
    assert worst_ratio(np.ones(139), groups.take(np.arange(50))) is None


def test_draws_widen_the_interval_of_a_group() -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(1.0, 0.1, (30, 90)) + rng.normal(0.0, 0.5, (30, 1))
    groups = Grouping.of("g", pd.Series(["a"] * 90))
    (one,) = by_group(values, groups)
    (flat,) = by_group(values.mean(axis=0), groups)
    assert one is not None and flat is not None and one.error > 3 * flat.error


def test_the_worst_finding_stands_for_all() -> None:
    assert together([Finding.PASS, Finding.INCONCLUSIVE, Finding.FAIL]) is Finding.FAIL
    assert together([Finding.PASS, Finding.NOT_ESTIMABLE]) is Finding.NOT_ESTIMABLE
    assert together([Finding.PASS]) is Finding.PASS and together([]) is Finding.NOT_ESTIMABLE
