"""The sections on what offers do, made of what the estimators write."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from evaluation.uplift import Ranked, judge_ranking
from serving.figures import Chart
from serving.section import Section, Table
from serving.sections.effects import held_out_section, section
from simulators.effects.audit import audit_bundles
from simulators.effects.bundles import collect_bundles
from simulators.effects.logged_offers import NONE, estimate_offers
from simulators.effects.offer_log import offer_rows
from simulators.effects.posterior import NOTHING, Estimates, posterior
from simulators.effects.shelf import NO_SHELF, ShelfEffects, estimate_shelf
from simulators.priors import EffectPriors
from tests.simulators.biased_shop import CATALOG, CATEGORIES, Truth, play_shop
from tests.simulators.shelf_shop import CUSTOMERS, USED, shelf_shop

NO_SHELF_AT_ALL = ShelfEffects(NO_SHELF, None, None, None, 0.0, {"verdict": NO_SHELF})


def written(estimates: Estimates) -> Any:
    data = {
        **posterior(EffectPriors(), estimates).to_dict(),
        "bundles": estimates.bundles.data,
        "offers": {**estimates.offers.to_dict(), "unknown": {}, "catalog": ["coupon_1", "coupon_5"]},
        "shelf": estimates.shelf.data,
    }
    return json.loads(json.dumps(data, allow_nan=False))


@pytest.fixture(scope="module")
def full() -> Estimates:
    panel, log = play_shop(Truth(customers=500, named=False, bundle=0.1, length=4, every=6), seed=1)
    bundles = collect_bundles(panel, log, None, np.arange(panel.events.n), range(panel.n_weeks))
    sent, offers = play_shop(Truth(customers=400), seed=2)
    rows = offer_rows(sent, offers, CATALOG, CATEGORIES, np.arange(400), range(12, 40))
    return Estimates(
        bundles=audit_bundles(bundles, 0),
        offers=estimate_offers(rows, 0.15, 0.06, 0),
        shelf=estimate_shelf(*shelf_shop(0), np.arange(CUSTOMERS), USED),
    )


def ranked(n: int) -> Mapping[str, Any]:
    rng = np.random.default_rng(0)
    values = rng.normal(size=n)
    rankings = {"ridge": judge_ranking(Ranked(np.arange(n), values, rng.normal(size=n)), resamples=20)}
    return {"rankings": rankings, "models": [], "whole_log": NOTHING.data}


def charts(shown: Section) -> list[Chart]:
    return [block for block in shown.blocks if isinstance(block, Chart)]


def test_estimates_tests_overlap_balance_and_shelf_are_drawn(full: Estimates) -> None:
    shown = section(written(full), "EUR")
    assert len(charts(shown)) == 4
    assert all(chart.svg.startswith("<svg") and chart.see.endswith(".") for chart in charts(shown))
    words = str(shown)
    assert "EUR" in words and "USD" not in words
    assert "plain comparison" in words
    assert "nan" not in words.replace("finance", "").lower().split()


def test_a_history_that_tells_nothing_has_a_section_that_says_so() -> None:
    shown = section(written(Estimates(NOTHING, NONE, NO_SHELF_AT_ALL)), "USD")
    assert "All 9 effects of offers are assumed" in shown.verdict
    assert "the history has no campaign" in shown.verdict
    assert charts(shown) == []
    (beliefs,) = (block for block in shown.blocks if isinstance(block, Table))
    assert {row[2] for row in beliefs.rows} == {"none"}


def test_who_answers_more_is_told_or_that_nothing_was_learned_of_it(full: Estimates) -> None:
    words = str(section(written(full), "EUR"))
    assert "Who answers more" in words and "share bought on promotion" in words and "held to answer" not in words
    data = written(full)
    data["priors"]["leans"] = {"coupon.promo_share": {"lean": 0.4, "error": 0.1, "centre": 0.5, "scale": 0.3}}
    assert "('coupon', 'share bought on promotion', '1.40 (1.20 to 1.60)', 'yes')" in str(section(data, "EUR"))
    data["priors"]["leans"]["coupon.promo_share"]["error"] = 0.3
    assert "'1.40 (0.81 to 1.99)', 'no')" in str(section(data, "EUR"))
    assert "held to answer an offer alike" in str(section(written(Estimates(NOTHING, NONE, NO_SHELF_AT_ALL)), "EUR"))


def test_offers_of_the_log_that_the_catalog_lacks_are_named() -> None:
    data = written(Estimates(NOTHING, NONE, NO_SHELF_AT_ALL))
    assert "does not have" not in str(section(data, "USD"))
    data["offers"]["unknown"] = {f"old_{number}": 7 - number for number in range(7)}
    words = str(section(data, "USD"))
    assert "“old_0” (7 targetings)" in words and "and 2 more" in words and "old_6" not in words
    assert "coupon_1, coupon_5" in words


def test_a_campaign_without_overlap_has_a_verdict_and_no_forest() -> None:
    panel, log = play_shop(Truth(customers=300, named=False, length=4, every=6), seed=1)
    few = log[log["customer"] < 5]
    audit = audit_bundles(collect_bundles(panel, few, None, np.arange(300), range(40)), 0)
    shown = section(written(Estimates(audit, NONE, NO_SHELF_AT_ALL)), "USD")
    assert "no overlap" in shown.verdict.lower()


def test_a_ranking_that_is_no_better_than_chance_is_called_so(full: Estimates) -> None:
    shown = held_out_section({**ranked(400), "whole_log": full.bundles.data}, "USD")
    assert "no ranking by uplift does surely better than chance" in shown.verdict
    assert len(charts(shown)) == 1
    assert "nothing is learned from it" in str(shown)


def test_without_anything_held_out_to_rank_the_section_says_so() -> None:
    shown = held_out_section({**ranked(3)}, "USD")
    assert charts(shown) == []
    assert "not estimable" in str(shown.blocks[0])
