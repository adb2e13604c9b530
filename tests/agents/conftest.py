"""Every kind of agent, trained once in the little market when a test first asks for it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from agents.agent import LearningWorld, LoggedTargeting, TrainedPolicy
from agents.registry import AGENTS
from campaigns.offers import Catalog, Offer, OfferKind
from history.feedback import LoggedFeedback
from tests.agents.market import LAYOUT, ExactMonitor, make_world

SETTINGS: dict[str, dict[str, Any]] = {
    "knapsack": {"steps": 60_000, "credit_weeks": 2},
    "greedy": {"steps": 60_000, "credit_weeks": 2},
    "knapsack_ahead": {"steps": 90_000, "credit_weeks": 2, "prices": [0.0, 0.5, 1.0, 2.0, 3.0]},
    "lin_ts": {"steps": 60_000, "credit_weeks": 2},
    "lin_ucb": {"steps": 60_000, "credit_weeks": 2},
    "square_cb": {"steps": 60_000, "credit_weeks": 2},
    "bootstrap": {"steps": 60_000, "credit_weeks": 2},
    "neural_linear_ts": {"steps": 60_000, "credit_weeks": 2, "learn_every": 1, "minibatch": 256},
    "ppo": {"steps": 48_000, "minibatch": 512, "learning_rate": 5e-3, "epochs": 6},
}


@dataclass(frozen=True, eq=False)
class Trained:
    policy: TrainedPolicy
    monitor: ExactMonitor
    world: LearningWorld


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def log_of_signal(n: int = 4000) -> LoggedFeedback:
    """Return a log in which a coupon went out with log-odds -1 + 2 signal."""
    rng = np.random.default_rng(5)
    signal = rng.uniform(-1, 2, n)
    action = (rng.random(n) < 1 / (1 + np.exp(1 - 2 * signal))).astype(np.int64)
    features = np.stack([np.full(n, 0.5), signal], axis=1).astype(np.float32)
    money = np.zeros(n)
    return LoggedFeedback(("idle", "signal"), features, np.ones((n, 2), bool), action, money, money, None)


@pytest.fixture(scope="session")
def logged() -> LoggedTargeting:
    coupons = [
        Offer(name, OfferKind.COUPON, f"{value} cents", value_cents=value, cap_cents=value)
        for name, value in zip(LAYOUT.action_names[1:], (100, 200, 500), strict=True)
    ]
    catalog = Catalog("USD", 0.5, (Offer("none", OfferKind.NONE, "nothing"), *coupons))
    return LoggedTargeting(log_of_signal(), coupon_value_cents=180.0, catalog=catalog)


@pytest.fixture(scope="session")
def trained(logged: LoggedTargeting) -> Callable[[str], Trained]:
    @cache
    def train(kind: str) -> Trained:
        world, monitor = replace(make_world(1000), logged=logged), ExactMonitor()
        policy = AGENTS[kind](**SETTINGS.get(kind, {})).build().learn(world, seed=1, monitor=monitor)
        return Trained(policy, monitor, world)

    return train
