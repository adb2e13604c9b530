"""One training serves every budget: as good as an agent that was trained for one price of money alone."""

from itertools import pairwise
from typing import Any

import pytest
import torch

from agents.agent import LearningWorld, TrainedPolicy
from agents.registry import AGENTS
from campaigns.decision import Context
from tests.agents.market import COST, HORIZON, LAYOUT, ExactMonitor, Market, MarketVecEnv, draw_context, expected_net

PRICES = (0.0, 0.2, 0.4, 0.7, 1.0, 1.4, 2.0)
SETTINGS: dict[str, Any] = {"steps": 150_000, "credit_weeks": 2}
KINDS = ("knapsack", "knapsack_ahead", "lin_ts", "lin_ucb", "bootstrap")


class OnePrice(Market):
    """The little market at one price of money."""

    def __init__(self, n: int, price: float) -> None:
        super().__init__(n)
        self._only = price

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._price[:] = self._only
        self.rows[:, LAYOUT.n_features] = self._only
        return self.rows, {}


def learn(kind: str, market: Market) -> TrainedPolicy:
    world = LearningWorld(market, MarketVecEnv(market), LAYOUT, HORIZON)
    return AGENTS[kind](**SETTINGS).build().learn(world, 2, ExactMonitor())


def curve_point(policy: TrainedPolicy, price: float) -> tuple[float, float]:
    """Return the expected net margin and cost of a policy at a price [USD per decision]."""
    drawn = draw_context(20_000, seed=5)
    context = Context(drawn.features, drawn.mask, torch.full((20_000,), price))
    dist = policy.action_dist(context)
    return float((dist * expected_net(drawn.features[:, 0])).sum(dim=1).mean()), float((dist @ COST).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_the_curve_of_profit_against_budget_rises_and_no_single_budget_is_served_better_alone(kind: str) -> None:
    policy = learn(kind, Market(1000))
    points = [curve_point(policy, price) for price in PRICES]
    for (net, cost), (less_net, less_cost) in pairwise(points):
        assert less_cost <= cost + 1e-3 and less_net <= net + 2e-3
    for price in (0.0, 0.4, 1.0):
        net, cost = points[PRICES.index(price)]
        alone_net, alone_cost = curve_point(learn(kind, OnePrice(1000, price)), price)
        assert net - price * cost >= 0.98 * (alone_net - price * alone_cost)
