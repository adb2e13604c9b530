"""A linear contextual bandit by itself: batches of contexts in, actions out, rewards back.

Each action has a ridge regression of its own. Decisions are scored in blocks; what is learned goes into sums, from
which the posterior is refreshed on a schedule. `agents.lin_ts` and its kin play campaigns with the same posterior.
"""

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from agents.posterior import Posterior, believe_apart
from agents.regression import Memory, Statistics
from campaigns.errors import InputError

_TIE = 1e-3
"""Share of a standard deviation within which scores count as equal while an action was never taken."""


class Rule(Enum):
    """How a linear bandit explores."""

    THOMPSON = "thompson"  # by a draw of each score from its posterior
    UCB = "ucb"  # by optimism: mean plus `width` standard deviations
    GREEDY = "greedy"  # not at all


@dataclass(frozen=True)
class BanditSettings:
    """How it learns and explores."""

    rule: Rule = Rule.THOMPSON
    width: float = 1.0  # factor on the standard deviation of a score
    ridge: float = 1.0  # prior precision of a coefficient, in decisions
    noise: float = 1.0  # standard deviation of a reward that is expected before any was seen
    discount: float = 1.0  # of all that was learned before, per batch
    window: int = 0  # batches that are remembered, 0 for all
    refresh_every: int = 1  # batches

    def __post_init__(self) -> None:
        if min(self.ridge, self.noise, self.refresh_every) <= 0 or min(self.width, self.window) < 0:
            raise InputError(f"bandit: {self}; expected ridge, noise and refresh_every above 0, the rest 0 or more")
        if not 0 < self.discount <= 1:
            raise InputError(f"bandit: discount is {self.discount}; it must be in (0, 1]")


class LinearBandit:
    """Chooses among `n_actions` by contexts of d numbers; add a constant 1 to them where rewards have a level."""

    def __init__(self, n_actions: int, d: int, settings: BanditSettings | None = None, seed: int = 0) -> None:
        self._settings = settings or BanditSettings()
        self._shape = (n_actions, d)
        self._memory = Memory(
            Statistics.empty(n_actions, d, outcomes=1), self._settings.discount, self._settings.window
        )
        self._generator = torch.Generator().manual_seed(seed)
        self._batches = 0
        self.posterior: Posterior
        self.refresh()

    def choose(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return an action for each context, shape (n,), int64.

        Args:
            x: Contexts, shape (n, d), float32.
            mask: True where an action is allowed, shape (n, n_actions); all are if not given.
        """
        score, deviation = self.posterior.scores(x)
        if self._settings.rule is Rule.THOMPSON:
            luck = torch.randn(score.shape, generator=self._generator)
            score.addcmul_(deviation, luck, value=self._settings.width)
        elif self._settings.rule is Rule.UCB:
            score.add_(deviation, alpha=self._settings.width)
        if self._cold:  # actions never taken are all alike: chance decides between them
            score.addcmul_(deviation, torch.rand(score.shape, generator=self._generator), value=_TIE)
        return (score if mask is None else score.masked_fill_(~mask, -torch.inf)).argmax(dim=1)

    def learn(self, x: Tensor, action: Tensor, reward: Tensor) -> None:
        """Learn from a batch: contexts (n, d), actions (n,), int64, and their rewards (n,)."""
        part = Statistics.empty(*self._shape, outcomes=1)
        part.add(x, action, reward.unsqueeze(1))
        self._memory.add(part)
        self._batches += 1
        if self._batches % self._settings.refresh_every == 0:
            self.refresh()

    def refresh(self) -> None:
        """Bring the posterior up to all that was learned."""
        self._cold = bool((self._memory.total.count == 0).any())
        self.posterior = believe_apart(self._memory.total, self._settings.ridge, self._settings.noise)
