"""A rollout buffer that learns from choices alone.

In most weeks of an episode most customers may get nothing (wash-out, a live offer, the contact cap). Such a week is
no decision: it carries no policy gradient, and in a minibatch it would only shift and shrink the normalised
advantages. Between two choices the market simply runs, so the episode is read as a semi-Markov decision process:
what a choice earns is everything until the next one, and value is estimated at choices alone.

Reference:
    Sutton, Precup & Singh, "Between MDPs and semi-MDPs", Artificial Intelligence 112, 1999, section 3;
    Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage Estimation", ICLR 2016.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch import Tensor

from campaigns.decision import ObservationLayout


def choice_advantages(
    reward: NDArray[np.float32], value: NDArray[np.float32], choice: NDArray[np.bool_], gamma: float, decay: float
) -> NDArray[np.float32]:
    """Estimate advantages of the choices in whole episodes.

    Args:
        reward: Of each week, shape (horizon, n); the last week ends the episode.
        value: Critic's value before each decision, same shape; ignored where there was no choice.
        choice: True where more than "no offer" was allowed, same shape.
        gamma: Discount per week.
        decay: λ of GAE, per choice.

    Returns:
        Advantages, same shape; 0 where there was no choice.
    """
    advantage = np.zeros_like(reward)
    ahead = np.zeros_like(reward[0])  # reward until the next choice, and that choice's value
    trace = np.zeros_like(reward[0])  # advantage of the next choice, discounted to here
    for week in reversed(range(len(reward))):
        ahead = reward[week] + gamma * ahead
        trace = gamma * trace
        advantage[week] = np.where(choice[week], ahead - value[week] + decay * trace, 0.0)
        ahead = np.where(choice[week], value[week], ahead)
        trace = np.where(choice[week], advantage[week], trace)
    return advantage


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
            returns = choice_advantages(weighed, np.zeros_like(self.values), choice, self.gamma, 1.0)[choice]
            self.scale = float(returns.std()) or 1.0
        reward = (weighed / self.scale).astype(np.float32)
        self.advantages = choice_advantages(reward, self.values, choice, self.gamma, self.gae_lambda)
        self.returns = self.advantages + self.values

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
