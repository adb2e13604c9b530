"""Learners find the best policy of a market in which it is known by hand."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from agents.best_single import BestSingleConfig
from campaigns.decision import Context
from tests.agents.market import ALLOWED, CAMPAIGN, COST, HORIZON, ExactMonitor, draw_context, make_world

LEARNERS = (
    "best_single",
    "knapsack",
    "knapsack_ahead",
    "lin_ts",
    "lin_ucb",
    "neural_linear_ts",
    "square_cb",
    "bootstrap",
    "ppo",
)


@pytest.mark.parametrize(
    ("kind", "share"),
    [
        ("knapsack", 0.95),
        ("knapsack_ahead", 0.95),
        ("lin_ts", 0.9),
        ("lin_ucb", 0.9),
        ("neural_linear_ts", 0.9),
        ("square_cb", 0.88),
        ("bootstrap", 0.9),
        ("ppo", 0.9),
    ],
)
def test_a_learner_earns_nearly_all_that_can_be_earned(trained: Callable[[str], Any], kind: str, share: float) -> None:
    monitor = trained(kind).monitor
    assert monitor.values[-1] >= share * monitor.optimum()


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_learner_stands_above_no_offer_and_random(trained: Callable[[str], Any], kind: str) -> None:
    assert trained("random").monitor.values[-1] < trained("no_offer").monitor.values[-1] == 0.0
    assert trained(kind).monitor.values[-1] > 0.0


@pytest.mark.parametrize("kind", LEARNERS)
def test_nobody_gets_an_offer_when_money_is_dear(trained: Callable[[str], Any], kind: str) -> None:
    context = draw_context(1000, seed=11)
    dear = Context(context.features, context.mask, torch.full((1000,), 2.9))
    assert float(trained(kind).policy.action_dist(dear)[:, 0].mean()) > 0.99


@pytest.mark.parametrize("kind", LEARNERS[1:])
def test_the_signal_decides_between_the_two_offers_that_pay(trained: Callable[[str], Any], kind: str) -> None:
    signal = torch.tensor([-0.9, -0.6, 0.6, 0.9])
    features = torch.stack([signal, torch.zeros(4), torch.ones(4)], dim=1)
    context = Context(features, torch.ones(4, 4, dtype=torch.bool), torch.zeros(4))
    assert trained(kind).policy.action_dist(context).argmax(dim=1).tolist() == [1, 1, 2, 2]


def test_the_best_single_offer_is_estimated_and_follows_each_rows_price() -> None:
    n, episodes = 4000, 2
    policy = BestSingleConfig(episodes=episodes).build().learn(make_world(n), seed=3, monitor=ExactMonitor())
    value = policy.tensors()["value"]
    given = ALLOWED * CAMPAIGN / HORIZON
    net = torch.tensor([0.0, 0.7, 0.5, 0.2]) * given
    # one decision's net has a standard deviation below 1.5 * sqrt(1/3) + 0.3 and its own chance of being allowed
    error = (1.5 / math.sqrt(3) + 0.3 + 0.7) / math.sqrt(n * episodes * CAMPAIGN) * CAMPAIGN / HORIZON
    torch.testing.assert_close(value[:, 0], net, atol=4 * error, rtol=0)
    torch.testing.assert_close(value[:, 1], COST * given, atol=4 * 4 * error, rtol=0)
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[1, 1] = False
    context = Context(torch.zeros(3, 3), mask, torch.tensor([0.0, 0.0, 2.0]))
    assert policy.action_dist(context).argmax(dim=1).tolist() == [1, 0, 0]
