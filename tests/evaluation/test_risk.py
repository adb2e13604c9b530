"""A risk budget is met: seldom overspent, nearly all spent, though no campaign knows its own response."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from campaigns.offers import Catalog, Offer, OfferKind
from evaluation.budget import BudgetMode, bears, find_price, try_mode, whole_budget
from evaluation.risk import believed_costs, within_campaign
from evaluation.rollout import Play, play
from simulators.market import look, open_market
from simulators.reference import reference_market, reference_pool, reference_world
from tests.evaluation.policies import First, Nothing, Thrifty


@pytest.fixture(scope="module")
def shop() -> Play:
    """Return two thousand customers and coupons for a week, in campaigns under draws of their own."""
    coupons = [
        Offer(f"coupon_{n}", OfferKind.COUPON, f"{n} USD", value_cents=100 * n, cap_cents=100 * n, contact_cents=2)
        for n in (1, 2)
    ]
    market = reference_market(Catalog("USD", 0.5, (Offer("none", OfferKind.NONE, "no offer"), *coupons)))
    market = replace(market, rules=replace(market.rules, contact_cap=8, margin_floor=-1.0))
    return Play(market, reference_world().observer, reference_pool(2000, seed=3), worlds=40, seed=12)


@pytest.mark.slow
def test_the_budget_is_seldom_passed_and_nearly_spent_whatever_the_response(shop: Play) -> None:
    policy, budget = Thrifty(1), 0.02
    price = find_price(policy, budget, replace(shop, worlds=6), steps=6).price
    blind = play(policy, price, shop).realised_cost.mean(axis=1) / 8 / budget
    assert blind.std() > 0.25  # the response differs that much
    kept = try_mode(BudgetMode.RISK, policy, price, budget, shop)
    assert kept.overrun_chance <= 1 / 40
    assert abs(kept.cost / budget - 1) <= 0.02
    hard = try_mode(BudgetMode.HARD, policy, price, budget, shop)
    assert hard.overrun_chance == 0
    assert hard.uplift < kept.uplift


def test_what_is_believed_is_what_offers_cost_in_the_mean_of_the_draws(shop: Play) -> None:
    n, device = shop.start.n, "cpu"
    one = replace(shop.market, horizon=replace(shop.market.horizon, campaign_weeks=1))
    state = open_market(one, shop.start, torch.zeros(n, dtype=torch.int64, device=device))
    costs = believed_costs(one, state, look(one, state))
    for offer in (1, 2):
        real = play(First((offer,)), 0.0, replace(shop, market=one)).realised_cost.mean()
        believed = float(costs.of_new(one.columns.weeks)[:, offer].mean()) + 0.02
        assert 0.6 < believed / real < 1.5


def test_no_offer_outlives_a_steered_campaign(shop: Play) -> None:
    market = reference_market()
    lasting = [within_campaign(market, week).tolist() for week in (4, 5, 7)]
    assert lasting == [[True] * 5, [True, True, False, False, True], [True, True, False, False, True]]


@pytest.mark.parametrize("mode", BudgetMode)
def test_the_first_week_goes_out_only_as_far_as_the_budget_bears_it(mode: BudgetMode, shop: Play) -> None:
    offer = torch.full((shop.start.n,), 2)
    turn = torch.rand(shop.start.n, generator=torch.Generator().manual_seed(1))
    out = []
    for budget in (1e-9, 0.01, 1e6):
        borne = bears(mode, shop, offer, turn, whole_budget(budget, shop))
        assert borne[:, 0].all()
        assert (borne[:, 1] | ~borne[:, 2]).all()  # who may have 2 USD may have 1 USD
        assert borne[:, 2][turn.argsort()].int().diff().le(0).all()  # nobody overtakes
        out.append(int(borne[:, 2].sum()))
    assert out[0] == 0 < out[1] < out[2] == shop.start.n
    if mode is BudgetMode.HARD:
        assert out[1] == int(whole_budget(0.01, shop) / 2.02)


@pytest.mark.parametrize("mode", BudgetMode)
def test_who_asks_for_nothing_takes_nothing_from_the_others(mode: BudgetMode, shop: Play) -> None:
    some = torch.arange(shop.start.n) % 2 == 0
    turn = torch.arange(shop.start.n) / shop.start.n
    both = [bears(mode, shop, torch.where(some, 2, other), turn, 30.0)[:, 2] for other in (0, 2)]
    assert abs(int(both[0].sum()) - 2 * int(both[1].sum())) <= 8


def test_a_policy_that_offers_nothing_spends_nothing(shop: Play) -> None:
    kept = try_mode(BudgetMode.RISK, Nothing(), 0.0, 0.02, replace(shop, worlds=2))
    assert (kept.cost, kept.uplift, kept.overrun_chance) == (0.0, 0.0, 0.0)
    assert 0.8 < kept.overrun_hi < 0.9
    assert np.isfinite(kept.cost_se)
