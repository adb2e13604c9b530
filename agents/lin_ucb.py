"""Linear upper confidence bounds: whatever could still be best gets its chance.

Reference:
    Li et al., "A Contextual-Bandit Approach to Personalized News Article Recommendation", WWW 2010.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from agents.decide import best_allowed, certain
from agents.linear_agent import Explorer, LinearAgent, LinearPolicy
from agents.linear_model import LinearScores
from agents.online import OnlineConfig
from campaigns.decision import Context


@dataclass
class LinUCBConfig(OnlineConfig):
    """Linear upper confidence bounds on credited net margin and cost."""

    kind: ClassVar[str] = "lin_ucb"

    width: float = 1.0
    """Standard deviations that are added to an offer's expected score."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("width", self.width >= 0, "it must be 0 or more")

    def build(self) -> LinearAgent:
        return LinearAgent(self, Explorer(choose=self._choose, policy=self._policy))

    def _choose(
        self, scores: LinearScores, context: Context[Tensor], learned: int, generator: torch.Generator
    ) -> Tensor:
        if not learned:  # all bounds are alike: without chance, everybody would get the first offer
            return context.mask.float().multinomial(1, generator=generator).squeeze(1)
        return highest_bound(scores, context, self.width)

    def _policy(self, scores: LinearScores, meta: dict[str, Any], learned: int, seed: int) -> "LinUCBPolicy":
        return LinUCBPolicy(scores, meta)


class LinUCBPolicy(LinearPolicy):
    """Gives each customer the allowed offer with the highest upper bound of net - λ cost."""

    kind: ClassVar[str] = LinUCBConfig.kind

    def __init__(self, scores: LinearScores, meta: Mapping[str, Any]) -> None:
        super().__init__(scores, meta)
        self._width = float(meta["config"]["width"])

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        return certain(highest_bound(self._scores, context, self._width), context.mask.shape[1])


def highest_bound(scores: LinearScores, context: Context[Tensor], width: float) -> Tensor:
    """Return the allowed offer with the highest mean plus `width` deviations, shape (n,)."""
    mean, deviation = scores.scores(context)
    return best_allowed(mean + width * deviation, context.mask)
