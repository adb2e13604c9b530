"""A little market whose best policy is known by hand, and a monitor that scores policies in it exactly."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.agent import LearningWorld, TrainedPolicy
from agents.checkpoint import Checkpoints
from campaigns.decision import Context, ObservationLayout

LAYOUT = ObservationLayout(("signal", "idle", "weeks_left"), ("none", "left", "right", "dear"))
CAMPAIGN, WASH_OUT = 4, 2
HORIZON = CAMPAIGN + WASH_OUT
COST = torch.tensor([0.0, 1.0, 1.0, 4.0])
ALLOWED = 0.8
"""Probability that an offer is allowed in a campaign week."""


def expected_net(signal: Tensor) -> Tensor:
    """Return what each offer brings, half in its week and half in the next [USD], shape (n, 4)."""
    zero = torch.zeros_like(signal)
    return torch.stack([zero, 0.7 - 1.5 * signal, 0.5 + 1.5 * signal, zero + 0.2], dim=1)


def expected_score(context: Context[Tensor]) -> Tensor:
    """Return net - λ cost of each offer, -inf where forbidden, shape (n, 4)."""
    score = expected_net(context.features[:, 0]) - context.price.unsqueeze(1) * COST
    return score.masked_fill(~context.mask, -torch.inf)


def draw_context(n: int, seed: int) -> Context[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.rand(n, 3, generator=generator) * 2 - 1
    features[:, 2] = features[:, 2].clamp(min=0.25)
    mask = torch.rand(n, 4, generator=generator) < ALLOWED
    mask[:, 0] = True
    return Context(features=features, mask=mask, price=3 * torch.rand(n, generator=generator))


class Market(VectorEnv[Any, Any, Any]):
    """n customers on one clock; the signal is drawn anew each week, so that every week is a bandit of its own."""

    def __init__(self, n: int) -> None:
        self.num_envs = n
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (LAYOUT.width,), np.float32)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (n, LAYOUT.width), np.float32)
        self.single_action_space = gym.spaces.Discrete(LAYOUT.n_actions)
        self.action_space = gym.spaces.MultiDiscrete([LAYOUT.n_actions] * n)
        self.violations = 0
        self.rows = np.zeros((n, LAYOUT.width), np.float32)  # overwritten in place, as a fast env may do

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._week = 0
        self._price = 3 * self._rng.random(self.num_envs)
        self._later = np.zeros(self.num_envs)
        return self._observe(), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        offer = np.asarray(actions)
        asked = self.rows[np.arange(self.num_envs), LAYOUT.n_features + 1 + offer] > 0.5
        self.violations += int((~asked).sum())
        offer = np.where(asked, offer, 0)
        brought = expected_net(torch.from_numpy(self.rows[:, 0].copy())).numpy()[np.arange(self.num_envs), offer]
        brought = brought + (offer > 0) * 0.3 * self._rng.standard_normal(self.num_envs)
        net, cost = brought / 2 + self._later, COST.numpy()[offer]
        reward = (net - self._price * cost).astype(np.float32)
        self._later, self._week = brought / 2, self._week + 1
        done = np.full(self.num_envs, self._week == HORIZON)
        info = {"net": net, "cost": cost, "violations": self.violations}
        observation = self.reset()[0] if done.all() else self._observe()
        return observation, reward, done, np.zeros(self.num_envs, bool), info

    def _observe(self) -> Any:
        weeks_left = max(0, CAMPAIGN - self._week) / CAMPAIGN
        self.rows[:, :2] = self._rng.uniform(-1, 1, (self.num_envs, 2))
        self.rows[:, 2], self.rows[:, 3] = weeks_left, self._price
        self.rows[:, 4:] = self._rng.random((self.num_envs, 4)) < (ALLOWED if weeks_left else 0.0)
        self.rows[:, 4] = 1.0
        return self.rows


class MarketVecEnv(VecEnv):
    """The same market for Stable-Baselines3."""

    def __init__(self, market: Market) -> None:
        self.market = market
        super().__init__(market.num_envs, market.single_observation_space, market.single_action_space)

    def reset(self) -> Any:
        return self.market.reset(seed=self._seeds[0])[0].copy()

    def step_async(self, actions: Any) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        observation, reward, done, _, _ = self.market.step(self._actions)
        return observation.copy(), reward, done, [{}] * self.num_envs

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs

    def get_images(self) -> Sequence[Any]:
        return []


class ExactMonitor:
    """Scores by the known expectation over fixed contexts, and keeps all it was told."""

    def __init__(self, checkpoints: Checkpoints | None = None) -> None:
        self.checkpoints = checkpoints
        self.context = draw_context(4000, seed=99)
        self.values: list[float] = []
        self.logged: list[Mapping[str, float]] = []
        self.done: list[tuple[int, int]] = []

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.logged.append(values)

    def validate(self, policy: TrainedPolicy, step: int) -> float:
        torch.rand(1)  # a validation that draws random numbers must not disturb learning
        score = expected_score(self.context)
        dist = policy.action_dist(self.context)
        self.values.append(float(torch.where(dist > 0, dist * score, 0.0).sum(dim=1).mean()))
        return self.values[-1]

    def progress(self, done: int, total: int) -> None:
        self.done.append((done, total))

    def optimum(self) -> float:
        return float(expected_score(self.context).max(dim=1).values.mean())


def make_world(n: int) -> LearningWorld:
    return LearningWorld(Market(n), MarketVecEnv(Market(n)), LAYOUT, HORIZON)
