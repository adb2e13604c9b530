"""Bootstrapped ensemble: each member learns from another weighting of the decisions, and takes its turn to decide.

Reference:
    Osband & Van Roy, "Bootstrapped Thompson Sampling and Deep Exploration", arXiv:1507.00300, 2015.
    Lu & Van Roy, "Ensemble Sampling", NeurIPS 2017 (members begin from draws of the prior).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from agents.agent import LearningWorld, Monitor, TrainedPolicy
from agents.decide import Placed, best_allowed, shares_of
from agents.episode import Decisions
from agents.linear_agent import plain
from agents.linear_model import (
    CoefficientPolicy,
    coefficient_tensors,
    columns_of,
    names_of,
    place_coefficients,
    with_price,
)
from agents.online import OnlineConfig, learn_online
from agents.regression import Basis, Memory, Statistics, squares
from agents.shared import Coefficients, SharedRidge, offer_rows
from agents.warm_start import Weighting, warm_statistics
from campaigns.decision import Context, ObservationLayout
from history.feedback import LoggedFeedback


@dataclass
class BootstrapConfig(OnlineConfig):
    """Bootstrapped linear ensemble on credited net margin and cost."""

    kind: ClassVar[str] = "bootstrap"

    steps: int = 500_000
    """Customer-weeks to learn from, rounded down to whole episodes, at least one; every member learns from each."""
    members: int = 8
    """Of the ensemble."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("members", self.members > 1, "it must be above 1")

    def build(self) -> "BootstrapAgent":
        return BootstrapAgent(self)


class BootstrapPolicy(CoefficientPolicy):
    """Gives each allowed offer the share of the ensemble that thinks it the best."""

    kind: ClassVar[str] = BootstrapConfig.kind

    def __init__(self, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Place the members' `shared` (members, described, p, 2), `own` (members, offers, p, 2) and `pairs`."""
        columns = columns_of(layout, meta["model"])
        super().__init__(layout, meta, tensors)
        mean, _ = place_coefficients(layout, meta["model"], tensors["shared"], tensors["own"])
        self._placed = Placed({"mean": mean, "pairs": tensors["pairs"], "columns": columns})

    def best(self, context: Context[Tensor]) -> Tensor:
        """Return each member's allowed offer of highest net - λ cost, shape (members, n)."""
        data = self._placed.on(context.features.device)
        x = Basis(data["pairs"]).expand(context.features.index_select(1, data["columns"]))
        price = context.price.unsqueeze(1)
        scores = (x @ member[..., 0].T - price * (x @ member[..., 1].T) for member in data["mean"])
        return torch.stack([best_allowed(score, context.mask) for score in scores])

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        best = self.best(context)
        return shares_of(best, len(best), context.mask)


class BootstrapAgent:
    """Weights each decision by a Poisson count per member, and refreshes the members after every episode."""

    def __init__(self, config: BootstrapConfig) -> None:
        self._config = config

    def learn(self, world: LearningWorld, seed: int, monitor: Monitor) -> TrainedPolicy:
        learner = _Learner(world.layout, self._config, seed, world.feedback)
        return learn_online(world, seed, monitor, self._config, learner)


class _Learner:
    def __init__(
        self, layout: ObservationLayout, config: BootstrapConfig, seed: int, feedback: LoggedFeedback | None
    ) -> None:
        self._layout, self._config = layout, config
        self._rows, self._pairs = offer_rows(layout), squares(layout.n_features)
        self._p = 3 + 3 * len(self._pairs)
        self._generator = torch.Generator().manual_seed(seed)
        empty = Statistics.empty(layout.n_actions, self._p)
        self._memories = [Memory(empty, config.discount, config.window) for _ in range(config.members)]
        if feedback is not None and config.warm_start is not Weighting.OFF:
            weighting, noise = config.warm_start, config.noise_usd
            logged = warm_statistics(feedback, layout, self._regressors, weighting, noise)
            for memory in self._memories:
                memory.add(logged)
        spread = config.noise_usd * config.ridge**0.5  # ridge times a draw from the prior
        shape = (config.members, layout.n_actions, self._p, 2)
        self._prior = spread * torch.randn(shape, generator=self._generator, dtype=torch.float64)
        self._counts = torch.zeros(layout.n_actions, dtype=torch.int64)
        self._refresh()

    def decide(self, context: Context[Tensor], generator: torch.Generator) -> Tensor:
        best = self._policy.best(context)
        member = torch.randint(len(best), (1, best.shape[1]), generator=generator)
        return best.gather(0, member).squeeze(0)

    def learn(self, batch: Decisions) -> None:
        x = self._regressors(batch.context.features, batch.context.price)
        for memory in self._memories:
            weight = torch.poisson(torch.ones(len(x), dtype=torch.float64), generator=self._generator)
            part = Statistics.empty(self._layout.n_actions, self._p)
            part.add(x, batch.action, batch.outcome, weight)
            memory.add(part)
        self._counts += torch.bincount(batch.action, minlength=len(self._counts))
        self._refresh()

    def policy(self, seed: int) -> TrainedPolicy:
        return self._policy

    def _regressors(self, features: Tensor, price: Tensor) -> Tensor:
        return with_price(Basis(self._pairs).expand(features.double()), features, price)

    def _refresh(self) -> None:
        precision = self._config.prior(self._layout.n_features).precision(self._p)
        found = []
        for memory, prior in zip(self._memories, self._prior, strict=True):
            model = SharedRidge(memory.total.gram, self._rows, self._config.pool, precision)
            found.append(model.solve(memory.total.moment + prior))
        members = Coefficients(*(torch.stack([getattr(m, part) for m in found]) for part in ("shared", "own")))
        tensors = coefficient_tensors(members, 1 + 2 * len(self._pairs)) | {"pairs": self._pairs}
        meta = {
            "config": plain(self._config),
            "model": names_of(self._layout),
            "decisions_per_offer": self._counts.tolist(),
        }
        self._policy = BootstrapPolicy(self._layout, meta, tensors)
