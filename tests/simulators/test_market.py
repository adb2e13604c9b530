"""The laws of a week in the market: shadows, expectations, permutations, neighbours, and no host round trip."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from campaigns.offers import Catalog
from history.features import features
from history.state import State
from simulators.market import Horizon, Market, Outcome, look, open_market, step, terminal_value
from simulators.observation import Observer
from simulators.reference import CATEGORIES, reference_pool, reference_world
from simulators.shopping import draw_noise
from tests.host import HostRoundTripError, NoHostRoundTrip
from tests.simulators.play import (
    ask_always,
    ask_anything,
    ask_dearest,
    ask_nothing,
    live,
    moved,
    noise_rows,
    open_at,
    rows_of,
    tensors_of,
)

aten: Any = torch.ops.aten
PLENTY = 1e6
"""Share of the catalog's stock at which nothing runs out."""


@pytest.mark.parametrize("n", [1, 7, 10, 37, 304])
def test_without_an_offer_a_customer_stays_its_own_shadow_and_the_uplift_is_0(n: int, market: Market) -> None:
    state = open_at(market, reference_pool(n, seed=5))
    for _, _, outcome, after in live(market, state, ask_nothing, weeks=30):
        for values in (outcome.uplift, outcome.realised_net - outcome.realised_shadow_net, outcome.cost):
            assert (values == 0).all()
        shadow = tensors_of(after.shadow)
        assert all(torch.equal(value, shadow[name]) for name, value in tensors_of(after.customer).items())
        assert (terminal_value(market, after) == 0).all()


def mean_and_error(values: Tensor) -> tuple[float, float]:
    values = values.double()
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def surprises(outcome: Outcome) -> dict[str, Tensor]:
    """Return what the draws gave beyond what was expected, shape (n,)."""
    return {
        "net": outcome.realised_net - outcome.net,
        "shadow": outcome.realised_shadow_net - outcome.shadow_net,
        "cost": outcome.realised_cost - outcome.cost,
    }


@pytest.mark.parametrize("offer", range(10))
def test_expected_net_and_cost_are_the_means_of_what_the_draws_give(offer: int, market: Market) -> None:
    market = replace(market, stock_share=PLENTY)
    start = reference_pool(8, seed=21).take(torch.arange(8).repeat(1200))
    state = open_at(market, start)
    weeks = [surprises(outcome) for _, _, outcome, _ in live(market, state, ask_always(offer), weeks=3, seed=offer)]
    for name in ("net", "shadow", "cost"):
        mean, error = mean_and_error(torch.cat([week[name] for week in weeks]))
        assert abs(mean) <= 4 * error, name
    assert offer == 0 or error > 0


@pytest.mark.parametrize("offer", range(10))
def test_integrating_over_the_luck_gives_the_expected_net_and_cost(offer: int, market: Market) -> None:
    customers, points = 4, 8192
    sobol = torch.quasirandom.SobolEngine(4, scramble=True, seed=offer).draw(points)
    luck = sobol.clamp(1e-6, 1 - 1e-6).repeat(customers, 1).T
    unused = torch.zeros(customers * points)
    plain = draw_noise(customers * points, len(CATEGORIES), torch.Generator())
    spend = torch.special.ndtri(luck[2])
    noise = replace(plain, visit=luck[0], baskets=luck[1], spend=spend, redeem=luck[3], arrival=unused, turn=unused)
    start = reference_pool(customers, seed=23).take(torch.arange(customers).repeat_interleave(points))
    market = replace(market, stock_share=PLENTY)
    state = open_at(market, start, draw=2)
    _, outcome = step(market, state, look(market, state), torch.full((state.n,), offer), noise)
    for found, expected, slack in (  # a threshold is seldom reached, so that few points tell its cost
        (outcome.realised_net, outcome.net, 0.0),
        (outcome.realised_shadow_net, outcome.shadow_net, 0.0),
        (outcome.realised_cost, outcome.cost, 0.002),
    ):
        torch.testing.assert_close(found.double().mean(), expected.double().mean(), rtol=0.002, atol=slack)


@pytest.mark.parametrize("size", [4, 40])
def test_expected_net_and_cost_are_right_when_the_stock_runs_out(size: int, catalog: Catalog, market: Market) -> None:
    flash, cohorts = catalog.index("flash_sale"), 3000
    market = replace(market, stock_share=1 / catalog.offers[flash].stock)
    assert market.stock(flash) == 1
    start = reference_pool(size, seed=22).take(torch.arange(size).repeat(cohorts))
    state = open_at(market, start, draw=5, cohorts=cohorts)
    ((_, _, outcome, _),) = live(market, state, ask_always(flash), weeks=1)
    for name, surprise in surprises(outcome).items():
        mean, error = mean_and_error(surprise.view(cohorts, size).mean(dim=1))
        assert abs(mean) <= 4 * error, name


def test_permuting_customers_permutes_results(market: Market, pool: State) -> None:
    n, generator = pool.n, torch.Generator().manual_seed(3)
    order = torch.randperm(n, generator=generator)
    market = replace(market, stock_share=0.02)
    state = open_at(market, pool, budget_cents=40_000)
    other = rows_of(state, order, n)
    other = replace(other, ledger=replace(other.ledger, reserved=state.ledger.reserved[:, order]))
    for _ in range(4):
        action = torch.randint(market.n_actions, (n,), generator=generator)
        noise = draw_noise(n, len(CATEGORIES), generator)
        state, outcome = step(market, state, look(market, state), action, noise)
        other, permuted = step(market, other, look(market, other), action[order], noise_rows(noise, order))
        same(permuted, rows_of(outcome, order, n))
    assert int(outcome.redeemed.sum()) > 0
    assert torch.equal(other.ledger.spent, state.ledger.spent)


def same(found: Any, expected: Any) -> None:
    """Compare two records: whole numbers and flags to the bit, floats to rounding."""
    wanted = tensors_of(expected)
    for name, value in tensors_of(found).items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-4, atol=1e-4, msg=lambda text, name=name: name + text)


def test_a_batch_is_its_customers_one_by_one(market: Market, pool: State) -> None:
    market = replace(market, stock_share=PLENTY)
    n, generator = 24, torch.Generator().manual_seed(8)
    start, draw = pool.take(torch.arange(pool.n - n, pool.n)), torch.arange(n)
    actions = [torch.randint(market.n_actions, (n,), generator=generator) for _ in range(3)]
    luck = [draw_noise(n, len(CATEGORIES), generator) for _ in range(3)]
    state = open_market(market, start, draw)
    together = []
    for action, noise in zip(actions, luck, strict=True):
        state, outcome = step(market, state, look(market, state), action, noise)
        together.append(outcome)
    for i in range(n):
        row = torch.tensor([i])
        alone = open_market(market, start.take(row), draw[row])
        for action, noise, outcome in zip(actions, luck, together, strict=True):
            alone, by_itself = step(market, alone, look(market, alone), action[row], noise_rows(noise, row))
            same(by_itself, rows_of(outcome, row, n))


def test_another_cohort_s_greed_changes_nothing(market: Market, pool: State) -> None:
    market = replace(market, stock_share=0.01)
    half = pool.n // 2
    state = open_at(market, pool, cohorts=2, budget_cents=5_000)
    greedy = next(live(market, state, ask_dearest, weeks=1))[2]
    modest = torch.cat([torch.zeros(half, dtype=torch.int64), greedy.offer[half:]])
    changed = next(live(market, state, lambda *_: modest, weeks=1))[2]
    for name, value in tensors_of(changed).items():
        assert torch.equal(value[half:], tensors_of(greedy)[name][half:]), name
    assert not torch.equal(changed.offer[:half], greedy.offer[:half])


def test_the_same_seed_gives_the_same_bits(market: Market, pool: State) -> None:
    def lived(seed: int) -> dict[str, Tensor]:
        *_, (_, _, _, after) = live(market, open_at(market, pool), ask_anything(seed), weeks=10, seed=seed)
        return tensors_of(after)

    first, again, other = lived(1), lived(1), lived(2)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first[".customer.spend_average"], other[".customer.spend_average"])


def test_the_state_remembers_what_the_outcome_tells(market: Market, pool: State) -> None:
    gift = market.catalog.index("gift")
    for before, sight, outcome, after in live(market, open_at(market, pool), ask_anything(6), weeks=8, seed=4):
        now, was = after.customer, before.customer
        assert torch.equal(now.weeks_since_visit == 0, outcome.visited)
        assert torch.equal(now.weeks_since_redemption == 0, outcome.redeemed)
        assert torch.equal(now.recent_contacts[:, 0] > 0, outcome.offer > 0)
        decay = 0.5 ** (1 / 4)
        spend = (now.spend_average[:, 1] - decay * was.spend_average[:, 1]) / (1 - decay)
        torch.testing.assert_close(spend, outcome.spend, rtol=1e-3, atol=1e-2)
        saved = now.pantry - was.pantry * 0.5 ** (1 / 2)
        paid = outcome.realised_cost - 0.02 * (outcome.offer > 0)
        live_offer = torch.where(outcome.offer > 0, outcome.offer, before.offer)
        torch.testing.assert_close(saved, torch.where(live_offer == gift, 0.0, paid), rtol=1e-3, atol=1e-3)
        assert not (outcome.redeemed & ~outcome.visited).any()
        assert torch.isfinite(sight.features).all()


@pytest.mark.parametrize("choose", [ask_dearest, ask_anything(2), ask_always(9)])
def test_everything_stays_finite_through_60_weeks_of_adversarial_play(choose: Any, market: Market, pool: State) -> None:
    rules = replace(market.rules, contact_cap=9)
    market = replace(market, horizon=Horizon(60, 13), rules=rules)
    rich = replace(pool, spend_average=pool.spend_average * 300, category_average=pool.category_average * 300)
    observer = reference_world().observer
    for start in (pool, rich):
        for state, sight, outcome, _ in live(market, open_at(market, start), choose, weeks=60):
            context = observer.observe(market, state, sight, torch.ones(state.n))
            for record in (outcome, context):
                for name, value in tensors_of(record).items():
                    assert torch.isfinite(value).all(), name
        for record in (state, sight):
            assert all(torch.isfinite(value).all() for value in tensors_of(record).values())
        assert torch.isfinite(terminal_value(market, state)).all()


def test_a_customer_without_any_purchase_is_seen_and_served(market: Market, pool: State) -> None:
    strangers = pool.take(torch.arange(pool.n - 4, pool.n))
    assert (strangers.weeks_seen == 0).all()
    for _, sight, outcome, after in live(market, open_at(market, strangers), ask_always(4), weeks=3):
        for record in (sight, outcome, after):
            assert all(torch.isfinite(value).all() for value in tensors_of(record).values())


@contextmanager
def refused() -> Iterator[None]:
    with NoHostRoundTrip(), pytest.raises(HostRoundTripError):
        yield


def test_the_guard_against_host_round_trips_works() -> None:
    values = torch.arange(3.0)
    with refused():
        values.sum().item()
    with refused():
        bool((values > 1).any())
    with refused():
        values[values > 1]
    with refused():
        values.nonzero()
    with refused():
        values.to("meta")
    with NoHostRoundTrip():
        values[torch.tensor([2, 0])]


def see_and_live(market: Market, observer: Observer, state: Any, action: Tensor, noise: Any, price: Tensor) -> Tensor:
    """Look, observe, step and value the end, as an episode does."""
    sight = look(market, state)
    context = observer.observe(market, state, sight, price)
    after, outcome = step(market, state, sight, action, noise)
    return context.features.sum() + terminal_value(market, after).sum() + outcome.uplift.sum()


def test_a_week_makes_no_host_round_trip(market: Market, pool: State) -> None:
    observer, n = reference_world().observer, pool.n
    action = torch.randint(market.n_actions, (n,), generator=torch.Generator().manual_seed(1))
    noise = draw_noise(n, len(CATEGORIES), torch.Generator())
    price = torch.ones(n)
    with NoHostRoundTrip():
        state = open_at(market, pool, cohorts=2, budget_cents=10_000)
        total = see_and_live(market, observer, state, action, noise, price)
    assert torch.isfinite(total)


def test_a_week_runs_on_a_device_without_values(market: Market, pool: State) -> None:
    observer, n, there = moved(reference_world().observer, "meta"), pool.n, moved(market, "meta")
    draw = torch.zeros(n, dtype=torch.int64, device="meta")
    state = open_market(there, moved(pool, "meta"), draw, cohorts=2, budget_cents=10_000)
    action, noise = (
        torch.zeros(n, dtype=torch.int64, device="meta"),
        moved(draw_noise(n, len(CATEGORIES), torch.Generator()), "meta"),
    )
    total = see_and_live(there, observer, state, action, noise, torch.ones(n, device="meta"))
    assert total.device.type == "meta"


def test_rows_that_share_a_member_need_only_that_one(market: Market, pool: State) -> None:
    seen = features(pool.take(torch.arange(24)))
    member = torch.tensor([1, 0, 1, 2])
    alone = market.response.baseline(seen, member.repeat_interleave(6))
    together = market.response.baseline(seen, member)
    for one, other in zip(vars(alone).values(), vars(together).values(), strict=True):
        torch.testing.assert_close(one, other)
