"""Budgeted knapsack on a response model of its own: each customer's best offer at the budget's price λ.

λ is the Lagrange multiplier of the multiple-choice knapsack: at the λ whose choices cost the budget, these choices
are the best that the budget can buy (`campaigns.allocation` finds it for one week).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from agents.agent import Agent, LearningWorld, Monitor
from agents.decide import Placed, best_allowed, certain
from agents.episode import Decide, Decisions, decisions, episode_seed, play
from agents.linear_model import CoefficientPolicy, columns_of, names_of, place_coefficients
from agents.regression import Basis, Statistics, products, squares
from agents.shared import SharedRidge, offer_rows
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
    """Ridge penalty on what offers share through what describes them, in decisions."""
    own: float = 100.0
    """Ridge penalty on an offer's deviation from that, in decisions."""

    def __post_init__(self) -> None:
        for name in ("steps", "credit_weeks", "pool", "own"):
            if getattr(self, name) <= 0:
                raise InputError(f"agent {self.kind}: {name} is {getattr(self, name)}; it must be above 0")
        if not 0 < self.explore < 1:
            raise InputError(f"agent {self.kind}: explore is {self.explore}; a probability in (0, 1) is needed")
        if self.interactions < 0:
            raise InputError(f"agent {self.kind}: interactions is {self.interactions}; it must be 0 or more")

    def build(self) -> Agent:
        return KnapsackAgent(self)


class KnapsackPolicy(CoefficientPolicy):
    """Gives each customer the allowed offer with the highest net - λ cost; "no offer" scores 0."""

    kind: ClassVar[str] = KnapsackConfig.kind

    def __init__(self, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Place coefficients on (net, cost) [USD] before a layout's offers.

        Args:
            layout: May have offers that were never made.
            meta: With the names of the training's layout under "model".
            tensors: `shared` (described, p, 2) and `own` (trained offers, p, 2), and the `pairs` of their basis.

        Raises:
            InputError: The layout is another one than the model can serve.
        """
        columns = columns_of(layout, meta["model"])
        super().__init__(layout, meta, tensors)
        level, _ = place_coefficients(layout, meta["model"], tensors["shared"], tensors["own"])
        self._placed = Placed({"effects": level - level[:1], "pairs": tensors["pairs"], "columns": columns})

    def predict(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return expected net margin and cost of each offer against no offer [USD], each (n, n_actions)."""
        data = self._placed.on(features.device)
        regressors = Basis(data["pairs"]).expand(features.index_select(1, data["columns"]))
        return regressors @ data["effects"][..., 0].T, (regressors @ data["effects"][..., 1].T).clamp(min=0.0)

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        net, cost = self.predict(context.features)
        score = net - context.price.unsqueeze(1) * cost
        return certain(best_allowed(score, context.mask), score.shape[1])


class KnapsackAgent:
    """Collects logged feedback of its own, then fits."""

    def __init__(self, config: KnapsackConfig, policy: type[KnapsackPolicy] = KnapsackPolicy) -> None:
        self._config = config
        self._policy = policy

    def learn(self, world: LearningWorld, seed: int, monitor: Monitor) -> KnapsackPolicy:
        episodes = max(1, self._config.steps // (world.horizon * world.vector.num_envs))
        log = self.explore(world, seed, episodes, monitor)
        policy = self.fit(log, world.layout)
        monitor.validate(policy, episodes * world.horizon * world.vector.num_envs)
        return policy

    def explore(self, world: LearningWorld, seed: int, episodes: int, monitor: Monitor) -> LoggedFeedback:
        """Play `episodes` with random offers and return the decisions that were a choice."""
        generator = torch.Generator().manual_seed(episode_seed(seed, episodes))
        decide = explorer(self._config.explore, generator)
        parts = []
        for number in range(episodes):
            parts.append(decisions(world, play(world, seed, number, decide), self._config.credit_weeks))
            monitor.progress(number + 1, episodes)
        return _feedback(world.layout, parts, self._config.explore)

    def fit(self, log: LoggedFeedback, layout: ObservationLayout) -> KnapsackPolicy:
        """Fit effects on squares first, then once more with the products of the features that matter most."""
        pairs = squares(len(log.feature_names))
        linear = self._coefficients(log, layout, pairs)
        strongest = strongest_features(linear, len(log.feature_names), self._config.interactions)
        pairs = torch.cat([pairs, products(strongest)])
        found = self._coefficients(log, layout, pairs)
        names = [log.feature_names[i] for i in strongest.sort().values]
        counts = np.bincount(log.action, minlength=log.n_actions).tolist()
        meta = {"config": asdict(self._config), "interactions": names, "decisions_per_offer": counts}
        tensors = {"shared": found["shared"].float(), "own": found["own"].float(), "pairs": pairs}
        return self._policy(layout, meta | {"model": names_of(layout)}, tensors)

    def _coefficients(self, log: LoggedFeedback, layout: ObservationLayout, pairs: Tensor) -> dict[str, Tensor]:
        basis = Basis(pairs)
        statistics = Statistics.empty(log.n_actions, 1 + len(log.feature_names) + len(pairs))
        outcome = torch.from_numpy(np.stack([log.reward, log.cost], axis=1))
        for rows in torch.split(torch.arange(log.n), 65536):
            regressors = basis.expand(torch.from_numpy(log.features)[rows].double())
            statistics.add(regressors, torch.from_numpy(log.action)[rows], outcome[rows])
        model = SharedRidge(statistics.gram, offer_rows(layout), self._config.pool, self._config.own)
        found = model.solve(statistics.moment)
        return {"shared": found.shared, "own": found.own, "level": found.of(offer_rows(layout))}


def strongest_features(found: Mapping[str, Tensor], n_features: int, most: int) -> Tensor:
    """Return the features with the strongest linear effect on net margin, at most `most`, shape (k,), int64."""
    effect = found["level"][1:] - found["level"][:1]
    linear = effect[:, 1 : 1 + n_features, 0].abs().mean(dim=0)
    return linear.topk(min(most, n_features)).indices


def explorer(explore: float, generator: torch.Generator) -> Decide:
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
