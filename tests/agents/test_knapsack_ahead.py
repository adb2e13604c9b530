"""Looking ahead pays where an offer spoils the weeks after it; the optimum is known by dynamic programming."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.agent import LearningWorld
from agents.knapsack import KnapsackConfig
from agents.knapsack_ahead import KnapsackAheadConfig, hat_weights
from campaigns.decision import Context, ObservationLayout
from tests.agents.market import ExactMonitor, Market, MarketVecEnv

LAYOUT = ObservationLayout(("taste", "fresh", "last", "before_last", "weeks_left"), ("none", "small", "big"))
WEEKS, WASH_OUT, REST = 6, 2, 2
GAIN = (0.0, 1.0, 1.5)
TIRED_LOSS = -0.5
COST = (0.0, 0.4, 0.4)


def gain(taste: Tensor, offer: Tensor, tired: Tensor) -> Tensor:
    """Return what an offer brings [USD]: a loss to those whom a big one of the last `REST` weeks has tired."""
    return torch.where(tired > 0, (offer > 0) * TIRED_LOSS, taste * torch.tensor(GAIN)[offer])


class TiringMarket(Market):
    """n customers whom a big offer tires for `REST` weeks."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.rows = np.zeros((n, LAYOUT.width), np.float32)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._week, self._tired = 0, np.zeros(self.num_envs, np.int64)
        self._taste = self._rng.uniform(0.5, 1.5, self.num_envs)
        return self._observe(), {}

    def step(self, actions: Any) -> Any:
        offer = np.asarray(actions)
        brought = gain(torch.from_numpy(self._taste), torch.from_numpy(offer), torch.from_numpy(self._tired)).numpy()
        net = brought + 0.2 * self._rng.standard_normal(self.num_envs)
        self._tired = np.where((offer == 2) & (self._tired == 0), REST, np.maximum(self._tired - 1, 0))
        self._week += 1
        done = np.full(self.num_envs, self._week == WEEKS + WASH_OUT)
        info = {"net": net, "cost": np.array(COST)[offer]}
        observation = self.reset()[0] if done.all() else self._observe()
        return observation, net.astype(np.float32), done, np.zeros(self.num_envs, bool), info

    def _observe(self) -> Any:
        taste, tired = torch.from_numpy(self._taste), torch.from_numpy(self._tired)
        self.rows[:] = rows(taste, tired, self._week)
        return self.rows


def rows(taste: Tensor, tired: Tensor, week: int) -> Tensor:
    one, left = torch.ones(len(taste)), WEEKS - week
    columns = [
        taste.float() - 1.0,
        (tired == 0).float(),
        one * (left == 1),
        one * (left == 2),
        one * max(left, 0) / WEEKS,
    ]
    allowed = [one, one * (left > 0), one * (left > 0)]
    return torch.stack([*columns, torch.zeros(len(taste)), *allowed], dim=1)


def value_of(policy: Any, price: float) -> float:
    """Return a policy's mean net - λ cost over a grid of tastes [USD], without noise."""
    taste = torch.linspace(0.5, 1.5, 101)
    tired, total = torch.zeros(101, dtype=torch.int64), 0.0
    for week in range(WEEKS):
        seen = LAYOUT.split(rows(taste, tired, week))
        context = Context(seen.features, seen.mask, torch.full((101,), price))
        offer = policy.action_dist(context).argmax(dim=1)
        total += float((gain(taste, offer, tired) - price * torch.tensor(COST)[offer]).mean())
        tired = torch.where((offer == 2) & (tired == 0), REST, (tired - 1).clamp(min=0))
    return total


def optimum(price: float) -> float:
    """Return the same of the best policy, by dynamic programming."""

    def best(taste: float) -> float:
        @cache
        def from_here(week: int, tired: int) -> float:
            if week == WEEKS:
                return 0.0
            found = []
            for offer in range(3):
                brought = (TIRED_LOSS if tired else taste * GAIN[offer]) if offer else 0.0
                after = REST if offer == 2 and not tired else max(tired - 1, 0)
                found.append(brought - price * COST[offer] + from_here(week + 1, after))
            return max(found)

        return from_here(0, 0)

    return float(np.mean([best(float(taste)) for taste in torch.linspace(0.5, 1.5, 101)]))


@pytest.fixture(scope="module")
def world() -> LearningWorld:
    market = TiringMarket(2000)
    return LearningWorld(market, MarketVecEnv(market), LAYOUT, WEEKS + WASH_OUT)


class Unscored(ExactMonitor):
    def validate(self, policy: Any, step: int) -> float:
        return 0.0


SETTINGS: dict[str, Any] = {"steps": 160_000, "credit_weeks": 1, "explore": 0.5}


@pytest.fixture(scope="module")
def ahead(world: LearningWorld) -> Any:
    return KnapsackAheadConfig(**SETTINGS, prices=[0.0, 0.8, 1.6, 2.4]).build().learn(world, 1, Unscored())


@pytest.mark.parametrize("price", [0.0, 0.6, 1.6, 2.0])
def test_looking_ahead_reaches_the_optimum_at_every_price(ahead: Any, price: float) -> None:
    assert value_of(ahead, price) >= 0.97 * optimum(price)


def test_a_myopic_knapsack_tires_its_customers(world: LearningWorld, ahead: Any) -> None:
    myopic = KnapsackConfig(**SETTINGS).build().learn(world, 1, Unscored())
    assert value_of(myopic, 0.0) < 0.6 * optimum(0.0) < value_of(ahead, 0.0)


def test_prices_are_interpolated_linearly_and_held_at_the_ends() -> None:
    knots = torch.tensor([0.0, 1.0, 3.0])
    weights = hat_weights(torch.tensor([0.0, 0.5, 1.0, 2.5, 9.0]), knots)
    expected = [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.25, 0.75], [0, 0, 1]]
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float32))
    assert hat_weights(torch.tensor([0.0, 7.0]), torch.tensor([1.0])).tolist() == [[1.0], [1.0]]
