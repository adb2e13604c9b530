"""Linear Thompson sampling: one Bayesian linear regression per offer, learned while it decides.

Reference:
    Agrawal & Goyal, "Thompson Sampling for Contextual Bandits with Linear Payoffs", ICML 2013.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self
from zlib import crc32

import torch
from torch import Tensor

from agents.decide import Placed, best_allowed, shares_of
from agents.linear_agent import Explorer, LinearAgent, LinearPolicy
from agents.linear_model import LinearScores
from agents.online import OnlineConfig
from campaigns.decision import Context, ObservationLayout


@dataclass
class LinTSConfig(OnlineConfig):
    """Linear Thompson sampling on credited net margin and cost."""

    kind: ClassVar[str] = "lin_ts"

    draws: int = 64
    """Posterior draws behind the probability that an offer is the best."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("draws", self.draws > 0, "it must be above 0")

    def build(self) -> LinearAgent:
        return LinearAgent(self, Explorer(choose=_draw, policy=self._policy))

    def _policy(self, scores: LinearScores, meta: dict[str, Any], learned: int, seed: int) -> "LinTSPolicy":
        return LinTSPolicy(scores, meta | {"seed": seed})


class LinTSPolicy(LinearPolicy):
    """Gives each allowed offer the probability that it is the best, by a fixed set of posterior draws."""

    kind: ClassVar[str] = LinTSConfig.kind

    def __init__(self, scores: LinearScores, meta: Mapping[str, Any], offers: tuple[str, ...] | None = None) -> None:
        """Keep the scores; the draws are the same for every customer, and depend on the offers' names alone."""
        super().__init__(scores, meta)
        names = offers or tuple(meta["model"]["offers"])
        self._placed = Placed({"noise": fixed_noise_of(names, meta)})

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        return win_shares(*self._scores.scores(context), self._placed.on(context.mask.device)["noise"], context.mask)

    @classmethod
    def restore(cls, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        return cls(LinearScores(layout, meta["model"], tensors), meta, layout.action_names)


def win_shares(mean: Tensor, deviation: Tensor, noise: Tensor, mask: Tensor) -> Tensor:
    """Return how often each offer has the highest drawn score, shape (n, n_actions).

    Args:
        mean, deviation: Of the scores, shape (n, n_actions).
        noise: Standard normal draws, shape (draws, n_actions).
        mask: True where an offer is allowed, shape (n, n_actions).
    """
    best = (best_allowed(mean + deviation * draw, mask) for draw in noise)
    return shares_of(best, len(noise), mask)


def fixed_noise_of(offers: tuple[str, ...], meta: Mapping[str, Any]) -> Tensor:
    """Return the draws of a policy's offers by the draws and the seed of its meta, shape (draws, n_actions)."""
    return torch.stack([fixed_noise(name, int(meta["config"]["draws"]), int(meta["seed"])) for name in offers], dim=1)


def fixed_noise(offer: str, draws: int, seed: int) -> Tensor:
    """Return an offer's standard normal draws, shape (draws,): those of another offer do not depend on them."""
    generator = torch.Generator().manual_seed(crc32(f"{seed} {offer}".encode()))
    return torch.randn(draws, generator=generator)


def draw_best(mean: Tensor, deviation: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """Draw each score exactly, and return the best allowed offer of each customer, shape (n,)."""
    return best_allowed(mean + deviation * torch.randn(mean.shape, generator=generator), mask)


def _draw(scores: LinearScores, context: Context[Tensor], learned: int, generator: torch.Generator) -> Tensor:
    return draw_best(*scores.scores(context), context.mask, generator)
