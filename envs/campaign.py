"""The campaign as a Gymnasium environment: one customer, and a true batch of them, on the same dynamics."""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from campaigns.decision import ObservationLayout
from campaigns.errors import InputError
from envs.tensor import TensorCampaign
from envs.world import Episode, World, begin, observe, take_step
from simulators.shopping import draw_noise

Rows = NDArray[np.float32]
MAX_PRICE = 1000.0
BOUND = 10.0


def observation_space(layout: ObservationLayout) -> "spaces.Box[Any]":
    """Return the space of one observation row: features in [-10, 10], λ in [0, 1000], mask in [0, 1]."""
    parts = (layout.n_features, 1, layout.n_actions)
    low = np.repeat(np.array([-BOUND, 0.0, 0.0], dtype=np.float32), parts)
    high = np.repeat(np.array([BOUND, MAX_PRICE, 1.0], dtype=np.float32), parts)
    return spaces.Box(low, high, dtype=np.float32)


def check_actions(actions: NDArray[Any], n: int, n_actions: int) -> NDArray[np.int64]:
    """Return actions as int64, shape (n,).

    Raises:
        InputError: They are not n whole numbers in [0, n_actions).
    """
    asked = np.asarray(actions)
    whole = asked.shape == (n,) and np.issubdtype(asked.dtype, np.integer)
    if not whole or not ((asked >= 0) & (asked < n_actions)).all():
        found = f" from {asked.min()} to {asked.max()}" if asked.size and whole else ""
        raise InputError(
            f"actions of type {asked.dtype} and shape {asked.shape}{found}; expected whole numbers of shape ({n},) "
            f"in [0, {n_actions - 1}]"
        )
    return asked.astype(np.int64)


class CampaignVectorEnv(VectorEnv[Rows, NDArray[np.int64], NDArray[Any]]):
    """`TensorCampaign` as numpy: n customers on one clock, who end in the same week and begin anew within that step.

    A forbidden action becomes offer 0 and is a 1 in `info["violations"]`, shape (n,).
    """

    def __init__(self, num_envs: int, world: World, seed: int | None = None) -> None:
        self.core = TensorCampaign(num_envs, world, seed)
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}
        self.num_envs = num_envs
        self.layout = self.core.layout
        self.single_observation_space = observation_space(self.layout)
        self.single_action_space = spaces.Discrete(self.layout.n_actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    @property
    def horizon(self) -> int:
        """Steps of an episode."""
        return self.core.horizon

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Rows, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.core.seed(seed)
        return _numpy(self.core.reset()), {}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Rows, Rows, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        if self.core.episode is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        action = torch.from_numpy(check_actions(actions, self.num_envs, self.layout.n_actions)).to(self.core.device)
        step = self.core.step(action)
        info: dict[str, Any] = {name: _numpy(figure) for name, figure in step.figures.items()}
        info["violations"] = info["violations"].astype(np.int64)
        done = step.terminated.cpu().numpy()
        if done[0]:
            info |= {"final_obs": _numpy(step.last_rows), "_final_obs": done}
        return _numpy(step.rows), _numpy(step.reward), done, step.truncated.cpu().numpy(), info


class CampaignEnv(gymnasium.Env[Rows, np.int64]):
    """One customer: the batch with n = 1."""

    def __init__(self, world: World) -> None:
        self.metadata = {"render_modes": []}
        self._world = world
        self.layout = world.observer.layout(world.market)
        self.observation_space: spaces.Space[Rows] = observation_space(self.layout)
        self.action_space = spaces.Discrete(self.layout.n_actions)
        self._device = world.pool.weeks_seen.device
        self._episode: Episode | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Rows, dict[str, Any]]:
        super().reset(seed=seed)
        self._episode = begin(self._world, 1, self._luck())
        return self._row(), {}

    def step(self, action: np.int64) -> tuple[Rows, float, bool, bool, dict[str, Any]]:
        if self._episode is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        chosen = torch.from_numpy(check_actions(np.asarray([action]), 1, self.layout.n_actions)).to(self._device)
        noise = draw_noise(1, self._world.pool.n_categories, self._luck(), self._device)
        self._episode, outcome, uplift = take_step(self._world, self._episode, chosen, noise)
        reward = float(uplift - self._episode.price * outcome.cost)
        info = {"net": float(uplift), "cost": float(outcome.cost), "violations": int(outcome.violation)}
        return self._row(), reward, self._episode.state.week >= self._world.market.horizon.weeks, False, info

    def _luck(self) -> torch.Generator:
        """Return a generator that continues gymnasium's own, so that `reset(seed)` settles everything."""
        generator = torch.Generator(self._device)
        generator.manual_seed(int(self.np_random.integers(2**63)))
        return generator

    def _row(self) -> Rows:
        assert self._episode is not None
        row: Rows = _numpy(observe(self._world, self._episode))[0]
        return row


def _numpy(tensor: Tensor) -> Rows:
    rows: Rows = tensor.to(torch.float32).cpu().numpy()
    return rows
