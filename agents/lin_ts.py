"""Linear Thompson sampling: one Bayesian linear regression per offer, learned while it decides.

Net margin and cost share their regressors, so their posterior is N(mean, covariance x inverse precision), and the
score net - λ cost of one offer is normal with a variance in closed form: it is drawn exactly, per customer, without
drawing coefficients.

Reference:
    Agrawal & Goyal, "Thompson Sampling for Contextual Bandits with Linear Payoffs", ICML 2013.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from agents.agent import LearningWorld, Monitor
from agents.decide import Placed, best_allowed
from agents.episode import decisions, episode_seed, play
from agents.regression import Basis, Statistics, squares
from campaigns.decision import Context, ObservationLayout
from campaigns.errors import InputError

_WARY = 10.0
"""Weight of the prior residual covariance, in decisions."""


@dataclass
class LinTSConfig:
    """Linear Thompson sampling on credited net margin and cost."""

    kind: ClassVar[str] = "lin_ts"

    steps: int = 1_000_000
    """Customer-weeks to learn from, rounded down to whole episodes, at least one."""
    credit_weeks: int = 4
    """Weeks, the decision's own included, whose net margin and cost a decision is credited with."""
    ridge: float = 10.0
    """Prior precision of every coefficient, in decisions."""
    noise_usd: float = 1.0
    """Standard deviation of an outcome expected before any was seen [USD]."""
    draws: int = 64
    """Posterior draws behind the probability that an offer is the best."""
    validate_every: int = 5
    """Episodes between two validations."""

    def __post_init__(self) -> None:
        for name in ("steps", "credit_weeks", "ridge", "noise_usd", "draws", "validate_every"):
            if getattr(self, name) <= 0:
                raise InputError(f"agent lin_ts: {name} is {getattr(self, name)}; it must be above 0")

    def build(self) -> "LinTSAgent":
        return LinTSAgent(self)


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is believed of every offer's coefficients; float32.

    Attributes:
        mean: Of the coefficients on (net, cost) [USD], shape (n_actions, p, 2).
        root: Inverse Cholesky factor of the precision, shape (n_actions, p, p).
        covariance: Of the residuals of (net, cost) [USD^2], shape (2, 2).
        pairs: Of the basis, shape (n_pairs, 2), int64.
    """

    mean: Tensor
    root: Tensor
    covariance: Tensor
    pairs: Tensor

    def scores(self, context: Context[Tensor]) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of net - λ cost [USD], each (n, n_actions)."""
        x = Basis(self.pairs).expand(context.features)
        price = context.price.unsqueeze(1)
        mean = x @ self.mean[..., 0].T - price * (x @ self.mean[..., 1].T)
        leverage = torch.stack([(x @ root.T).square().sum(dim=1) for root in self.root], dim=1)
        net, both, cost = self.covariance[0, 0], self.covariance[0, 1], self.covariance[1, 1]
        residual = (net - 2.0 * price * both + price.square() * cost).clamp(min=0.0)
        return mean, (residual * leverage).sqrt()


def posterior_of(statistics: Statistics, pairs: Tensor, ridge: float, noise: float) -> Posterior:
    """Return the posterior after `statistics`, for a prior of `ridge` decisions and residuals of `noise` [USD]."""
    prior = ridge * torch.eye(statistics.gram.shape[1], dtype=torch.float64)
    factor = torch.linalg.cholesky(statistics.gram + prior)
    mean = torch.cholesky_solve(statistics.moment, factor)
    error = (statistics.square - mean.mT @ statistics.moment).sum(dim=0)
    covariance = (_WARY * noise**2 * torch.eye(2, dtype=torch.float64) + error) / (_WARY + statistics.count.sum())
    root = torch.linalg.solve_triangular(factor, torch.eye(len(prior), dtype=torch.float64), upper=False)
    return Posterior(mean.float(), root.float(), (0.5 * (covariance + covariance.T)).float(), pairs)


class LinTSPolicy:
    """Gives each allowed offer the probability that it is the best, by a fixed set of posterior draws."""

    kind: ClassVar[str] = LinTSConfig.kind

    def __init__(self, posterior: Posterior, noise: Tensor, meta: Mapping[str, Any]) -> None:
        """Keep the posterior and standard normal `noise`, shape (draws, n_actions), the same for every customer."""
        self._placed = Placed(vars(posterior) | {"noise": noise})
        self._meta = dict(meta)

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        data = dict(self._placed.on(context.features.device))
        noise = data.pop("noise")
        mean, deviation = Posterior(**data).scores(context)
        wins = torch.zeros_like(mean)
        for draw in noise:
            best = best_allowed(mean + deviation * draw, context.mask)
            wins.scatter_add_(1, best.unsqueeze(1), torch.ones_like(wins[:, :1]))
        return wins / len(noise)

    def tensors(self) -> dict[str, Tensor]:
        return self._placed.data()

    def meta(self) -> dict[str, Any]:
        return dict(self._meta)

    @classmethod
    def restore(cls, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        posterior = Posterior(tensors["mean"], tensors["root"], tensors["covariance"], tensors["pairs"])
        return cls(posterior, tensors["noise"], meta)


class LinTSAgent:
    """Decides by posterior draws, and refreshes the posterior after every episode."""

    def __init__(self, config: LinTSConfig) -> None:
        self._config = config

    def learn(self, world: LearningWorld, seed: int, monitor: Monitor) -> LinTSPolicy:
        pairs = squares(world.layout.n_features)
        statistics = Statistics.empty(world.layout.n_actions, 1 + world.layout.n_features + len(pairs))
        posterior = self._posterior(statistics, pairs)
        steps = world.horizon * world.vector.num_envs
        episodes = max(1, self._config.steps // steps)
        generator = torch.Generator().manual_seed(episode_seed(seed, episodes))
        for number in range(episodes):
            episode = play(world, seed, number, partial(_draw, posterior, generator))
            batch = decisions(world, episode, self._config.credit_weeks)
            statistics.add(Basis(pairs).expand(batch.context.features), batch.action, batch.outcome)
            posterior = self._posterior(statistics, pairs)
            monitor.log({"rollout/net_usd_per_customer_week": float(episode.net.mean())}, (number + 1) * steps)
            monitor.progress(number + 1, episodes)
            if (number + 1) % self._config.validate_every == 0 or number + 1 == episodes:
                policy = self._policy(posterior, statistics, seed)
                monitor.validate(policy, (number + 1) * steps)
        return policy

    def _posterior(self, statistics: Statistics, pairs: Tensor) -> Posterior:
        return posterior_of(statistics, pairs, self._config.ridge, self._config.noise_usd)

    def _policy(self, posterior: Posterior, statistics: Statistics, seed: int) -> LinTSPolicy:
        generator = torch.Generator().manual_seed(episode_seed(seed, 0))
        noise = torch.randn(self._config.draws, len(statistics.count), generator=generator)
        counts = [int(count) for count in statistics.count]
        return LinTSPolicy(posterior, noise, {"config": asdict(self._config), "decisions_per_offer": counts})


def _draw(posterior: Posterior, generator: torch.Generator, context: Context[Tensor]) -> Tensor:
    mean, deviation = posterior.scores(context)
    return best_allowed(mean + deviation * torch.randn(mean.shape, generator=generator), context.mask)
