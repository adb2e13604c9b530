"""A knapsack that looks ahead: each offer's net margin and cost over all of the episode's remaining weeks.

Fitted Q iteration on logged episodes. A decision's target is what its next weeks brought plus what the customer then is
worth under the best choices to come; where no choice remains, it is what its own window brought. Net margin and cost
are kept apart, for a few prices of money, and interpolated between them, so that one training serves every budget.

Reference:
    Ernst, Geurts & Wehenkel, "Tree-Based Batch Mode Reinforcement Learning", JMLR 6, 2005 (fitted Q iteration).
    Le, Voloshin & Yue, "Batch Policy Learning under Constraints", ICML 2019 (a Lagrange price on cost).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from agents.agent import LearningWorld, Monitor
from agents.decide import Placed, best_allowed, certain
from agents.episode import Episode, credited, episode_seed, play
from agents.knapsack import KnapsackConfig, explorer, strongest_features
from agents.linear_model import CoefficientPolicy, columns_of, names_of, place_coefficients
from agents.regression import Basis, Statistics, products, squares
from agents.shared import Coefficients, SharedRidge, offer_rows
from campaigns.decision import Context, ObservationLayout
from campaigns.errors import InputError


@dataclass
class KnapsackAheadConfig(KnapsackConfig):
    """Explores at random, fits net margin and cost until the end of the episode, prices cost by λ."""

    kind: ClassVar[str] = "knapsack_ahead"

    prices: list[float] = field(default_factory=lambda: [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
    """Prices λ at which the best choices to come are worked out; between them they are interpolated."""
    tail_weeks: int = 4
    """Weeks credited to decisions after which no choice is left; more see later effects, through more noise."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tail_weeks < 1:
            raise InputError(f"agent {self.kind}: tail_weeks is {self.tail_weeks}; it must be above 0")
        if not self.prices or min(self.prices) < 0 or sorted(set(self.prices)) != list(self.prices):
            raise InputError(f"agent {self.kind}: prices is {self.prices}; expected rising prices, none below 0")

    def build(self) -> "KnapsackAheadAgent":
        return KnapsackAheadAgent(self)


class KnapsackAheadPolicy(CoefficientPolicy):
    """Gives each customer the allowed offer with the highest long-run net - λ cost."""

    kind: ClassVar[str] = KnapsackAheadConfig.kind
    kept: ClassVar[tuple[str, ...]] = ("shared", "own", "pairs", "prices")

    def __init__(self, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Place `shared` (prices, described, p, 2) and `own` (prices, offers, p, 2), their `pairs` and `prices`."""
        columns = columns_of(layout, meta["model"])
        super().__init__(layout, meta, tensors)
        level, _ = place_coefficients(layout, meta["model"], tensors["shared"], tensors["own"])
        kept = {name: tensors[name] for name in ("pairs", "prices")}
        self._placed = Placed(kept | {"effects": level - level[:, :1], "columns": columns})

    def predict(self, features: Tensor, price: Tensor) -> tuple[Tensor, Tensor]:
        """Return long-run net margin and cost of each offer against none [USD], each (n, n_actions), at λ of (n,)."""
        data = self._placed.on(features.device)
        x = Basis(data["pairs"]).expand(features.index_select(1, data["columns"]))
        net = torch.zeros(len(x), data["effects"].shape[1], device=x.device)
        cost = torch.zeros_like(net)
        for weight, effects in zip(hat_weights(price, data["prices"]).T, data["effects"], strict=True):
            net += weight.unsqueeze(1) * (x @ effects[..., 0].T)
            cost += weight.unsqueeze(1) * (x @ effects[..., 1].T)
        return net, cost

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        net, cost = self.predict(context.features, context.price)
        score = net - context.price.unsqueeze(1) * cost
        return certain(best_allowed(score, context.mask), score.shape[1])


def hat_weights(price: Tensor, knots: Tensor) -> Tensor:
    """Return weights of linear interpolation between rising knots, shape (n, knots); rows sum to 1."""
    above = torch.searchsorted(knots, price.contiguous()).clamp(1, max(len(knots) - 1, 1))
    weights = torch.zeros(len(price), len(knots), device=price.device)
    if len(knots) == 1:
        return weights + 1.0
    low, high = knots[above - 1], knots[above]
    share = ((price - low) / (high - low)).clamp(0.0, 1.0).unsqueeze(1)
    return weights.scatter(1, above.unsqueeze(1), share).scatter(1, above.unsqueeze(1) - 1, 1.0 - share)


@dataclass(frozen=True, eq=False)
class _Log:
    """All customers in all weeks with a choice, m rows, in the order of episodes, weeks, customers.

    Attributes:
        context: What was known, m rows.
        action: Offers, shape (m,).
        window: Net margin and cost of the weeks that a decision is credited with [USD], shape (m, 2), float64.
        following: Row of the same customer after the window, shape (m,), int64; -1 where no choice remains.
    """

    context: Context[Tensor]
    action: Tensor
    window: Tensor
    following: Tensor


class KnapsackAheadAgent:
    """Collects episodes with random offers, then fits backwards from their ends."""

    def __init__(self, config: KnapsackAheadConfig) -> None:
        self._config = config

    def learn(self, world: LearningWorld, seed: int, monitor: Monitor) -> KnapsackAheadPolicy:
        steps = world.horizon * world.vector.num_envs
        episodes = max(1, self._config.steps // steps)
        generator = torch.Generator().manual_seed(episode_seed(seed, episodes))
        played = []
        for number in range(episodes):
            played.append(play(world, seed, number, explorer(self._config.explore, generator)))
            monitor.progress(number + 1, episodes)
        policy = self._fit(world.layout, played)
        monitor.validate(policy, episodes * steps)
        return policy

    def _fit(self, layout: ObservationLayout, played: list[Episode]) -> KnapsackAheadPolicy:
        weeks = _weeks_with_a_choice(layout, played)
        log = _log(layout, played, weeks, self._config)
        first = _Fit(log, layout, squares(layout.n_features), self._config)
        level = first.coefficients(log.window).of(offer_rows(layout))
        strongest = strongest_features({"level": level}, layout.n_features, self._config.interactions)
        fit = _Fit(log, layout, torch.cat([squares(layout.n_features), products(strongest)]), self._config)
        sweeps = math.ceil(weeks / self._config.credit_weeks)
        found = [fit.look_ahead(price, sweeps) for price in self._config.prices]
        tensors = {
            "shared": torch.stack([one.shared for one in found]).float(),
            "own": torch.stack([one.own for one in found]).float(),
            "pairs": fit.basis.pairs,
            "prices": torch.tensor(self._config.prices),
        }
        names = [layout.feature_names[i] for i in strongest.sort().values]
        counts = torch.bincount(log.action, minlength=layout.n_actions).tolist()
        meta = {"config": asdict(self._config), "interactions": names, "rows_per_offer": counts, "sweeps": sweeps}
        return KnapsackAheadPolicy(layout, meta | {"model": names_of(layout)}, tensors)


def _weeks_with_a_choice(layout: ObservationLayout, played: list[Episode]) -> int:
    """Return the number of weeks until nobody may be offered anything for the rest of the episode, at least 1."""
    choice = [layout.split(week).mask.sum(dim=1).gt(1).any() for episode in played for week in episode.rows]
    by_week = torch.stack(choice).view(len(played), -1).any(dim=0)
    return int(by_week.nonzero().max()) + 1 if by_week.any() else 1


def _log(layout: ObservationLayout, played: list[Episode], weeks: int, config: KnapsackAheadConfig) -> _Log:
    step, tail = config.credit_weeks, config.tail_weeks
    rows: list[Tensor] = []
    windows: list[Tensor] = []
    actions: list[Tensor] = []
    following: list[Tensor] = []
    for episode in played:
        n = episode.action.shape[1]
        first = len(actions) * weeks * n
        soon = torch.stack([credited(episode.net, step), credited(episode.cost, step)], dim=2)[:weeks]
        rest = torch.stack([credited(episode.net, tail), credited(episode.cost, tail)], dim=2)[:weeks]
        week = torch.arange(weeks).unsqueeze(1)
        remains = week + step < weeks
        rows.append(episode.rows[:weeks].flatten(0, 1))
        actions.append(episode.action[:weeks].flatten())
        windows.append(torch.where(remains.unsqueeze(2), soon, rest).flatten(0, 1))
        following.append(torch.where(remains, first + (week + step) * n + torch.arange(n), -1).flatten())
    context = layout.split(torch.cat(rows))
    return _Log(context, torch.cat(actions), torch.cat(windows), torch.cat(following))


class _Fit:
    """One basis, factored once for all prices and sweeps."""

    def __init__(self, log: _Log, layout: ObservationLayout, pairs: Tensor, config: KnapsackAheadConfig) -> None:
        self.basis = Basis(pairs)
        self._log, self._rows = log, offer_rows(layout)
        self._x = self.basis.expand(log.context.features)
        statistics = self._statistics(log.window)
        self._model = SharedRidge(statistics.gram, self._rows, config.pool, config.own)

    def coefficients(self, target: Tensor) -> Coefficients:
        """Return the ridge regression of `target`, shape (m, 2), on what was known and done."""
        return self._model.solve(self._statistics(target).moment)

    def look_ahead(self, price: float, sweeps: int) -> Coefficients:
        """Return the coefficients of long-run (net, cost) at a price, after as many sweeps as cover the episode."""
        found = self.coefficients(self._log.window)
        goes_on = (self._log.following >= 0).unsqueeze(1)
        for _ in range(sweeps):
            ahead = self._best_worth(found.of(self._rows).float(), price)
            later = ahead.index_select(0, self._log.following.clamp(min=0))
            found = self.coefficients(self._log.window + torch.where(goes_on, later, 0.0))
        return found

    def _best_worth(self, level: Tensor, price: float) -> Tensor:
        """Return net and cost of each row's best allowed offer, shape (m, 2), float64."""
        net, cost = self._x @ level[..., 0].T, self._x @ level[..., 1].T
        best = best_allowed(net - price * cost, self._log.context.mask).unsqueeze(1)
        return torch.cat([net.gather(1, best), cost.gather(1, best)], dim=1).double()

    def _statistics(self, target: Tensor) -> Statistics:
        statistics = Statistics.empty(len(self._rows), self._x.shape[1])
        for rows in torch.split(torch.arange(len(self._x)), 65_536):
            statistics.add(self._x[rows].double(), self._log.action[rows], target[rows])
        return statistics
