"""Campaigns of known effect, aimed at busy customers: the estimator is not fooled, and says when it cannot tell."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from history.exposures import Exposures
from history.panel import Panel
from simulators.effects.audit import NO_CAMPAIGN, BundleAudit, audit_bundles
from simulators.effects.bundles import Bundles, collect_bundles
from simulators.effects.doubly_robust import Nuisances, Units, scores
from simulators.effects.heterogeneity import predict_uplift, pseudo_outcomes
from tests.simulators.biased_shop import Truth, play_shop

TRUTH = Truth(customers=700, weeks=44, named=False, bundle=0.08, length=4, every=6, share=0.4)
Shop = tuple[Panel, pd.DataFrame]


@pytest.fixture(scope="module")
def shop() -> Shop:
    return play_shop(TRUTH, seed=1)


def bundles_of(shop: Shop, exposures: Exposures | None = None) -> Bundles | None:
    panel, log = shop
    return collect_bundles(panel, log, exposures, np.arange(panel.events.n), range(panel.n_weeks))


def audit_of(shop: Shop, exposures: Exposures | None = None) -> BundleAudit:
    return audit_bundles(bundles_of(shop, exposures), seed=0)


def test_the_estimate_is_right_where_the_plain_difference_is_not(shop: Shop) -> None:
    estimates = audit_of(shop).data["estimates"]
    robust, residual, naive = (estimates[name]["visits"] for name in ("doubly_robust", "r_learner", "naive"))
    assert robust["lo"] <= TRUTH.bundle <= robust["hi"]
    assert residual["lo"] <= TRUTH.bundle <= residual["hi"]
    assert robust["error"] < 0.04
    assert naive["lo"] > TRUTH.bundle + 0.05


def test_a_placebo_that_the_targeting_fails_leaves_the_prior_standing(shop: Shop) -> None:
    audit = audit_of(shop)
    assert not audit.identified
    assert "placebo" in audit.verdict and "the prior stands" in audit.verdict


def test_weighting_brings_targeted_and_others_together(shop: Shop) -> None:
    balance = audit_of(shop).data["balance"]
    assert abs(balance[0]["before"]) > 0.5
    assert max(abs(row["after"]) for row in balance) < 0.25


def test_covariates_of_the_placebo_end_before_its_weeks(shop: Shop) -> None:
    panel, log = shop
    first = int(log["start_week"].min()) - 1
    spend = panel.events.spend.copy()
    spend[:, first - 6 : first] += 1000.0  # of the placebo's weeks alone
    events = dataclasses.replace(panel.events, spend=spend)
    changed = bundles_of((dataclasses.replace(panel, events=events), log[log["start_week"] == first + 1]))
    plain = bundles_of((panel, log[log["start_week"] == first + 1]))
    assert changed is not None and plain is not None
    np.testing.assert_array_equal(changed.before.x, plain.before.x)
    assert (changed.before.outcomes[:, 0] > plain.before.outcomes[:, 0]).all()
    assert not np.array_equal(changed.after.x, plain.after.x)


def test_departments_without_a_coupon_are_looked_at(shop: Shop) -> None:
    panel, log = shop
    who, slot = np.nonzero(panel.events.spend > 0)
    half = panel.events.spend[who, slot] / 2
    parts = [pd.DataFrame({"customer": who, "slot": slot, "department": d, "spend": half, "cut": 0.0}) for d in "ab"]
    covered = pd.DataFrame({"campaign_id": log["campaign_id"].unique(), "department": "a", "products": 3})
    exposures = Exposures(pd.DataFrame(), pd.concat(parts), covered)
    estimates = audit_of(shop, exposures).data["estimates"]["doubly_robust"]
    assert estimates["control"]["value"] == pytest.approx(estimates["spend"]["value"] / 2, abs=0.5)
    assert "negative_control" in audit_of(shop, exposures).data["tests"]


def test_a_history_without_a_campaign_says_so(shop: Shop) -> None:
    audit = audit_of((shop[0], shop[1].iloc[:0]))
    assert audit.verdict == NO_CAMPAIGN
    assert audit.visits is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda log: log[log["start_week"] == log["start_week"].min()], "the prior stands"),
        (lambda log: log[log["customer"] < 5], "no overlap"),
    ],
    ids=["one campaign", "five targeted"],
)
def test_little_to_go_by_gives_a_verdict_and_no_nan(shop: Shop, change: object, words: str) -> None:
    audit = audit_of((shop[0], change(shop[1])))  # type: ignore[operator]
    assert words in audit.verdict
    assert "nan" not in str(audit.data).lower()


def test_where_everyone_was_targeted_nobody_is_left_to_compare_with(shop: Shop) -> None:
    one = shop[1].iloc[:1]
    everyone = pd.concat([one.assign(customer=i, customer_id=f"c{i:05d}") for i in range(TRUTH.customers)])
    assert "everyone was targeted" in audit_of((shop[0], everyone)).verdict


def test_where_everybody_comes_every_week_no_effect_can_show(shop: Shop) -> None:
    events = shop[0].events
    alike = dataclasses.replace(events, spend=np.ones_like(events.spend), baskets=np.ones_like(events.baskets))
    audit = audit_of((Panel(alike, shop[0].features), shop[1]))
    assert not audit.identified
    assert "equally many weeks with a visit; the prior stands" in audit.verdict


def test_no_spend_at_all_gives_a_verdict_and_no_nan(shop: Shop) -> None:
    events = shop[0].events
    silent = dataclasses.replace(events, spend=events.spend * 0, baskets=events.baskets * 0)
    panel = Panel(silent, shop[0].features * 0)
    audit = audit_of((panel, shop[1]))
    assert not audit.identified
    assert "nan" not in str(audit.data).lower()


def test_uplift_is_predicted_for_others_and_depends_on_the_seed_alone(shop: Shop) -> None:
    outcomes = pseudo_outcomes(bundles_of(shop), seed=0)
    assert outcomes is not None
    first, again = (predict_uplift(outcomes, outcomes.x[:50], seed=3) for _ in range(2))
    for name, values in first.items():
        assert values.shape == (50,)
        np.testing.assert_array_equal(values, again[name])
    assert pseudo_outcomes(None, seed=0) is None


@pytest.mark.parametrize("wrong", ["outcomes", "chances"])
def test_one_wrong_nuisance_does_not_mislead_the_scores(wrong: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=20_000)
    chance = 1 / (1 + np.exp(-x))
    treated = rng.random(20_000) < chance
    outcome = 2.0 * x + 0.5 * treated + rng.normal(size=20_000)
    number = np.arange(20_000)
    units = Units(x[:, None], treated, outcome[:, None], number, number % 7)
    right, none = np.stack([2.0 * x, 2.0 * x + 0.5], axis=1), np.zeros((20_000, 2))
    means = none if wrong == "outcomes" else right
    nuisances = Nuisances(chance if wrong == "outcomes" else np.full(20_000, 0.4), means[:, :1], means[:, 1:])
    found = scores(units, nuisances)[:, 0]
    assert found.mean() == pytest.approx(0.5, abs=4 * found.std() / 20_000**0.5)
