"""Plans: what simulations, closed forms and textbooks say of power."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from campaigns.errors import InputError
from evaluation.ab.planning import Metric, after_weeks, customers_needed, detectable, durations, power


def test_the_textbook_s_rule_of_sixteen() -> None:
    # Sixteen variances over the squared effect per arm give 80 % power (Lehr, 1992).
    needed, other = customers_needed(Metric(10.0, 4.0), 0.5, 0.5)
    assert needed == other == pytest.approx(16 * (4.0 / 0.5) ** 2, rel=0.02)
    exact = 2 * ((stats.norm.isf(0.025) + stats.norm.isf(0.2)) * 4.0 / 0.5) ** 2
    assert needed == np.ceil(exact)


def test_a_rate_needs_what_fleiss_says() -> None:
    # Fleiss, Levin & Paik: n per arm without correction for .25 against .40, two-sided 5 %, power 90 %.
    low, high, mean = 0.25, 0.40, 0.325
    z = stats.norm.isf(0.025) * np.sqrt(2 * mean * (1 - mean))
    exact = ((z + stats.norm.isf(0.1) * np.sqrt(low * (1 - low) + high * (1 - high))) / (high - low)) ** 2
    assert customers_needed(Metric.of_rate(low), high - low, 0.5, wanted=0.9)[0] == np.ceil(exact)


@pytest.mark.parametrize("metric", [Metric(2.0, 3.0), Metric.of_rate(0.1), Metric(2.0, 3.0, explained=0.5)])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.05])
def test_need_effect_and_power_are_each_other_s_inverses(metric: Metric, share: float) -> None:
    effect = 0.03
    treated, control = customers_needed(metric, effect, share)
    assert power(metric, effect, treated, control) >= 0.8 - 1e-9
    assert power(metric, effect, treated * 0.98, control * 0.98) < 0.8
    assert detectable(metric, treated, control) == pytest.approx(effect, rel=2e-3)


def test_a_simulation_sees_the_effect_as_often_as_planned() -> None:
    rng = np.random.default_rng(0)
    metric, effect, treated, control = Metric(1.0, 2.0), 0.3, 900, 300
    drawn = [rng.normal(1.0 + extra, 2.0, (4000, n)) for extra, n in ((effect, treated), (0.0, control))]
    error = np.sqrt(sum(d.var(axis=1, ddof=1) / d.shape[1] for d in drawn))
    seen = np.abs(drawn[0].mean(axis=1) - drawn[1].mean(axis=1)) > stats.norm.isf(0.025) * error
    assert seen.mean() == pytest.approx(power(metric, effect, treated, control), abs=0.03)


def test_without_an_effect_the_chance_to_see_one_is_the_false_alarm() -> None:
    assert power(Metric(1.0, 2.0), 0.0, 500, 200) == pytest.approx(0.05)
    assert power(Metric.of_rate(0.3), 0.0, 500, 200) == pytest.approx(0.05)


def test_a_covariate_that_explains_half_saves_half_of_the_customers() -> None:
    plain, better = (customers_needed(Metric(1.0, 2.0, explained=e), 0.1, 0.5)[0] for e in (0.0, 0.5))
    assert better == pytest.approx(plain / 2, rel=1e-3)


def test_weeks_of_the_same_customer_say_less_the_more_they_are_alike() -> None:
    weekly = Metric(5.0, 3.0)
    alone, half, same = (after_weeks(weekly, alike, 4).deviation for alike in (0.0, 0.5, 1.0))
    assert (alone, half, same) == (pytest.approx(1.5), pytest.approx(3 * np.sqrt(2.5 / 4)), pytest.approx(3.0))
    found = durations([after_weeks(weekly, 0.2, k) for k in range(1, 7)], 0.2, (5000, 5000))
    assert [row.weeks for row in found] == [1, 2, 3, 4, 5, 6]
    assert all(a.effect > b.effect and a.power < b.power for a, b in pairwise(found))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Metric(np.nan, 1.0), "finite"),
        (lambda: Metric.of_rate(1.5), "share between 0 and 1"),
        (lambda: Metric(1.0, 1.0, explained=1.0), "explains 1.0"),
        (lambda: customers_needed(Metric(1.0, 1.0), 0.0, 0.5), "effect that is not 0"),
        (lambda: customers_needed(Metric(1.0, 1.0), 1e-9, 0.5), r"10\^12 customers"),
        (lambda: power(Metric.of_rate(0.9), 0.2, 10, 10), "stay between 0 and 1"),
        (lambda: after_weeks(Metric(1.0, 1.0), 1.2, 2), "correlate by 1.2"),
    ],
)
def test_what_cannot_be_planned_is_refused(wrong: object, said: str) -> None:
    assert callable(wrong)
    with pytest.raises(InputError, match=said):
        wrong()


def test_a_rate_so_high_that_nothing_better_is_seen_has_no_detectable_effect() -> None:
    assert np.isnan(detectable(Metric.of_rate(0.99), 10, 10))
