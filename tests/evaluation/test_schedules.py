"""Timetables: what none of them changes, and that the search never makes them worse."""

from dataclasses import replace

import torch

from campaigns.rules import Rules
from evaluation.planning import with_ample_stock
from evaluation.schedules import best_schedules, follow
from simulators.market import Horizon, Market
from simulators.priors import EffectPriors
from simulators.reference import CATALOG, reference_pool, reference_world
from simulators.worlds import MarketTerms, build_market

ONE_WEEK = replace(CATALOG, offers=tuple(replace(offer, weeks=1) for offer in CATALOG.offers))
WEEKS = 3


def market(priors: EffectPriors) -> Market:
    terms = MarketTerms(ONE_WEEK, Rules(contact_cap=9), priors, Horizon(campaign_weeks=WEEKS), draws=8)
    return with_ample_stock(build_market(reference_world(), terms))


def test_a_timetable_without_offers_brings_nothing_and_all_of_a_customer_share_their_luck() -> None:
    start, draw = reference_pool(20, 1), torch.zeros(20, dtype=torch.int64)
    schedules = torch.zeros(20, 3, WEEKS, dtype=torch.int64)
    schedules[:, 1:, 0] = 2
    found = follow(market(EffectPriors()), start, draw, schedules, seed=0)
    assert (found[:, 0] == 0).all()
    torch.testing.assert_close(found[:, 1], found[:, 2], rtol=1e-5, atol=1e-5)
    assert (found[:, 1] != 0).any()


def test_the_search_makes_no_timetable_worse_under_the_luck_that_it_searches_by() -> None:
    start, draw = reference_pool(20, 1), torch.zeros(20, dtype=torch.int64)
    begin = torch.full((20, WEEKS), 3)
    where = market(EffectPriors(visit_coupon=0.6, fatigue=0.5))
    one = best_schedules(where, start, draw, begin, lucks=1, seed=5)
    worth = follow(where, start, draw, torch.stack([begin, one], dim=1), seed=5)
    assert (worth[:, 1] >= worth[:, 0] - 1e-4).all() and worth[:, 1].sum() > worth[:, 0].sum()


def test_where_an_offer_only_costs_there_is_none_in_the_best_timetable() -> None:
    start, draw = reference_pool(20, 1), torch.zeros(20, dtype=torch.int64)
    useless = EffectPriors(
        visit_discount=0.0, visit_coupon=0.0, visit_flash_sale=0.0, spend_elasticity=0.0, relative_spread=0.0
    )
    found = best_schedules(market(useless), start, draw, torch.full((20, WEEKS), 2), lucks=4, seed=5)
    assert (found == 0).all()
