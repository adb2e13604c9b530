"""SB3's rollout buffer on numpy that learns from choices alone, as `rollout.TensorRollout` does on the device."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch import Tensor

from agents.rollout import choice_advantages
from campaigns.decision import ObservationLayout


class ChoiceBuffer(RolloutBuffer):
    """Holds one episode of all customers; yields minibatches of choices.

    Rewards are divided by 1 + λ, which is fixed within an episode and so changes no preference, but lets cheap and dear
    money weigh alike; then by one number, the spread of the first rollout's returns.
    """

    def __init__(self, *args: Any, layout: ObservationLayout, minibatch: int, seed: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self._layout = layout
        self._minibatch = minibatch
        self._generator = torch.Generator().manual_seed(seed)
        self.scale = 0.0
        """Standard deviation of the first rollout's returns, each over its 1 + λ [USD]; 0 before it."""

    @property
    def choice(self) -> NDArray[np.bool_]:
        """True where a customer could be offered something, shape (horizon, n)."""
        mask = self._layout.split(self.observations.reshape(-1, self._layout.width)).mask
        return np.asarray(mask.sum(axis=1) > 1).reshape(self.rewards.shape)

    def compute_returns_and_advantage(self, last_values: Tensor, dones: NDArray[np.bool_]) -> None:
        if not dones.all():
            raise RuntimeError(f"the env did not terminate after its horizon of {self.buffer_size} weeks")
        choice = self.choice
        if not choice.any():
            raise RuntimeError("no customer could be offered anything in a whole episode: the rules forbid all")
        weighed = self.rewards / (1.0 + self._price())
        if not self.scale:
            returns = self._advantages(weighed, np.zeros_like(self.values), 1.0)[choice]
            self.scale = float(returns.std()) or 1.0
        reward = (weighed / self.scale).astype(np.float32)
        self.advantages = self._advantages(reward, self.values, self.gae_lambda)
        self.returns = self.advantages + self.values

    def _advantages(self, reward: NDArray[np.float32], value: NDArray[np.float32], decay: float) -> NDArray[np.float32]:
        done = torch.zeros(reward.shape, dtype=torch.bool)
        done[-1] = True
        given, worth, choice = (torch.from_numpy(part) for part in (reward, value, self.choice))
        nothing = torch.zeros(self.n_envs)
        return np.asarray(choice_advantages(given, worth, choice, done, nothing, self.gamma, decay))

    def _price(self) -> NDArray[np.float32]:
        """Return λ, shape (horizon, n)."""
        price = self._layout.split(self.observations.reshape(-1, self._layout.width)).price
        return np.asarray(price).reshape(self.rewards.shape)

    def get(self, batch_size: int | None = None) -> Iterator[RolloutBufferSamples]:  # type: ignore[override]
        """Yield the choices in random order, in equal parts of about the configured minibatch.

        `batch_size` is ignored: the number of choices differs from rollout to rollout.
        """
        if not self.generator_ready:
            self._keep_choices()
        rows = len(self._samples.returns)
        order = torch.randperm(rows, generator=self._generator).to(self.device)
        for index in order.tensor_split(max(1, round(rows / self._minibatch))):
            yield RolloutBufferSamples(*(column.index_select(0, index) for column in self._samples))

    def _keep_choices(self) -> None:
        choice = self.choice
        columns = (self.observations, self.actions[..., 0], self.values, self.log_probs, self.advantages, self.returns)
        kept = [column[choice] for column in columns]
        self._samples = RolloutBufferSamples(*(torch.from_numpy(column).to(self.device) for column in kept))
        self.values, self.returns = kept[2], kept[5]  # what SB3 explains variance on
        self.generator_ready = True
