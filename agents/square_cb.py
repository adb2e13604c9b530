"""SquareCB: the worse an offer is believed to be against the best one, the seldomer it is tried.

Reference:
    Foster & Rakhlin, "Beyond UCB: Optimal and Efficient Contextual Bandits with Regression Oracles", ICML 2020.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from agents.decide import best_allowed, finite_or_least
from agents.linear_agent import Explorer, LinearAgent, LinearPolicy
from agents.linear_model import LinearScores
from agents.online import OnlineConfig
from campaigns.decision import Context

ENDLESS = 1e30
"""Gap of an offer whose score is no number: it is never tried."""


@dataclass
class SquareCBConfig(OnlineConfig):
    """Inverse gap weighting on credited net margin and cost."""

    kind: ClassVar[str] = "square_cb"

    scale: float = 1.0
    """Weight of a gap of one residual standard deviation, times the square root of the decisions learned from."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("scale", self.scale > 0, "it must be above 0")

    def build(self) -> LinearAgent:
        return LinearAgent(self, Explorer(choose=self._choose, policy=self._policy))

    def _choose(
        self, scores: LinearScores, context: Context[Tensor], learned: int, generator: torch.Generator
    ) -> Tensor:
        dist = gap_weighted(scores, context, self._greed(learned))
        return dist.multinomial(1, generator=generator).squeeze(1)

    def _policy(self, scores: LinearScores, meta: dict[str, Any], learned: int, seed: int) -> "SquareCBPolicy":
        return SquareCBPolicy(scores, meta | {"greed": self._greed(learned)})

    def _greed(self, learned: int) -> float:
        return float(self.scale * (learned + 1) ** 0.5)


class SquareCBPolicy(LinearPolicy):
    """Gives each allowed offer a probability that falls with its gap to the best one."""

    kind: ClassVar[str] = SquareCBConfig.kind

    def __init__(self, scores: LinearScores, meta: Mapping[str, Any]) -> None:
        super().__init__(scores, meta)
        self._greed = float(meta["greed"])

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        return gap_weighted(self._scores, context, self._greed)


def gap_weighted(scores: LinearScores, context: Context[Tensor], greed: float) -> Tensor:
    """Return the distribution over offers for expected scores, gaps measured in residual standard deviations."""
    mean, _ = scores.scores(context)
    return inverse_gap(mean / scores.residual(context.price), context.mask, greed)


def inverse_gap(score: Tensor, mask: Tensor, greed: float) -> Tensor:
    """Return 1 / (allowed + greed * gap) for every allowed offer but the best, which gets the rest; (n, n_actions)."""
    best = best_allowed(score, mask).unsqueeze(1)
    score = finite_or_least(score)
    gap = (score.gather(1, best) - score).clamp(min=0.0).nan_to_num(nan=ENDLESS, posinf=ENDLESS)
    weight = torch.where(mask, 1.0 / (mask.sum(dim=1, keepdim=True) + greed * gap), 0.0).scatter(1, best, 0.0)
    return weight.scatter(1, best, 1.0 - weight.sum(dim=1, keepdim=True))
