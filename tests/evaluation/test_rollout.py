"""Policies are played under the same luck, within the budget, and add up to what was expected."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import evaluation.rollout
from evaluation.budget import DEAREST as DEAREST_PRICE
from evaluation.budget import BudgetMode, PriceSearch, find_price, try_mode
from evaluation.rollout import Play, Result, expected_gain, play
from simulators.market import Horizon
from simulators.reference import reference_pool
from tests.evaluation.policies import Anything, First, Headless, Nothing, Thrifty

Table = NDArray[np.float64]
DEAREST = First((4, 1, 3, 2))


def same(first: Result, second: Result) -> bool:
    return all(np.array_equal(getattr(first, f.name), getattr(second, f.name)) for f in fields(Result))


def test_no_offer_brings_and_costs_exactly_nothing(where: Play) -> None:
    result = play(Nothing(), 0.0, where)
    for values in (result.uplift, result.cost, result.realised_uplift, result.realised_cost):
        assert (values == 0).all()
    assert result.offers.tolist() == [result.offers.sum(), 0, 0, 0, 0]
    assert (result.redeemed, result.violations, result.entropy) == (0, 0, 0.0)
    assert (result.shadow_margin > 0).any()


def test_the_same_seed_gives_equal_results_and_another_one_others(where: Play) -> None:
    first, again = play(Anything(), 0.5, where), play(Anything(), 0.5, where)
    assert same(first, again)
    assert not same(first, play(Anything(), 0.5, replace(where, seed=4)))


def test_policies_that_decide_alike_bring_the_same_whatever_they_are(where: Play) -> None:
    assert same(play(First((2,)), 0.0, where), play(First((2,)), 3.0, where))
    assert not same(play(First((2,)), 0.0, where), play(First((3,)), 0.0, where))


def test_all_policies_meet_the_same_shadows(where: Play) -> None:
    margins = [play(policy, 0.0, where).shadow_margin for policy in (Nothing(), Anything(), DEAREST)]
    for margin in margins[1:]:  # the taste that weighs the margin is stored anew each week, and so rounded
        np.testing.assert_allclose(margin, margins[0], rtol=1e-6)


def test_every_customer_of_every_world_is_in_the_result(where: Play) -> None:
    result = play(Anything(), 0.0, where)
    assert result.uplift.shape == result.cost.shape == (where.worlds, where.start.n)
    weeks = where.market.horizon.weeks
    assert result.offers.sum() == where.worlds * where.start.n * weeks
    assert 0 < result.entropy < np.log(5)
    assert result.redeemed > 0


@pytest.mark.parametrize("budget", [0, 700, 5_000])
@pytest.mark.parametrize("rows", [1, 10_000])
def test_a_hard_budget_is_never_overspent_however_the_worlds_are_cut_up(
    budget: int, rows: int, where: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation.rollout, "ROWS", rows)
    result = play(DEAREST, 0.0, replace(where, budget_cents=budget))
    assert result.overspent_cents <= 0
    assert result.excess_cents == 0
    assert (result.realised_cost.sum(axis=1) * 100 <= budget + 1e-3).all()
    assert (budget == 0) == (result.realised_cost.sum() == 0)
    assert result.violations == 0


def test_each_world_lives_under_its_own_draw_of_the_effects(where: Play) -> None:
    effects, index = where.market.effects, torch.arange(where.market.effects.n_draws)
    idle = index == 1  # under this draw offers cost money and move nobody
    dull = replace(
        effects, visit=effects.visit * ~idle.unsqueeze(1), spend=effects.spend * ~idle, stockpiling=0 * effects.spend
    )
    where = replace(where, market=replace(where.market, effects=dull))
    offer = torch.full((where.start.n,), 3)
    for uplift, cost in (expected_gain(where, offer, weeks=4), _totals(play(First((3,)), 0.0, where))):
        moved = (uplift + cost).sum(axis=1) > 1e-3
        assert moved.tolist() == [True, False, True, True]


def _totals(result: Result) -> tuple[Table, Table]:
    return result.uplift, result.cost


@pytest.mark.parametrize("policy", [First((1,)), First((2,)), First((4,)), Anything()])
def test_what_is_expected_agrees_with_what_the_draws_gave(policy: Any, where: Play) -> None:
    market = replace(where.market, horizon=Horizon(8, 13, terminal_weeks=0.0))
    start = reference_pool(100, seed=14)
    result = play(policy, 0.0, replace(where, market=market, start=start, worlds=60))
    for found, expected in ((result.realised_uplift, result.uplift), (result.realised_cost, result.cost)):
        by_world = (found - expected).mean(axis=1)  # customers of a world share its stock
        assert abs(by_world.mean()) <= 4 * by_world.std(ddof=1) / len(by_world) ** 0.5


def test_a_forbidden_choice_of_a_policy_is_counted(where: Play) -> None:
    result = play(Headless(3), 0.0, where)
    assert result.violations > 0
    assert play(First((3,)), 0.0, where).violations == 0
    assert np.array_equal(result.uplift, play(First((3,)), 0.0, where).uplift)


def test_after_the_campaign_policies_are_not_asked(where: Play) -> None:
    market = replace(where.market, horizon=Horizon(1, 13))
    result = play(Headless(3), 0.0, replace(where, market=market))
    assert result.offers[3] == where.worlds * where.start.n
    assert result.violations == 0


def test_no_offer_gains_nothing_and_each_offer_is_followed_by_draw(where: Play) -> None:
    none = torch.zeros(where.start.n, dtype=torch.int64)
    uplift, cost = expected_gain(where, none, weeks=4)
    assert uplift.shape == cost.shape == (where.worlds, where.start.n)
    assert (uplift == 0).all()
    assert (cost == 0).all()
    uplift, cost = expected_gain(where, none + 3, weeks=4)
    assert (cost > 0).all()
    assert len(np.unique(uplift.mean(axis=1))) == where.worlds


def test_the_gain_of_a_forbidden_offer_is_that_of_none(where: Play) -> None:
    rules = replace(where.market.rules, contact_cap=0)
    barred = replace(where, market=replace(where.market, rules=rules))
    uplift, cost = expected_gain(barred, torch.full((where.start.n,), 3), weeks=4)
    assert (uplift == 0).all()
    assert (cost == 0).all()


def test_a_policy_that_heeds_the_price_of_money_meets_the_budget_closely(where: Play) -> None:
    policy, weeks = Thrifty(3), where.market.horizon.campaign_weeks
    free = float(play(policy, 0.0, where).cost.mean()) / weeks
    priced = find_price(policy, 0.5 * free, where, steps=6)
    assert priced.met
    assert 0 < priced.price < 64
    assert 0.75 * 0.5 * free <= priced.cost <= 0.5 * free
    ample = find_price(policy, 10 * free, where)
    assert (ample.price, ample.met, ample.overrun_chance) == (0.0, True, 0.0)


def test_a_policy_that_ignores_the_price_of_money_misses_the_budget_and_says_so(where: Play) -> None:
    free = float(play(First((3,)), 0.0, where).cost.mean()) / where.market.horizon.campaign_weeks
    priced = find_price(First((3,)), 0.5 * free, where, steps=2)
    assert not priced.met
    assert priced.cost == pytest.approx(free)


def test_under_a_hard_limit_no_world_passes_the_budget(where: Play) -> None:
    limited = try_mode(BudgetMode.HARD, First((3,)), 0.0, 0.05, where)
    assert limited.overrun_chance == 0.0
    assert limited.uplift > 0
    assert limited.cost < find_price(First((3,)), 0.05, where, steps=1).cost


@pytest.mark.parametrize("budget", [0.02, 0.05, 0.11])
def test_a_budget_is_met_from_below_with_few_further_plays(budget: float, where: Play) -> None:
    policy, many = Thrifty(3), replace(where, worlds=12)
    search = PriceSearch(policy, many)
    search.bisect(0.08, steps=4)
    near, exact = search.near(budget, tries=8), find_price(policy, budget, many, steps=14)
    assert near.met and near.cost <= budget
    assert near.cost == pytest.approx(exact.cost, rel=0.05)
    assert near == search.at(near.price, budget)
    assert search.near(budget, tries=0) == near  # what was found stays known


def test_a_search_returns_what_a_single_play_at_that_price_does(where: Play) -> None:
    search = PriceSearch(Thrifty(3), where)
    assert search.bisect(0.05) == find_price(Thrifty(3), 0.05, where)
    free, none = search.near(1e9), PriceSearch(First((4,)), where).near(1e-6)
    assert (free.price, free.met) == (0.0, True)
    assert (none.price, none.met) == (DEAREST_PRICE, False)
