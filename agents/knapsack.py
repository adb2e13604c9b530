"""Budgeted knapsack on a response model of its own: each customer's best offer at the budget's price λ.

λ is the Lagrange multiplier of the multiple-choice knapsack: at the λ whose choices cost the budget, these choices
are the best that the budget can buy (`campaigns.allocation` finds it for one week).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from agents.agent import LearningWorld, Monitor
from agents.decide import Placed, best_allowed, certain
from agents.episode import Decide, Decisions, decisions, episode_seed, play
from agents.regression import Basis, Statistics, pooled_effects, products, squares
from campaigns.decision import Context, ObservationLayout
from campaigns.errors import InputError
from history.feedback import LoggedFeedback


@dataclass
class KnapsackConfig:
    """Explores at random, fits net margin and cost per offer, prices cost by λ."""

    kind: ClassVar[str] = "knapsack"

    steps: int = 600_000
    """Customer-weeks to explore, rounded down to whole episodes, at least one."""
    explore: float = 0.25
    """Probability of an offer, any allowed one, where one is allowed. One offer per credit window on average keeps
    the windows of two offers apart."""
    credit_weeks: int = 4
    """Weeks, the decision's own included, whose net margin and cost a decision is credited with."""
    interactions: int = 5
    """Features with the strongest effect on net margin whose products with one another are regressors too."""
    pool: float = 10.0
    """Ridge penalty on the mean effect of all offers, in decisions."""
    own: float = 100.0
    """Ridge penalty on an offer's deviation from that mean, in decisions."""

    def __post_init__(self) -> None:
        for name in ("steps", "credit_weeks", "pool", "own"):
            if getattr(self, name) <= 0:
                raise InputError(f"agent knapsack: {name} is {getattr(self, name)}; it must be above 0")
        if not 0 < self.explore < 1:
            raise InputError(f"agent knapsack: explore is {self.explore}; a probability in (0, 1) is needed")
        if self.interactions < 0:
            raise InputError(f"agent knapsack: interactions is {self.interactions}; it must be 0 or more")

    def build(self) -> "KnapsackAgent":
        return KnapsackAgent(self)


class KnapsackPolicy:
    """Gives each customer the allowed offer with the highest net - λ cost; "no offer" scores 0."""

    kind: ClassVar[str] = KnapsackConfig.kind

    def __init__(self, effects: Tensor, pairs: Tensor, meta: Mapping[str, Any]) -> None:
        """Keep `effects` on (net, cost) [USD], shape (n_actions, p, 2), and the `pairs` of their basis."""
        self._placed = Placed({"effects": effects.float(), "pairs": pairs})
        self._meta = dict(meta)

    def predict(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return expected net margin and cost of each offer against no offer [USD], each (n, n_actions)."""
        data = self._placed.on(features.device)
        regressors = Basis(data["pairs"]).expand(features)
        return regressors @ data["effects"][..., 0].T, (regressors @ data["effects"][..., 1].T).clamp(min=0.0)

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        net, cost = self.predict(context.features)
        score = net - context.price.unsqueeze(1) * cost
        return certain(best_allowed(score, context.mask), score.shape[1])

    def tensors(self) -> dict[str, Tensor]:
        return self._placed.data()

    def meta(self) -> dict[str, Any]:
        return dict(self._meta)

    @classmethod
    def restore(cls, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        return cls(tensors["effects"], tensors["pairs"], meta)


class KnapsackAgent:
    """Collects logged feedback of its own, then fits."""

    def __init__(self, config: KnapsackConfig) -> None:
        self._config = config

    def learn(self, world: LearningWorld, seed: int, monitor: Monitor) -> KnapsackPolicy:
        episodes = max(1, self._config.steps // (world.horizon * world.vector.num_envs))
        log = self.explore(world, seed, episodes, monitor)
        policy = self.fit(log)
        monitor.validate(policy, episodes * world.horizon * world.vector.num_envs)
        return policy

    def explore(self, world: LearningWorld, seed: int, episodes: int, monitor: Monitor) -> LoggedFeedback:
        """Play `episodes` with random offers and return the decisions that were a choice."""
        generator = torch.Generator().manual_seed(episode_seed(seed, episodes))
        decide = _explorer(self._config.explore, generator)
        parts = []
        for number in range(episodes):
            parts.append(decisions(world, play(world, seed, number, decide), self._config.credit_weeks))
            monitor.progress(number + 1, episodes)
        return _feedback(world.layout, parts, self._config.explore)

    def fit(self, log: LoggedFeedback) -> KnapsackPolicy:
        """Fit effects on squares first, then once more with the products of the features that matter most."""
        pairs = squares(len(log.feature_names))
        effects = self._effects(log, Basis(pairs))
        linear = effects[1:, 1 : 1 + len(log.feature_names), 0].abs().mean(dim=0)
        strongest = linear.topk(min(self._config.interactions, len(linear))).indices
        pairs = torch.cat([pairs, products(strongest)])
        effects = self._effects(log, Basis(pairs))
        names = [log.feature_names[i] for i in strongest.sort().values]
        counts = np.bincount(log.action, minlength=log.n_actions).tolist()
        meta = {"config": asdict(self._config), "interactions": names, "decisions_per_offer": counts}
        return KnapsackPolicy(effects, pairs, meta)

    def _effects(self, log: LoggedFeedback, basis: Basis) -> Tensor:
        statistics = Statistics.empty(log.n_actions, 1 + len(log.feature_names) + len(basis.pairs))
        outcome = torch.from_numpy(np.stack([log.reward, log.cost], axis=1))
        for rows in torch.split(torch.arange(log.n), 65536):
            regressors = basis.expand(torch.from_numpy(log.features)[rows])
            statistics.add(regressors, torch.from_numpy(log.action)[rows], outcome[rows])
        return pooled_effects(statistics, self._config.pool, self._config.own)


def _explorer(explore: float, generator: torch.Generator) -> Decide:
    """Offer with probability `explore`, any allowed offer with the same chance."""

    def decide(context: Context[Tensor]) -> Tensor:
        return _exploration(context.mask, explore).multinomial(1, generator=generator).squeeze(1)

    return decide


def _exploration(mask: Tensor, explore: float) -> Tensor:
    offers = mask.float()
    offers[:, 0] = 0.0
    dist = explore * offers / offers.sum(dim=1, keepdim=True).clamp(min=1.0)
    dist[:, 0] = 1.0 - dist.sum(dim=1)
    return dist


def _feedback(layout: ObservationLayout, parts: list[Decisions], explore: float) -> LoggedFeedback:
    mask = torch.cat([part.context.mask for part in parts])
    action = torch.cat([part.action for part in parts])
    outcome = torch.cat([part.outcome for part in parts]).numpy()
    pscore = _exploration(mask, explore).gather(1, action.unsqueeze(1)).squeeze(1)
    return LoggedFeedback(
        feature_names=layout.feature_names,
        features=torch.cat([part.context.features for part in parts]).numpy(),
        mask=mask.numpy(),
        action=action.numpy(),
        reward=outcome[:, 0],
        cost=outcome[:, 1],
        pscore=pscore.double().numpy(),
    )
