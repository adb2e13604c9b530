"""Policies that learn nothing: no offer to anyone, and any allowed offer at random."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from agents.agent import LearningWorld, Monitor, TrainedPolicy
from agents.decide import certain
from campaigns.decision import Context, ObservationLayout


class NoOfferPolicy:
    """Never offers anything: what every uplift is measured against."""

    kind: ClassVar[str] = "no_offer"

    def __init__(self, note: str = "") -> None:
        self._note = note

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        n, n_actions = context.mask.shape
        return certain(torch.zeros(n, dtype=torch.int64, device=context.mask.device), n_actions)

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def meta(self) -> dict[str, Any]:
        return {"note": self._note} if self._note else {}

    @classmethod
    def restore(cls, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        return cls(str(meta.get("note", "")))


class RandomPolicy:
    """Gives every allowed offer, "no offer" included, the same probability."""

    kind: ClassVar[str] = "random"

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        allowed = context.mask.float()
        return allowed / allowed.sum(dim=1, keepdim=True)

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def meta(self) -> dict[str, Any]:
        return {}

    @classmethod
    def restore(cls, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        return cls()


@dataclass(frozen=True)
class FixedAgent:
    """Has its policy from the start; learning only scores it."""

    policy: TrainedPolicy

    def learn(self, world: LearningWorld, seed: int, monitor: Monitor) -> TrainedPolicy:
        monitor.validate(self.policy, 0)
        return self.policy


@dataclass
class NoOfferConfig:
    """Never offers anything."""

    kind: ClassVar[str] = NoOfferPolicy.kind

    def build(self) -> FixedAgent:
        return FixedAgent(NoOfferPolicy())


@dataclass
class RandomConfig:
    """Any allowed offer at random."""

    kind: ClassVar[str] = RandomPolicy.kind

    def build(self) -> FixedAgent:
        return FixedAgent(RandomPolicy())
