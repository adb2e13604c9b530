"""PPO against dynamic programming, where what an offer does comes weeks later."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from agents.ppo import PPOConfig
from tests.agents.market import ExactMonitor
from tests.agents.tables import TABLES, Table

SEEDS = 10


class Scoring(ExactMonitor):
    """Scores policies exactly in a table's world."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table

    def validate(self, policy: Any, step: int) -> float:
        return self._table.value_of(policy)


def share_of_the_optimum(table: Table, seed: int, steps: int) -> float:
    config = PPOConfig(steps=steps, minibatch=1024, learning_rate=5e-3, ent_coef=0.003, hidden=[32, 32])
    policy = config.build().learn(table.world(512), seed, Scoring(table))
    return table.value_of(policy) / table.optimum()


@pytest.mark.parametrize("name", TABLES)
def test_taking_the_most_of_each_week_is_far_from_the_best(name: str) -> None:
    table = TABLES[name]()
    assert table.myopic() < 0.85 * table.optimum()


@pytest.mark.parametrize("name", TABLES)
def test_the_optimum_is_the_best_of_all_policies(name: str) -> None:
    table = TABLES[name]()
    short = Table(table.reward[-2:], table.chance, table.allowed, table.start)
    states, offers = table.allowed.shape
    choices = [
        np.array(choice)
        for choice in product(range(offers), repeat=states)
        if table.allowed[np.arange(states), list(choice)].all()
    ]
    if len(choices) ** 2 > 50_000:
        choices = choices[:: len(choices) // 200]
    best = max(short.value(np.stack(pair)) for pair in product(choices, repeat=2))
    assert best <= short.optimum() + 1e-9
    assert len(choices) > 200 or best == pytest.approx(short.optimum())


def test_ppo_learns_to_wait_for_a_better_week() -> None:
    assert share_of_the_optimum(TABLES["stock"](), seed=0, steps=100_000) >= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_ppo_reaches_the_optimum_with_every_seed(name: str) -> None:
    table = TABLES[name]()
    shares = [share_of_the_optimum(table, seed, steps=120_000) for seed in range(SEEDS)]
    assert min(shares) >= 0.97, shares
