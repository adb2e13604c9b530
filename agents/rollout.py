"""What PPO collects, kept on the device it was collected on, and the advantages of choices alone.

In most weeks of an episode most customers may get nothing (wash-out, a live offer, the contact cap). Such a week is
no decision: it carries no policy gradient, and in a minibatch it would only shift and shrink the normalised
advantages. Between two choices the market simply runs, so the episode is read as a semi-Markov decision process:
what a choice earns is everything until the next one, and value is estimated at choices alone.

Reference:
    Sutton, Precup & Singh, "Between MDPs and semi-MDPs", Artificial Intelligence 112, 1999, section 3;
    Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage Estimation", ICLR 2016.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from stable_baselines3.common.buffers import RolloutBuffer
from torch import Tensor

from campaigns.decision import ObservationLayout


def choice_advantages(
    reward: Tensor, value: Tensor, choice: Tensor, done: Tensor, last_value: Tensor, gamma: float, decay: float
) -> Tensor:
    """Estimate advantages of the choices of a rollout.

    Where every step is a choice this is generalised advantage estimation.

    Args:
        reward: Of each step, shape (steps, n).
        value: Critic's value before each decision, same shape; ignored where there was no choice.
        choice: True where more than one action was allowed, same shape.
        done: True where the step ended its episode, same shape.
        last_value: Critic's value after the last step, shape (n,); ignored where that step ended the episode.
        gamma: Discount per step.
        decay: λ of GAE, per choice.

    Returns:
        Advantages, shape (steps, n); 0 where there was no choice.
    """
    advantage = torch.zeros_like(reward)
    ahead = last_value.clone()  # reward until the next choice, and that choice's value
    trace = torch.zeros_like(last_value)  # advantage of the next choice, discounted to here
    goes_on = (~done).to(reward.dtype) * gamma
    for step in reversed(range(len(reward))):
        ahead = reward[step] + goes_on[step] * ahead
        trace = goes_on[step] * trace
        advantage[step] = torch.where(choice[step], ahead - value[step] + decay * trace, 0.0)
        ahead = torch.where(choice[step], value[step], ahead)
        trace = torch.where(choice[step], advantage[step], trace)
    return advantage


class Samples(NamedTuple):
    """Choices to learn from, m rows each."""

    rows: Tensor  # observations, (m, width)
    action: Tensor  # (m,), int64
    value: Tensor  # (m,)
    log_prob: Tensor  # (m,)
    advantage: Tensor  # (m,)
    returns: Tensor  # (m,)


class TensorRollout(RolloutBuffer):
    """SB3's rollout buffer as preallocated tensors, shape (steps, n), that learns from choices alone.

    With a layout of a campaign, rewards are divided by 1 + λ, which is fixed within an episode and so changes no
    preference, but lets cheap and dear money weigh alike; then by one number, the spread of the first rollout's
    returns. Without a layout every step is a choice and rewards stay as they are.
    """

    def __init__(self, *args: Any, layout: ObservationLayout | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._layout = layout
        shape, device = (self.buffer_size, self.n_envs), self.device
        self.rows = torch.empty(*shape, *self.obs_shape, device=device)
        self.action = torch.empty(shape, dtype=torch.int64, device=device)
        self.reward, self.value, self.log_prob = (torch.empty(shape, device=device) for _ in range(3))
        self.done = torch.empty(shape, dtype=torch.bool, device=device)
        self.scale = torch.zeros((), device=device)
        """Standard deviation of the first rollout's returns, each over its 1 + λ [USD]; 0 before it."""

    def reset(self) -> None:
        self.pos, self.full = 0, False

    def put(self, rows: Tensor, action: Tensor, reward: Tensor, done: Tensor, value: Tensor, log_prob: Tensor) -> None:
        """Write down one step of all environments."""
        at = self.pos
        self.rows[at], self.action[at], self.reward[at] = rows, action, reward
        self.done[at], self.value[at], self.log_prob[at] = done, value, log_prob
        self.pos += 1
        self.full = self.pos == self.buffer_size

    def close(self, last_value: Tensor) -> None:
        """Estimate advantages and returns of what was collected."""
        assert self.full
        self.choice = self._choices()
        weighed = self.reward / (1.0 + self._price())
        if self._layout is not None:
            returns = self._advantages(weighed, torch.zeros_like(self.value), torch.zeros_like(last_value), 1.0)
            spread = spread_of(returns, self.choice)
            fresh = torch.where(spread > 0, spread, torch.ones_like(spread))
            self.scale = torch.where(self.scale > 0, self.scale, fresh)
            weighed = weighed / self.scale
        self.advantage = self._advantages(weighed, self.value, last_value, self.gae_lambda)
        self.earned = self.advantage + self.value

    def samples(self, count: int) -> Samples:
        """Return the choices, in the order of steps, then environments.

        Args:
            count: How many they are: the only thing of a rollout that the host has to know.
        """
        order = (~self.choice).flatten().to(torch.uint8).argsort(stable=True)[:count]
        columns = (self.rows, self.action, self.value, self.log_prob, self.advantage, self.earned)
        return Samples(*(column.flatten(0, 1).index_select(0, order) for column in columns))

    def _advantages(self, reward: Tensor, value: Tensor, last_value: Tensor, decay: float) -> Tensor:
        return choice_advantages(reward, value, self.choice, self.done, last_value, self.gamma, decay)

    def _choices(self) -> Tensor:
        if self._layout is None:
            return torch.ones_like(self.done)
        mask = self._layout.split(self.rows.flatten(0, 1)).mask
        several: Tensor = mask.sum(dim=1) > 1
        return several.view(self.done.shape)

    def _price(self) -> Tensor:
        if self._layout is None:
            return torch.zeros_like(self.reward)
        price: Tensor = self._layout.split(self.rows.flatten(0, 1)).price
        return price.view(self.reward.shape)


def spread_of(values: Tensor, where: Tensor) -> Tensor:
    """Return the standard deviation of the values at `where`, shape (); 0 where there are none."""
    count = where.sum().clamp(min=1)
    mean = torch.where(where, values, 0.0).sum() / count
    return (torch.where(where, values - mean, 0.0).square().sum() / count).sqrt()


def minibatches(count: int, size: int, device: torch.device) -> Iterator[Tensor]:
    """Yield indices of equally large minibatches in which each of `count` samples comes at least once, in random order.

    All have exactly `size` indices, so that one compiled program serves them all: where `size` does not divide `count`,
    the last one is filled with samples of the first. Fewer samples than `size` make one minibatch.
    """
    size = min(size, count)
    order = torch.randperm(count, device=device)
    rounds = -(-count // size)
    yield from torch.cat([order, order[: rounds * size - count]]).view(rounds, size)
