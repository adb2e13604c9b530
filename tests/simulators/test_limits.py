"""Rules, budget and stock hold in the market, whatever is asked for."""

from dataclasses import replace

import pytest
import torch

from campaigns.offers import Catalog, Offer, OfferKind
from history.state import State
from simulators.market import Horizon, Market, look, step
from simulators.reference import reference_market, reference_pool
from simulators.shopping import draw_noise
from tests.simulators.play import Choose, ask_always, ask_anything, ask_dearest, live, open_at, tensors_of

ADVERSARIES = [ask_dearest, ask_anything(5), ask_always(9), ask_always(6)]


@pytest.mark.parametrize("budget", [0, 150, 2_000, 30_000])
@pytest.mark.parametrize("choose", ADVERSARIES)
def test_no_cohort_ever_spends_more_than_its_budget(budget: int, choose: Choose, market: Market, pool: State) -> None:
    state = open_at(market, pool, cohorts=4, budget_cents=budget)
    before = state.ledger.spent
    for _, _, outcome, after in live(market, state, choose, weeks=12):
        ledger = after.ledger
        assert (ledger.spent <= budget).all()
        assert (ledger.remaining >= 0).all()
        assert (ledger.reserved >= 0).all()
        assert (ledger.excess == 0).all()
        assert torch.equal(ledger.remaining + ledger.reserved.sum(dim=1) + ledger.spent, torch.full((4,), budget))
        paid = torch.round(outcome.realised_cost.double() * 100).to(torch.int64).view(4, -1).sum(dim=1)
        assert torch.equal(ledger.spent - before, paid)
        before = ledger.spent
    assert budget < 1_000 or (ledger.spent > 0).all()


def test_what_is_reserved_is_the_worst_case_of_the_live_offers_and_comes_back(market: Market, pool: State) -> None:
    market = replace(market, horizon=Horizon(3, 13))
    state = open_at(market, pool, budget_cents=10_000_000)
    for _, _, _, after in live(market, state, ask_anything(3), weeks=10):
        worst = torch.where(after.weeks_left > 0, market.columns.cap[after.offer], 0)
        assert torch.equal(after.ledger.reserved, worst.view(1, -1))
    assert (after.offer == 0).all()


@pytest.mark.parametrize("stock_share", [0.005, 0.05])
def test_no_more_stock_is_sold_than_there_is_and_the_first_to_come_get_it(
    stock_share: float, market: Market, pool: State
) -> None:
    flash, cohorts = market.catalog.index("flash_sale"), 2
    scarce = replace(market, stock_share=stock_share)
    stock = scarce.stock(flash)
    assert stock == round(200 * stock_share)
    state = open_at(market, pool, cohorts=cohorts)
    everybody = torch.full_like(state.offer, flash)
    sold_out = 0
    for seed in range(10):
        noise, sight = (
            draw_noise(state.n, state.customer.n_categories, torch.Generator().manual_seed(seed)),
            look(market, state),
        )
        _, plenty = step(replace(market, stock_share=1e6), state, sight, everybody, noise)
        _, short = step(scarce, state, sight, everybody, noise)
        assert not (short.redeemed & ~plenty.redeemed).any()
        claims, served = plenty.redeemed.view(cohorts, -1), short.redeemed.view(cohorts, -1)
        for claim, serve, arrival in zip(claims, served, noise.arrival.view(cohorts, -1), strict=True):
            first = torch.sort(arrival[claim]).values[:stock]
            assert torch.equal(torch.sort(arrival[serve]).values, first)
            sold_out += int(claim.sum() > stock)
    assert sold_out > 10


def test_stock_is_there_again_the_week_after(market: Market, pool: State) -> None:
    flash = market.catalog.index("flash_sale")
    scarce = replace(market, stock_share=0.01, rules=replace(market.rules, contact_cap=9))
    weeks = [
        int(outcome.redeemed.sum()) for _, _, outcome, _ in live(scarce, open_at(scarce, pool), ask_always(flash), 6)
    ]
    assert weeks == [2] * 6


def test_a_cohort_gets_its_share_of_the_stock_and_at_least_one_piece(market: Market) -> None:
    flash = market.catalog.index("flash_sale")
    assert [replace(market, stock_share=share).stock(flash) for share in (1.0, 0.5, 0.001)] == [200, 100, 1]
    assert market.stock(market.catalog.index("coupon_1")) is None


@pytest.mark.parametrize("choose", ADVERSARIES)
def test_nobody_is_told_of_more_offers_than_the_contact_cap_within_its_window(
    choose: Choose, market: Market, pool: State
) -> None:
    market = replace(market, horizon=Horizon(30, 13))
    made = torch.stack([week[2].offer > 0 for week in live(market, open_at(market, pool), choose, weeks=30)])
    windows = made.to(torch.int64).unfold(0, market.rules.contact_window_weeks, 1).sum(dim=2)
    assert int(windows.max()) == market.rules.contact_cap


@pytest.mark.parametrize("choose", ADVERSARIES)
def test_nobody_has_two_offers_at_once_and_each_lives_as_long_as_it_says(
    choose: Choose, market: Market, pool: State
) -> None:
    for before, sight, outcome, after in live(market, open_at(market, pool), choose, weeks=14):
        busy = before.weeks_left > 0
        assert not (sight.mask[busy, 1:]).any()
        assert not (outcome.offer[busy] > 0).any()
        new = outcome.offer > 0
        lasting = torch.where(new, market.columns.weeks[outcome.offer], before.weeks_left) - 1
        expected = torch.where(outcome.redeemed, 0, lasting.clamp(min=0))
        assert torch.equal(after.weeks_left, expected)
        assert torch.equal(after.offer > 0, after.weeks_left > 0)
        assert not (outcome.redeemed & ~busy & ~new).any()


def test_after_the_campaign_only_no_offer_is_allowed(market: Market, pool: State) -> None:
    market = replace(market, horizon=Horizon(2, 13))
    for before, sight, outcome, _ in live(market, open_at(market, pool), ask_anything(1), weeks=6):
        assert sight.mask[:, 0].all()
        assert bool(sight.mask[:, 1:].any()) == (before.week < 2)
        assert before.week < 2 or (outcome.offer == 0).all()


def test_an_offer_is_kept_for_whom_it_is_meant() -> None:
    back = Offer("win_back", OfferKind.COUPON, "x", value_cents=300, cap_cents=300, min_weeks_since_visit=3)
    market = reference_market(Catalog("USD", 0.5, (Offer("none", OfferKind.NONE, "no offer"), back)))
    market = replace(market, rules=replace(market.rules, margin_floor=-1.0))
    state = open_at(market, reference_pool(300, seed=2))
    away = state.customer.weeks_since_visit >= 3
    assert 0 < int(away.sum()) < 300
    for before, _, outcome, _ in live(market, state, ask_always(1), weeks=4):
        assert not (outcome.offer[before.customer.weeks_since_visit < 3] > 0).any()
    first = next(live(market, state, ask_always(1), weeks=1))[2]
    assert torch.equal(first.offer > 0, away)


def test_an_offer_that_the_cohort_cannot_afford_is_forbidden(market: Market, pool: State) -> None:
    dearest = int((market.columns.cap + market.columns.contact).max())
    assert look(market, open_at(market, pool, budget_cents=dearest)).mask.any(dim=0).all()
    mask = look(market, open_at(market, pool, budget_cents=dearest - 1)).mask
    assert mask.any(dim=0).tolist() == (market.columns.cap + market.columns.contact < dearest).tolist()


def test_an_offer_below_the_margin_floor_is_forbidden(market: Market, pool: State) -> None:
    strict = replace(market, rules=replace(market.rules, margin_floor=0.27))
    loose = replace(market, rules=replace(market.rules, margin_floor=-1.0))
    some, most = look(strict, open_at(strict, pool)).mask, look(loose, open_at(loose, pool)).mask
    assert not (some & ~most).any()
    assert most.all()
    assert int(some.sum()) < int(most.sum())


def test_a_forbidden_offer_is_counted_and_becomes_no_offer_at_no_cost(market: Market, pool: State) -> None:
    *_, (_, _, _, state) = live(market, open_at(market, pool, budget_cents=3_000), ask_anything(9), weeks=3)
    sight, noise = (
        look(market, state),
        draw_noise(state.n, state.customer.n_categories, torch.Generator().manual_seed(2)),
    )
    wanted = torch.randint(market.n_actions, (state.n,), generator=torch.Generator().manual_seed(3))
    forbidden = ~sight.mask.gather(1, wanted.unsqueeze(1)).squeeze(1)
    assert 0 < int(forbidden.sum()) < state.n
    after, outcome = step(market, state, sight, wanted, noise)
    assert torch.equal(outcome.violation, forbidden)
    assert (outcome.offer[forbidden] == 0).all()
    assert torch.isin(outcome.offer, torch.tensor([0])).logical_or(outcome.offer == wanted).all()
    obedient, allowed = step(market, state, sight, torch.where(forbidden, 0, wanted), noise)
    assert not allowed.violation.any()
    for name, value in tensors_of(after).items():
        assert torch.equal(value, tensors_of(obedient)[name]), name
    for name, value in tensors_of(outcome).items():
        assert name == ".violation" or torch.equal(value, tensors_of(allowed)[name]), name
