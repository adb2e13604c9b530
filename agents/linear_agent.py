"""The learner behind the linear bandits: beliefs from sufficient statistics, refreshed after every episode."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor

from agents.agent import LearningWorld, Monitor, TrainedPolicy
from agents.episode import Decisions
from agents.linear_model import LinearScores, names_of, with_price, written
from agents.online import OnlineConfig, learn_online
from agents.posterior import believe
from agents.regression import Basis, Memory, Statistics, squares
from agents.shared import offer_rows
from agents.warm_start import Weighting, warm_statistics
from campaigns.decision import Context, ObservationLayout
from history.feedback import LoggedFeedback


@dataclass(frozen=True)
class Explorer:
    """How a linear bandit turns scores into decisions while it learns, and what it leaves behind.

    Attributes:
        choose: From scores, context, decisions learned from so far and generator to allowed offers, shape (n,).
        policy: From scores, meta, decisions learned from and seed to a policy.
    """

    choose: Callable[[LinearScores, Context[Tensor], int, torch.Generator], Tensor]
    policy: Callable[[LinearScores, dict[str, Any], int, int], TrainedPolicy]


class LinearPolicy:
    """What the policies of linear bandits share: scores, and the way to write them down and back."""

    def __init__(self, scores: LinearScores, meta: Mapping[str, Any]) -> None:
        self._scores, self._meta = scores, dict(meta)

    def tensors(self) -> dict[str, Tensor]:
        return self._scores.tensors()

    def meta(self) -> dict[str, Any]:
        return dict(self._meta)

    @classmethod
    def restore(cls, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        return cls(LinearScores(layout, meta["model"], tensors), meta)


class LinearAgent:
    """Learns one Bayesian linear regression per offer, with a part that offers share, while it decides."""

    def __init__(self, config: OnlineConfig, explorer: Explorer) -> None:
        self._config = config
        self._explorer = explorer

    def learn(self, world: LearningWorld, seed: int, monitor: Monitor) -> TrainedPolicy:
        learner = LinearLearner(world.layout, self._config, self._explorer, world.feedback)
        return learn_online(world, seed, monitor, self._config, learner)


class LinearLearner:
    """Statistics and belief of one training."""

    def __init__(
        self, layout: ObservationLayout, config: OnlineConfig, explorer: Explorer, feedback: LoggedFeedback | None
    ) -> None:
        self._layout, self._config, self._explorer = layout, config, explorer
        self._rows, self._pairs = offer_rows(layout), squares(layout.n_features)
        self._memory = Memory(self._empty(), config.discount, config.window)
        if feedback is not None and config.warm_start is not Weighting.OFF:
            weighting, noise = config.warm_start, config.noise_usd
            self._memory.add(warm_statistics(feedback, layout, self._regressors, weighting, noise))
        self._counts = torch.zeros(layout.n_actions, dtype=torch.int64)
        self._refresh()

    def decide(self, context: Context[Tensor], generator: torch.Generator) -> Tensor:
        return self._explorer.choose(self._scores, context, int(self._counts.sum()), generator)

    def learn(self, batch: Decisions) -> None:
        part = self._empty()
        part.add(self._regressors(batch.context.features, batch.context.price), batch.action, batch.outcome)
        self._memory.add(part)
        self._counts += torch.bincount(batch.action, minlength=len(self._counts))
        self._refresh()

    def policy(self, seed: int) -> TrainedPolicy:
        names = names_of(self._layout)
        meta = {"config": plain(self._config), "model": names, "decisions_per_offer": self._counts.tolist()}
        return self._explorer.policy(self._scores, meta, int(self._counts.sum()), seed)

    def _empty(self) -> Statistics:
        return Statistics.empty(self._layout.n_actions, 3 + 3 * len(self._pairs))

    def _regressors(self, features: Tensor, price: Tensor) -> Tensor:
        return with_price(Basis(self._pairs).expand(features.double()), features, price)

    def _refresh(self) -> None:
        prior = self._config.prior(self._layout.n_features)
        tensors = written(believe(self._memory.total, self._rows, prior), self._pairs, prior)
        self._scores = LinearScores(self._layout, names_of(self._layout), tensors)


def plain(config: OnlineConfig) -> dict[str, Any]:
    """Return a config as JSON values."""
    return asdict(config) | {"warm_start": config.warm_start.value}
