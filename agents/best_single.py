"""The best single offer: try each one on everybody, then give everybody the one that pays at their λ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from agents.agent import LearningWorld, Monitor
from agents.decide import Placed, certain, finite_or_least
from agents.episode import Decide, play
from campaigns.decision import Context, ObservationLayout
from campaigns.errors import InputError


@dataclass
class BestSingleConfig:
    """Tries every offer on everybody."""

    kind: ClassVar[str] = "best_single"

    episodes: int = 2
    """Episodes for which each offer is tried; all offers meet the same random numbers."""

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise InputError(f"agent best_single: episodes is {self.episodes}; at least 1 is needed")

    def build(self) -> "BestSingleAgent":
        return BestSingleAgent(self)


class BestSinglePolicy:
    """Offers the one offer with the highest net - λ cost whenever it is allowed, else nothing."""

    kind: ClassVar[str] = BestSingleConfig.kind

    def __init__(self, value: Tensor, names: tuple[str, ...]) -> None:
        """Keep what each offer brings.

        Args:
            value: Net margin and cost per customer-week [USD], shape (n_actions, 2); row 0 is 0.
            names: Names of the offers.
        """
        self._placed = Placed({"value": value.float()})
        self._names = names

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        value = self._placed.on(context.mask.device)["value"]
        score = value[:, 0] - context.price.unsqueeze(1) * value[:, 1]
        best = finite_or_least(score).argmax(dim=1)
        allowed = context.mask.gather(1, best.unsqueeze(1)).squeeze(1)
        return certain(torch.where(allowed, best, 0), len(value))

    def tensors(self) -> dict[str, Tensor]:
        return self._placed.data()

    def meta(self) -> dict[str, Any]:
        value = self._placed.data()["value"].tolist()
        return {
            "usd_per_customer_week": {n: {"net": v[0], "cost": v[1]} for n, v in zip(self._names, value, strict=True)}
        }

    @classmethod
    def restore(cls, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        return cls(tensors["value"], layout.action_names)


class BestSingleAgent:
    """Estimates each offer by giving it to everybody."""

    def __init__(self, config: BestSingleConfig) -> None:
        self._config = config

    def learn(self, world: LearningWorld, seed: int, monitor: Monitor) -> BestSinglePolicy:
        n_actions = world.layout.n_actions
        value = torch.zeros(n_actions, 2, dtype=torch.float64)
        for offer in range(1, n_actions):
            for number in range(self._config.episodes):
                episode = play(world, seed, number, _always(offer))
                value[offer] += torch.stack([episode.net.mean(), episode.cost.mean()]) / self._config.episodes
            monitor.progress(offer, n_actions - 1)
        policy = BestSinglePolicy(value, world.layout.action_names)
        weeks = self._config.episodes * world.horizon * world.vector.num_envs * (n_actions - 1)
        monitor.validate(policy, weeks)
        return policy


def _always(offer: int) -> Decide:
    return lambda context: torch.where(context.mask[:, offer], offer, 0)
