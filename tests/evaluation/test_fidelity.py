"""A market is called faithful when it is, unfaithful when it is not, and unknown when nothing can be said."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evaluation.fidelity.distributions import autocorrelation, by_rhythm, compare_migration, compare_shape, gaps_of
from evaluation.fidelity.judgement import Record, Redemptions, judge_fidelity
from evaluation.fidelity.trajectories import Trajectories, simulate_trajectories
from evaluation.fidelity.two_sample import judge_two_samples
from evaluation.fidelity.verdict import THRESHOLDS, Metric, Status, judge_metrics
from evaluation.fidelity.weekly import Forecasts, band, compare_weeks, crps, household_totals
from evaluation.response_fit import Predictions, calibration_error, judge_groups
from simulators.market import Market
from simulators.reference import reference_pool

GOOD_RESPONSE: Mapping[str, Any] = {
    "visit": {"calibration_error": 0.004},
    "offers": [{"name": "A", "predicted": 0.10, "observed": 0.11, "lo": 0.08, "hi": 0.14, "n": 500}],
}


def lives(customers: int, weeks: int, seed: int, *, spread: float = 0.5, shape: tuple[int, ...] = ()) -> Trajectories:
    """Return customers who come by their own pace and spend by their own purse, independently from week to week."""
    rng, who = np.random.default_rng(seed), np.random.default_rng(99)
    pace, purse = who.beta(2, 2, (customers, 1)), who.gamma(4, 8, (customers, 1))
    size = (*shape, customers, weeks)
    baskets = (rng.random(size) < pace) * (1.0 + rng.poisson(0.6, size))
    spend = baskets * purse * rng.lognormal(0, spread, size)
    return Trajectories(baskets, spend, spend * rng.beta(2, 2, size))


def record_of(lived: Trajectories, weeks: int = 10, seed: int = 1) -> Record:
    return Record(np.arange(43, 43 + weeks), lives(lived.customers, 30, seed), lived, {52: "assumed"})


def statuses(found: Mapping[str, Any]) -> dict[str, str]:
    return {metric["name"]: metric["status"] for metric in found["metrics"]}


def test_crps_of_a_point_is_its_error_and_of_a_large_sample_the_integral_of_squared_distances() -> None:
    truth = np.array([3.0, -1.0])
    np.testing.assert_allclose(crps(np.array([[5.0, -1.0]]), truth), [2.0, 0.0])
    sample = np.random.default_rng(1).normal(size=(4000, 1))
    at = np.linspace(-6, 6, 24_001)
    below = stats.norm.cdf(at)
    integral = ((below - (at >= 0.7)) ** 2).sum() * (at[1] - at[0])
    assert crps(sample, np.array([0.7]))[0] == pytest.approx(integral, abs=0.02)


def test_crps_does_not_favour_a_forecast_for_the_number_of_its_draws() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=40_000)
    few, many = (crps(rng.normal(size=(m, 40_000)), truth).mean() for m in (5, 60))
    assert few == pytest.approx(many, abs=4 * 0.6 / 200)


@given(st.integers(0, 10_000), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_crps_moves_with_the_unit(seed: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    sample, truth = rng.normal(size=(m, 4)), rng.normal(size=4)
    score = crps(sample, truth)
    np.testing.assert_allclose(crps(7 * sample + 3, 7 * truth + 3), 7 * score, atol=1e-9)


def test_the_band_of_twenty_runs_holds_nine_of_ten_truths_of_the_same_world() -> None:
    rng = np.random.default_rng(0)
    runs, truth = rng.normal(size=(20, 20_000)), rng.normal(size=20_000)
    lo, hi = band(runs)
    assert ((lo <= truth) & (truth <= hi)).mean() == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / 20_000))


def test_household_means_add_up_and_spread_as_independent_coins_do() -> None:
    past = lives(300, 40, 3)
    totals = household_totals(past, weeks=30, seed=0, runs=100)
    rate = past.active.mean(axis=1)
    assert totals["active"].mean() == pytest.approx(rate.sum(), rel=0.005)
    assert totals["active"].var() == pytest.approx((rate * (1 - rate)).sum(), rel=0.08)
    assert totals["spend"].mean() == pytest.approx(past.spend.mean(axis=1).sum(), rel=0.01)


def test_a_market_that_errs_as_the_flat_line_does_has_the_ratio_one() -> None:
    truth = np.array([10.0, 12.0, 9.0])
    flat = np.full((1, 3), 11.0)
    compared = compare_weeks(truth, Forecasts(flat, np.array([10.0, 12.0]), flat))
    assert compared["references"]["flat"]["ratio"] == compared["references"]["household"]["ratio"] == 1.0
    assert (compared["width"], compared["weeks_inside"]) == (0.0, 0)


def test_gaps_never_reach_from_one_customer_to_the_next() -> None:
    baskets = np.array([[1, 0, 2, 0], [0, 0, 0, 1], [1, 1, 0, 1]], dtype=float)
    assert sorted(gaps_of(Trajectories(baskets, baskets, baskets)).tolist()) == [1.0, 2.0, 2.0]


def test_autocorrelation_of_a_wave_is_known_and_of_a_constant_is_nothing() -> None:
    wave = np.tile([1.0, -1.0], 50)[None]
    np.testing.assert_allclose(autocorrelation(wave, lags=2), [-0.99, 0.98])
    assert autocorrelation(np.ones((5, 10))).tolist() == [0.0] * 6
    np.testing.assert_allclose(autocorrelation(np.concatenate([wave, np.ones((3, 100))]), 2), [-0.99, 0.98])


def test_a_share_of_movers_is_counted_by_whatever_says_the_segment() -> None:
    baskets = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], dtype=float)
    moved = Trajectories(baskets, baskets, baskets)
    found = compare_migration(moved, moved, by_rhythm, 0)
    assert (found["recorded"], found["difference"]) == (0.5, 0.0)
    assert compare_migration(moved, moved, lambda some: some.active[..., 0] * 0, 0)["recorded"] == 1.0


def test_distances_of_the_same_customers_are_nothing_and_of_others_lie_above_the_floor() -> None:
    real = lives(400, 10, 0)
    same = compare_shape(gaps_of, real, real, 0)
    assert same is not None and (same["ks"], same["wasserstein"]) == (0.0, 0.0)
    rare = replace(real, baskets=real.baskets * (np.random.default_rng(1).random(real.baskets.shape) < 0.4))
    other = compare_shape(gaps_of, real, rare, 0)
    assert other is not None and other["ks"] > 3 * other["ks_floor"]


@pytest.mark.slow
def test_a_classifier_cannot_tell_two_lives_of_the_same_world_and_tells_another_world() -> None:
    real, same = lives(250, 10, 0), lives(250, 10, 1)
    blind = judge_two_samples(real, same, 0)["classifiers"]
    for one in blind.values():
        assert one["lo"] < 0.55 and one["auc"] < 0.6
        assert 0.5 <= one["floor"] < 0.65
    told = judge_two_samples(real, replace(same, promo_spend=0.4 * same.spend), 0)
    assert told["classifiers"]["boosting"]["auc"] > 0.95
    assert told["giveaways"][0]["feature"].startswith("promotion")
    assert told["families"]["promotion"]["alone"] > 0.95 > 0.65 > told["families"]["promotion"]["without"]


def test_the_classifier_never_sees_a_customer_on_both_sides() -> None:
    """Whole lives are copied, so that a leak would tell: the copy of a seen life is known, that of an unseen is not."""
    real = lives(150, 10, 0)
    found = judge_two_samples(real, real, 0)["classifiers"]
    for one in found.values():
        assert one["auc"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.slow
def test_a_market_that_is_the_world_itself_passes_and_a_lazier_one_fails() -> None:
    real = lives(200, 10, 0)
    faithful = lives(200, 10, 5, shape=(20,))
    redemptions = Redemptions(np.full(10, 5.0), np.random.default_rng(0).normal(5, 1, (20, 10)), np.full(13, 9.0))
    found = judge_fidelity(record_of(real), faithful, GOOD_RESPONSE, seed=0, redemptions=redemptions)
    passed = statuses(found)
    # The world itself only ties with each household's own mean here, and its bands miss a week in ten by luck.
    luck = {name for name in passed if "crps" in name or "inside" in name}
    assert {status for name, status in passed.items() if name not in luck} == {"pass"}
    assert np.mean([week["weeks_inside"] for week in found["weekly"].values()]) >= 7.5
    assert found["weekly"]["redemptions"]["references"]["flat"]["ratio"] < 0.2
    lazy = replace(faithful, baskets=0.7 * faithful.baskets, spend=0.7 * faithful.spend)
    failed = judge_fidelity(record_of(real), lazy, GOOD_RESPONSE, seed=0)
    assert failed["verdict"] == "FAIL"
    assert {"spend_inside", "baskets_crps_household", "baskets_ks"} <= set(failed["failed"])
    json.dumps(failed, allow_nan=False)


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("short", "9 held-out weeks, a verdict takes 10: the history is too short"),
        ("few", "40 held-out customers, a verdict takes 100"),
        ("young", "8 weeks before the held-out ones, the references take 13"),
        ("idle", "nobody spent anything in the held-out weeks"),
    ],
)
def test_what_cannot_be_measured_says_why_and_never_passes(case: str, why: str) -> None:
    customers, weeks = (40 if case == "few" else 200), (9 if case == "short" else 10)
    lived = lives(customers, weeks, 0)
    if case == "idle":
        lived = replace(lived, baskets=0 * lived.baskets, spend=0 * lived.spend, promo_spend=0 * lived.promo_spend)
    past = lives(customers, 8 if case == "young" else 30, 1)
    record = Record(np.arange(weeks), past, lived, {})
    found = judge_fidelity(record, lives(customers, weeks, 2, shape=(3,)), {"visit": None, "offers": None}, seed=0)
    assert found["verdict"] == "NOT MEASURED"
    assert {metric["why_not"] for metric in found["metrics"] if metric["required"]} == {why}
    assert set(statuses(found).values()) == {"not measured"}
    json.dumps(found, allow_nan=False)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["nobody comes back", "always the same"])
def test_degenerate_histories_give_numbers_or_words_never_nan(case: str) -> None:
    baskets = np.zeros((120, 10))
    baskets[:, 4] = 1.0
    if case == "always the same":
        baskets[:] = 1.0
    lived = Trajectories(baskets, 2.0 * baskets, 0.0 * baskets)
    past = Trajectories(*(np.repeat(a, 3, axis=1) for a in (lived.baskets, lived.spend, lived.promo_spend)))
    runs = Trajectories(*(np.repeat(a[None], 3, axis=0) for a in (lived.baskets, lived.spend, lived.promo_spend)))
    found = judge_fidelity(Record(np.arange(10), past, lived, {}), runs, {"visit": None, "offers": []}, seed=0)
    json.dumps(found, allow_nan=False)
    assert all(metric["value"] is not None or metric["why_not"] for metric in found["metrics"])


def test_a_verdict_fails_by_one_metric_and_passes_only_if_all_that_is_required_was_measured() -> None:
    good, bad = Metric("good", "", 0.5, 0.6), Metric("bad", "", 0.7, 0.6)
    unknown, needed = Metric("unknown", "", None, 0.6), Metric("needed", "", None, 0.6, required=True)
    assert (good.status, bad.status, unknown.status) == (Status.PASS, Status.FAIL, Status.NOT_MEASURED)
    assert Metric("enough", "", 0.8, 0.8, at_least=True).status is Status.PASS
    assert judge_metrics([good, unknown])["verdict"] == "PASS"
    assert judge_metrics([good, needed])["verdict"] == "NOT MEASURED"
    assert judge_metrics([good, needed, bad])["verdict"] == "FAIL"
    assert judge_metrics([good, bad])["failed"] == ["bad"]


def test_the_published_targets_are_the_thresholds() -> None:
    assert (THRESHOLDS.weeks, THRESHOLDS.weeks_inside, THRESHOLDS.crps_ratio) == (10, 0.8, 1.0)
    assert (THRESHOLDS.two_sample_auc, THRESHOLDS.calibration_error) == (0.65, 0.015)


def test_calibration_error_is_nothing_where_predictions_hold_and_their_distance_where_they_do_not() -> None:
    rng = np.random.default_rng(0)
    chance = rng.random(100_000)
    outcome = (rng.random(100_000) < chance).astype(float)
    assert calibration_error(chance, outcome) < 0.01
    assert calibration_error(np.full(1000, 0.7), np.zeros(1000)) == pytest.approx(0.7)


def test_redemption_is_told_by_type_of_campaign_with_customers_as_the_unit() -> None:
    outcome = np.tile([1.0, 0.0], 50)
    rows = Predictions(np.repeat(np.arange(50), 2), outcome, np.full(100, 0.4), np.full(100, 0.5))
    first, second = judge_groups(rows, ["A"] * 60 + ["B"] * 40)
    assert (first["name"], first["n"], second["n"]) == ("A", 60, 40)
    assert first["observed"] == 0.5 and first["lo"] == first["hi"] == 0.5  # each customer's rows cancel out


def test_a_free_run_is_repeated_by_its_seed_and_tells_what_the_market_remembers(market: Market) -> None:
    pool = reference_pool(60, seed=4)
    first, again, other = (simulate_trajectories(market, pool, 5, 3, seed) for seed in (1, 1, 2))
    assert first.baskets.shape == (3, 60, 5)
    assert np.array_equal(first.spend, again.spend) and not np.array_equal(first.spend, other.spend)
    assert ((first.baskets > 0) == (first.spend > 0)).all()
    assert (first.promo_spend <= first.spend + 1e-6).all()
    assert torch.equal(pool.weeks_seen, reference_pool(60, seed=4).weeks_seen)


def test_a_market_holds_its_own_truth_in_its_band_and_not_that_of_livelier_customers(market: Market) -> None:
    pool = reference_pool(300, seed=4)
    inside = []
    for seed in range(3):
        truth = simulate_trajectories(market, pool, 10, 1, 100 + seed).run(0).totals()
        runs = simulate_trajectories(market, pool, 10, 30, seed).totals()
        inside += [compare_weeks(truth[n], Forecasts(runs[n], truth[n], runs[n]))["weeks_inside"] for n in truth]
        more = compare_weeks(1.4 * truth["active"], Forecasts(runs["active"], truth["active"], runs["active"]))
        assert more["weeks_inside"] <= 2
    assert np.mean(inside) >= 7.5  # 9 are due


def test_a_metric_that_must_surely_fail_does_so_only_with_its_whole_interval() -> None:
    def metric(lo: float, surely: bool) -> Metric:
        return Metric("ratio", "ratio", 1.1, 1.0, lo=lo, hi=1.4, surely=surely)

    assert metric(0.8, surely=False).status is Status.FAIL
    assert metric(0.8, surely=True).status is Status.PASS
    assert metric(1.05, surely=True).status is Status.FAIL
