"""What every agent is: a config that builds it, a world that it learns in, a policy that it leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.checkpoint import Checkpoints
from agents.tensor_env import TensorEnv
from campaigns.decision import ObservationLayout, Policy
from campaigns.offers import Catalog
from history.feedback import LoggedFeedback

Vector = VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]


class TrainedPolicy(Policy[Tensor], Protocol):
    """A policy on torch tensors that can be written down as data: `registry.restore` reads it back.

    `action_dist` takes float32 tensors on any device and answers on the same device.
    """

    kind: ClassVar[str]

    def tensors(self) -> dict[str, Tensor]:
        """Return everything numeric that the policy needs, on the CPU."""
        ...

    def meta(self) -> dict[str, Any]:
        """Return everything else, as plain JSON values; also notes for the reader of the run."""
        ...


class Monitor(Protocol):
    """Who watches an agent learn.

    Attributes:
        checkpoints: Where an agent that takes long keeps what it stands at, and finds it again; None for nowhere.
    """

    checkpoints: Checkpoints | None

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Record figures after `step` customer-weeks."""
        ...

    def validate(self, policy: TrainedPolicy, step: int) -> float:
        """Score a policy on the validation market.

        Returns:
            Mean over several λ of [net uplift - λ cost] per customer-week [USD].
        """
        ...

    def progress(self, done: int, total: int) -> None:
        """Tell how many of the customer-weeks are done."""
        ...


@dataclass(frozen=True, eq=False)
class LoggedTargeting:
    """The shop's own targeting: action 0 is "no offer", action 1 "a coupon campaign starts this week".

    Attributes:
        feedback: The logged decisions; its features are columns of the world's layout, by name.
        coupon_value_cents: Median value of a logged coupon, estimated from redemptions [cents].
        catalog: Offers that a coupon may be mapped to.
    """

    feedback: LoggedFeedback
    coupon_value_cents: float
    catalog: Catalog


@dataclass(frozen=True, eq=False)
class LearningWorld:
    """Where an agent learns: the same market twice, as a Gymnasium vector env and as a Stable-Baselines3 VecEnv.

    All customers share one clock: they all terminate at the same step. `step` of `vector` reports in `info` the
    uplift net margin "net" (promo and contact cost deducted, λ not) and the promo and contact "cost", both of the
    week, in USD, shape (n,).

    Attributes:
        vector: n customers; SAME_STEP autoreset.
        sb3: The same dynamics.
        layout: Where features, λ and mask stand in an observation row.
        horizon: Weeks of one episode, wash-out included.
        logged: The shop's own targeting; None if its history has no campaigns.
        tensor: The same dynamics as tensors on the market's device; None where there are only numpy ones.
        feedback: Past decisions on this world's features and offers, with the probabilities of their choice, that
            bandits begin from; None if there are none.
    """

    vector: Vector
    sb3: VecEnv
    layout: ObservationLayout
    horizon: int
    logged: LoggedTargeting | None = None
    tensor: TensorEnv | None = None
    feedback: LoggedFeedback | None = None


class Agent(Protocol):
    """Learns a policy in a world."""

    def learn(self, world: LearningWorld, seed: int, monitor: Monitor) -> TrainedPolicy:
        """Learn; the same world and seed give the same policy, bit for bit."""
        ...


class AgentConfig(Protocol):
    """A dataclass beside each algorithm, registered in `registry.AGENTS` under its `kind`."""

    kind: ClassVar[str]

    def build(self) -> Agent:
        """Return the agent that this config describes."""
        ...
