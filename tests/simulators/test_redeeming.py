"""How readily named offers are redeemed is learned from the weeks in which they could be."""

from dataclasses import replace

import numpy as np
import pytest

from campaigns.offers import Catalog, Offer, OfferKind
from history.panel import build_panel
from simulators.effects.offer_log import offer_rows
from simulators.effects.redeeming import learn_redeeming
from simulators.pedigree import describe_priors
from simulators.priors import SHIFT_SPREAD, EffectPriors, draw_effects
from simulators.synthetic.log import QUIET_WEEKS, live_through
from simulators.synthetic.truth import CATALOG, SyntheticTruth, open_shop

PRIORS = EffectPriors()


def learned(truth: SyntheticTruth, catalog: Catalog = CATALOG) -> EffectPriors:
    shop = open_shop(truth)
    log = live_through(shop)
    panel = build_panel(log.events)
    everyone, weeks = np.arange(truth.customers), range(QUIET_WEEKS, truth.weeks)
    rows = offer_rows(panel, log.targeting, CATALOG, shop.market.categories, everyone, weeks)
    return learn_redeeming(PRIORS, panel, rows, shop.market.response, catalog)


def test_the_shift_of_coupons_is_found_and_surer_than_before() -> None:
    truth = SyntheticTruth(seed=3, customers=1500, weeks=30, effects=EffectPriors(redeem_coupon=2.0, visit_coupon=0.3))
    found = learned(truth)
    assert found.redeem_coupon == pytest.approx(2.0, abs=0.25)
    assert found.shift_spreads["redeem_coupon"] < SHIFT_SPREAD / 2
    assert found.redeem_gift == PRIORS.redeem_gift
    spread = float(draw_effects(found, 4000, 0).redeem_shift[:, 2].std())
    assert spread == pytest.approx(found.shift_spreads["redeem_coupon"], rel=0.1)
    (row,) = (r for r in describe_priors(found) if r.name == "redeem_shift.coupon")
    assert row.origin.value == "estimate+prior"


def test_weeks_that_did_not_reach_the_threshold_say_nothing() -> None:
    truth = SyntheticTruth(seed=4, customers=600, weeks=24)
    coupons = tuple(replace(o, kind=OfferKind.THRESHOLD, threshold_cents=10**8) for o in CATALOG.offers[1:])
    unreachable = Catalog(CATALOG.currency, CATALOG.max_total_discount, (CATALOG.offers[0], *coupons))
    assert learned(truth, unreachable) == PRIORS


def test_a_log_that_names_no_offer_leaves_the_prior() -> None:
    shop = open_shop(SyntheticTruth(customers=50, weeks=12))
    panel = build_panel(live_through(shop).events)
    assert learn_redeeming(PRIORS, panel, None, shop.market.response, CATALOG) is PRIORS
    assert Offer("none", OfferKind.NONE, "no offer") == CATALOG.offers[0]
