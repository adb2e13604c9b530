"""Offers of known effect in a log that names them, sent to busy customers."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from history.panel import Panel
from simulators.effects.logged_offers import NO_OFFER, OfferEffects, estimate_offers, visit_problem
from simulators.effects.offer_log import OfferRows, offer_rows, unknown_offers
from simulators.effects.visit_score import VisitProblem
from tests.simulators.biased_shop import CATALOG, CATEGORIES, Truth, play_shop

TRUTH = Truth(customers=900, bias=1.5, spend=0.8)


def rows_of(panel: Panel, log: pd.DataFrame) -> OfferRows | None:
    return offer_rows(panel, log, CATALOG, CATEGORIES, np.arange(panel.events.n), range(12, panel.n_weeks))


def estimate(panel: Panel, log: pd.DataFrame) -> OfferEffects:
    return estimate_offers(rows_of(panel, log), fatigue=0.15, fatigue_spread=0.06, seed=0)


@pytest.fixture(scope="module")
def shop() -> tuple[Panel, pd.DataFrame]:
    return play_shop(TRUTH, seed=5)


@pytest.fixture(scope="module")
def found(shop: tuple[Panel, pd.DataFrame]) -> OfferEffects:
    return estimate(*shop)


def test_estimates_hold_the_truth_and_the_plain_comparison_does_not(found: OfferEffects) -> None:
    for kind, truth in (("coupon", TRUTH.coupon), ("discount", TRUTH.discount)):
        effect = found.visit[kind]
        assert effect.lo <= truth <= effect.hi, kind
        assert effect.error < 0.12
        assert found.naive[kind].lo > truth, kind


def test_the_effect_on_spend_and_fatigue_are_estimated_too(found: OfferEffects) -> None:
    assert found.spend is not None and found.spend.lo <= TRUTH.spend <= found.spend.hi
    assert found.fatigue is not None and found.fatigue.lo <= TRUTH.fatigue <= found.fatigue.hi


def test_the_support_is_what_offers_would_save(found: OfferEffects) -> None:
    assert found.support["coupon"] == pytest.approx((1.0, 5.0), abs=0.01)
    assert found.rows["coupon"] > 1000


def test_a_log_that_names_no_offer_says_so(shop: tuple[Panel, pd.DataFrame]) -> None:
    panel, log = shop
    for unnamed in (log.assign(offer=""), log.drop(columns="offer"), log.assign(offer="unheard_of"), log.iloc[:0]):
        assert estimate(panel, unnamed).verdict == NO_OFFER


def test_offers_that_the_catalog_lacks_are_counted_by_name(shop: tuple[Panel, pd.DataFrame]) -> None:
    _, log = shop
    assert unknown_offers(log, CATALOG) == {}
    assert unknown_offers(log.drop(columns="offer"), CATALOG) == {}
    misspelt = log.assign(offer=["Coupon 1", "", *log["offer"].iloc[2:]])
    assert unknown_offers(misspelt, CATALOG) == {"Coupon 1": 1}
    assert unknown_offers(log.assign(offer="old"), CATALOG) == {"old": len(log)}


def test_weeks_in_which_an_earlier_campaign_runs_are_left_out(shop: tuple[Panel, pd.DataFrame]) -> None:
    panel, log = shop
    longer = rows_of(panel, log.assign(end_week=log["start_week"] + 1))
    assert longer is not None
    sent = np.zeros((panel.events.n, panel.n_weeks), dtype=bool)
    sent[log["customer"], log["start_week"] - 1] = True
    assert not sent[longer.customer, longer.week - 1].any()


def test_offers_sent_to_everyone_have_nobody_to_be_compared_with(shop: tuple[Panel, pd.DataFrame]) -> None:
    panel, log = shop
    one = log.iloc[:1]
    everyone = pd.concat([one.assign(customer=i) for i in range(panel.events.n)])
    assert "not identified" in estimate(panel, everyone).verdict


def test_no_visit_at_all_gives_no_nan(shop: tuple[Panel, pd.DataFrame]) -> None:
    panel, log = shop
    silent = dataclasses.replace(panel.events, spend=panel.events.spend * 0, baskets=panel.events.baskets * 0)
    found = estimate(Panel(silent, panel.features), log)
    assert "nan" not in str(found.to_dict()).lower()
    assert found.spend is None


@pytest.mark.slow
def test_intervals_cover_over_many_truths() -> None:
    rng = np.random.default_rng(1)
    hits: list[bool] = []
    naive: list[bool] = []
    for seed in range(24):
        truth = Truth(customers=500, coupon=rng.uniform(0, 0.8), discount=rng.uniform(0, 0.6), bias=rng.uniform(0, 1.5))
        found = estimate(*play_shop(truth, seed))
        for kind, value in (("coupon", truth.coupon), ("discount", truth.discount)):
            hits.append(found.visit[kind].lo <= value <= found.visit[kind].hi)
            naive.append(found.naive[kind].lo <= value <= found.naive[kind].hi)
    assert np.mean(hits) >= 0.95 - 3 * (0.95 * 0.05 / len(hits)) ** 0.5
    assert np.mean(naive) < 0.5


@pytest.mark.parametrize("wrong", ["baseline", "chances"])
def test_one_wrong_nuisance_does_not_mislead_the_score(wrong: str) -> None:
    rng = np.random.default_rng(0)
    n, theta = 60_000, 0.5
    x = rng.normal(size=n)
    sent = rng.random(n) < 1 / (1 + np.exp(-x))
    alone = 1 / (1 + np.exp(-x))
    lifted = 1 / (1 + np.exp(-x - theta))
    visited = (rng.random(n) < np.where(sent, lifted, alone)).astype(float)
    missed = alone * (1 - lifted) / (alone * (1 - lifted) + (1 - alone) * (1 - alone))  # chance of "sent", no visit
    problem = VisitProblem(
        dose=sent[:, None].astype(float),
        expected=np.full((n, 1), 0.5) if wrong == "chances" else missed[:, None],
        baseline=np.full(n, 0.5) if wrong == "baseline" else alone,
        visited=visited,
        contacts=np.zeros(n),
        customer=np.arange(n),
    )
    (found,), influence = problem.solve(0.0)
    assert found == pytest.approx(theta, abs=4 * float(np.sqrt((influence**2).sum())))


def test_the_baseline_is_learned_from_weeks_without_an_offer_alone(shop: tuple[Panel, pd.DataFrame]) -> None:
    rows = rows_of(*shop)
    assert rows is not None
    flipped = dataclasses.replace(rows, visited=rows.visited ^ (rows.offer > 0))
    kinds = np.unique(rows.kind)
    chance = np.zeros((len(rows), len(rows.logged)))
    before, after = (visit_problem(r, chance, kinds, seed=0).baseline for r in (rows, flipped))
    np.testing.assert_array_equal(before, after)
