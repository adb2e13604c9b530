"""Small worlds given by tables, where what offers do comes later; dynamic programming finds their best policy."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from agents.agent import LearningWorld
from campaigns.decision import Context, ObservationLayout
from tests.agents.market import Market, MarketVecEnv

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Table:
    """A finite decision process.

    Attributes:
        reward: Mean of what a choice earns [USD], shape (weeks, states, offers).
        chance: Of the next state, shape (states, offers, states).
        allowed: Shape (states, offers), bool; offer 0 always is.
        start: Chance of each first state, shape (states,).
    """

    reward: Floats
    chance: Floats
    allowed: NDArray[np.bool_]
    start: Floats

    @property
    def layout(self) -> ObservationLayout:
        weeks, states, offers = self.reward.shape
        features = (*(f"state_{i}" for i in range(states)), *(f"week_{i}" for i in range(weeks)))
        return ObservationLayout(features, tuple(f"offer_{i}" for i in range(offers)))

    def rows(self, state: NDArray[np.int64], week: int) -> NDArray[np.float32]:
        weeks, states, _ = self.reward.shape
        which = np.concatenate([np.eye(states)[state], np.tile(np.eye(weeks)[week], (len(state), 1))], axis=1)
        return np.concatenate([which, np.zeros((len(state), 1)), self.allowed[state]], axis=1).astype(np.float32)

    def optimum(self) -> float:
        """Return the best policy's mean total, by backward induction."""
        value = np.zeros(len(self.start))
        for reward in self.reward[::-1]:
            value = np.where(self.allowed, reward + self.chance @ value, -np.inf).max(axis=1)
        return float(self.start @ value)

    def myopic(self) -> float:
        """Return what taking the most of each week brings."""
        return self.value(np.where(self.allowed, self.reward, -np.inf).argmax(axis=2))

    def value_of(self, policy: Any) -> float:
        """Return what a trained policy's likeliest offers bring in the mean, exactly."""
        every = np.arange(len(self.start))
        offers = []
        for week in range(len(self.reward)):
            seen: Context[torch.Tensor] = self.layout.split(torch.from_numpy(self.rows(every, week)))
            offers.append(policy.action_dist(seen).argmax(dim=1).numpy())
        return self.value(np.stack(offers))

    def value(self, offers: NDArray[np.int64]) -> float:
        """Return what offers by week and state, shape (weeks, states), bring in the mean."""
        every, here, total = np.arange(len(self.start)), self.start, 0.0
        for reward, offer in zip(self.reward, offers, strict=True):
            total += float(here @ reward[every, offer])
            here = here @ self.chance[every, offer]
        return total

    def world(self, n: int) -> LearningWorld:
        market = TableMarket(n, self)
        return LearningWorld(market, MarketVecEnv(market), self.layout, len(self.reward))


class TableMarket(Market):
    """n customers of a table, their rewards with noise."""

    def __init__(self, n: int, table: Table) -> None:
        self.num_envs, self.table = n, table
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        width, offers = table.layout.width, table.layout.n_actions
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (width,), np.float32)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (n, width), np.float32)
        self.single_action_space = gym.spaces.Discrete(offers)
        self.action_space = gym.spaces.MultiDiscrete([offers] * n)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._week = 0
        self._state = self._rng.choice(len(self.table.start), size=self.num_envs, p=self.table.start)
        return self.table.rows(self._state, 0), {}

    def step(self, actions: Any) -> Any:
        offer = np.asarray(actions)
        net = self.table.reward[self._week, self._state, offer] + 0.3 * self._rng.standard_normal(self.num_envs)
        reached = self.table.chance[self._state, offer].cumsum(axis=1)
        self._state = (reached < self._rng.random((self.num_envs, 1))).sum(axis=1)
        self._week += 1
        done = np.full(self.num_envs, self._week == len(self.table.reward))
        info = {"net": net, "cost": np.zeros(self.num_envs)}
        observation = self.reset()[0] if done.all() else self.table.rows(self._state, self._week)
        return observation, net.astype(np.float32), done, np.zeros(self.num_envs, bool), info


WEEKS = 8


def fatigue() -> Table:
    """Contacts of the last two weeks, 0 to 2 each: every contact costs what it earned two weeks before, nearly."""
    states = [(newer, older) for newer in range(3) for older in range(3)]
    reward, chance = np.zeros((WEEKS, 9, 3)), np.zeros((9, 3, 9))
    for i, (newer, older) in enumerate(states):
        for offer in range(3):
            reward[:, i, offer] = (0.0, 1.0, 1.6)[offer] - 0.8 * older
            chance[i, offer, states.index((offer, newer))] = 1.0
    return Table(reward, chance, np.ones((9, 3), bool), np.eye(9)[0])


def reference_price() -> Table:
    """What customers think fair, 0 to 3: discounts lower it, and full price earns the less the lower it stands."""
    reward, chance = np.zeros((WEEKS, 4, 3)), np.zeros((4, 3, 4))
    for level in range(4):
        for offer in range(3):
            full = 1.5 * level
            reward[:, level, offer] = full + (0.0, 0.8, 1.4)[offer]
            after = min(level + 1, 3) if offer == 0 else max(level - offer, 0)
            chance[level, offer, after] += 0.9
            chance[level, offer, level] += 0.1
    reward[-1] += 4.0 * np.arange(4)[:, None]  # the last week is a season at full price
    return Table(reward, chance, np.ones((4, 3), bool), np.array([0.25, 0.25, 0.25, 0.25]))


def stock() -> Table:
    """Pieces left, 0 to 3: an offer takes one with chance .8, and is worth most in the last weeks."""
    reward, chance = np.zeros((WEEKS, 4, 2)), np.zeros((4, 2, 4))
    chance[:, 0] = np.eye(4)
    chance[0, 1, 0] = 1.0
    for left in range(1, 4):
        chance[left, 1, left - 1], chance[left, 1, left] = 0.8, 0.2
    reward[:, 1:, 1] = np.linspace(0.5, 2.5, WEEKS)[:, None]
    allowed = np.ones((4, 2), bool)
    allowed[0, 1] = False
    return Table(reward, chance, allowed, np.array([0.0, 0.2, 0.3, 0.5]))


TABLES = {"fatigue": fatigue, "reference price": reference_price, "stock": stock}
