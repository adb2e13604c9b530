"""Learning while deciding: a bandit plays episodes, and learns from its decisions after each of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from agents.agent import LearningWorld, Monitor, TrainedPolicy
from agents.episode import Decisions, Episode, decisions, episode_seed, play
from agents.posterior import Prior
from agents.warm_start import Weighting
from campaigns.decision import Context
from campaigns.errors import InputError


@dataclass
class OnlineConfig:
    """What bandits on credited net margin and cost have in common."""

    kind: ClassVar[str] = "online"
    begins_from_log: ClassVar[bool] = True

    steps: int = 1_000_000
    """Customer-weeks to learn from, rounded down to whole episodes, at least one."""
    credit_weeks: int = 4
    """Weeks, the decision's own included, whose net margin and cost a decision is credited with."""
    ridge: float = 10.0
    """Prior precision of an offer's deviation from what offers share, in decisions."""
    pool: float = 10.0
    """Prior precision of what offers share through what describes them, in decisions."""
    noise_usd: float = 1.0
    """Standard deviation of an outcome expected before any was seen [USD]."""
    discount: float = 1.0
    """Weight of earlier episodes against each new one; below 1 where the response drifts."""
    window: int = 0
    """Episodes that are remembered; 0 remembers all."""
    warm_start: Weighting = Weighting.DOUBLY_ROBUST
    """How logged decisions with known probabilities are weighted, where the world has some."""
    validate_every: int = 5
    """Episodes between two validations."""

    def __post_init__(self) -> None:
        for name in ("steps", "credit_weeks", "ridge", "pool", "noise_usd", "validate_every"):
            self._require(name, getattr(self, name) > 0, "it must be above 0")
        self._require("discount", 0 < self.discount <= 1, "it must be in (0, 1]; 1 forgets nothing")
        self._require("window", self.window >= 0, "it must be 0 (all) or more episodes")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InputError(f"agent {self.kind}: {name} is {getattr(self, name)}; {expected}")

    def prior(self, n_features: int) -> Prior:
        """Return the prior of regressors behind which λ's own effect stands, by `n_features` (`with_price`)."""
        return Prior(self.ridge, self.pool, self.noise_usd, common=2 + n_features)


class Learner(Protocol):
    """A bandit within one training."""

    def decide(self, context: Context[Tensor], generator: torch.Generator) -> Tensor:
        """Return an allowed offer for each customer, shape (n,), int64."""
        ...

    def learn(self, batch: Decisions) -> None:
        """Learn from the decisions of one episode."""
        ...

    def policy(self, seed: int) -> TrainedPolicy:
        """Return what was learned so far as a policy."""
        ...


def learn_online(
    world: LearningWorld, seed: int, monitor: Monitor, config: OnlineConfig, learner: Learner
) -> TrainedPolicy:
    """Play `config.steps` customer-weeks with a learner, and return its policy at the end."""
    steps = world.horizon * world.vector.num_envs
    episodes = max(1, config.steps // steps)
    generator = torch.Generator().manual_seed(episode_seed(seed, episodes))
    for number in range(episodes):
        with torch.no_grad():
            episode = play(world, seed, number, lambda context: learner.decide(context, generator))
        learner.learn(decisions(world, episode, config.credit_weeks))
        done = (number + 1) * steps
        monitor.log(_figures(episode, world.layout.action_names), done)
        monitor.progress(number + 1, episodes)
        if (number + 1) % config.validate_every == 0 or number + 1 == episodes:
            policy = learner.policy(seed)
            monitor.validate(policy, done)
    return policy


def _figures(episode: Episode, names: tuple[str, ...]) -> Mapping[str, float]:
    share = torch.bincount(episode.action.flatten(), minlength=len(names)).double() / episode.action.numel()
    return {
        "rollout/net_usd_per_customer_week": float(episode.net.mean()),
        "rollout/cost_usd_per_customer_week": float(episode.cost.mean()),
        **{f"rollout/share/{name}": float(value) for name, value in zip(names, share, strict=True)},
    }
