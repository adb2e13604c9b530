"""The knapsack's exploration, credit, response model and answer to λ."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.episode import credited
from agents.knapsack import KnapsackAgent, KnapsackConfig
from agents.regression import Basis, Statistics, products, squares
from agents.shared import SharedRidge
from campaigns.decision import Context
from tests.agents.market import CAMPAIGN, ExactMonitor, draw_context, make_world


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), low=st.floats(0, 50, width=32), more=st.floats(0, 50, width=32))
def test_a_higher_price_never_raises_the_expected_cost(
    trained: Callable[[str], Any], seed: int, low: float, more: float
) -> None:
    policy, context = trained("knapsack").policy, draw_context(50, seed)
    _, cost = policy.predict(context.features)

    def cost_at(price: float) -> torch.Tensor:
        priced = Context(context.features, context.mask, torch.full((50,), price))
        spent: torch.Tensor = (policy.action_dist(priced) * cost).sum(dim=1)
        return spent

    assert (cost_at(low + more) <= cost_at(low) + 1e-5).all()


def test_the_log_of_exploration_knows_its_own_probabilities() -> None:
    config = KnapsackConfig(explore=0.4, credit_weeks=2)
    log = KnapsackAgent(config).explore(make_world(2000), seed=1, episodes=2, monitor=ExactMonitor())
    assert log.pscore is not None and (log.mask.sum(axis=1) > 1).all() and log.n <= 2000 * 2 * CAMPAIGN
    # importance weights average 1: (share of "left", weighted) against the share of rows that allow it
    weight = np.where(log.action == 1, 1 / log.pscore, 0.0)
    error = weight.std() / math.sqrt(log.n)
    assert abs(weight.mean() - log.mask[:, 1].mean()) < 4 * error
    offered = (log.action > 0).mean()
    assert abs(offered - 0.4) < 4 * math.sqrt(0.24 / log.n)


def test_credit_adds_the_weeks_that_follow_and_stops_at_the_end() -> None:
    week = torch.tensor([[1.0], [2.0], [4.0], [8.0]])
    assert credited(week, 1).flatten().tolist() == [1, 2, 4, 8]
    assert credited(week, 2).flatten().tolist() == [3, 6, 12, 8]
    assert credited(week, 3).flatten().tolist() == [7, 14, 12, 8]
    assert credited(week, 9).flatten().tolist() == [15, 14, 12, 8]


def test_the_credited_window_carries_the_whole_effect(trained: Callable[[str], Any]) -> None:
    features = torch.tensor([[-0.5, 0.0, 1.0], [0.5, 0.0, 1.0]])
    net, cost = trained("knapsack").policy.predict(features)
    expected = torch.tensor([[0.0, 1.45, -0.25, 0.2], [0.0, -0.05, 1.25, 0.2]])
    torch.testing.assert_close(net, expected, atol=0.15, rtol=0)
    torch.testing.assert_close(cost, torch.tensor([[0.0, 1.0, 1.0, 4.0]] * 2), atol=0.15, rtol=0)


def effects_of(statistics: Statistics, pool: float, own: float) -> torch.Tensor:
    """Return each offer's coefficients less those of no offer, where nothing describes offers."""
    rows = torch.tensor([[1.0, float(offer > 0)] for offer in range(len(statistics.count))]).double()
    found = SharedRidge(statistics.gram, rows, pool, own).solve(statistics.moment).of(rows)
    return found - found[:1]


def test_effects_without_noise_are_recovered_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([torch.ones(3000, 1), torch.randn(3000, 4, generator=generator)], dim=1).double()
    effects = torch.randn(3, 5, 2, generator=generator, dtype=torch.float64)
    base = torch.randn(5, 2, generator=generator, dtype=torch.float64)
    effects[0] = 0.0
    action = torch.randint(3, (3000,), generator=generator)
    outcome = x @ base + torch.einsum("np,npk->nk", x, effects[action])
    statistics = Statistics.empty(3, 5)
    for part in torch.arange(3000).tensor_split(4):
        statistics.add(x[part], action[part], outcome[part])
    found = effects_of(statistics, pool=1e-6, own=1e-6)
    torch.testing.assert_close(found, effects, atol=1e-4, rtol=0)
    assert statistics.count.sum() == 3000


def test_an_offer_with_little_data_leans_on_the_mean_of_all_offers() -> None:
    statistics = Statistics.empty(4, 1)
    ones = torch.ones(1000, 1)
    for offer, (count, net) in enumerate([(1000, 0.0), (1000, 2.0), (1000, 2.0), (2, -50.0)]):
        outcome = torch.full((count, 2), net, dtype=torch.float64)
        statistics.add(ones[:count], torch.full((count,), offer), outcome)
    effect = effects_of(statistics, pool=1.0, own=100.0)[:, 0, 0]
    assert abs(float(effect[1]) - 2.0) < 0.1
    assert 0.0 < float(effect[3]) < 2.0


def test_the_basis_multiplies_what_it_says() -> None:
    pairs = torch.cat([squares(3), products(torch.tensor([2, 0]))])
    row = Basis(pairs).expand(torch.tensor([[2.0, -3.0, 9.0]]))
    assert row.tolist() == [[1, 2, -3, 4, 4, 9, 16, 8]]
