"""Proximal policy optimisation by Stable-Baselines3, on whole episodes, with masked offers and λ as an input.

Reference:
    Schulman et al., "Proximal Policy Optimization Algorithms", arXiv:1707.06347, 2017.
    Huang & Ontanon, "A Closer Look at Invalid Action Masking in Policy Gradient Algorithms", FLAIRS 2022.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger
from torch import Tensor

from agents.actor import ActorPolicy
from agents.agent import LearningWorld, Monitor
from agents.choice_buffer import ChoiceBuffer
from agents.masked_policy import MaskedActorCritic
from campaigns.errors import InputError


@dataclass
class PPOConfig:
    """PPO on whole episodes of all customers."""

    kind: ClassVar[str] = ActorPolicy.kind

    steps: int = 2_000_000
    """Customer-weeks to learn from, rounded down to whole episodes of all customers, at least one."""
    minibatch: int = 2048
    """Decisions per gradient step; weeks without a choice do not count."""
    epochs: int = 4
    """Passes over each rollout."""
    learning_rate: float = 2e-3
    """Of Adam at the start; falls linearly to 0."""
    gamma: float = 1.0
    """Discount per week; 1 is right for a campaign of fixed length whose progress is a feature."""
    gae_lambda: float = 0.95
    """Decay of the advantage estimate per decision."""
    clip_range: float = 0.2
    """Clip of the probability ratio."""
    ent_coef: float = 0.001
    """Weight of the entropy bonus, in units of scaled reward."""
    vf_coef: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Clip of the gradient's norm."""
    target_kl: float | None = None
    """Stops the passes over a rollout beyond 1.5 times this divergence; null: never."""
    hidden: list[int] = field(default_factory=lambda: [64, 64])
    """Widths of the tanh layers of actor and critic."""
    greedy: bool = True
    """The trained policy gives the likeliest offer; false: it draws, as it did while it learned."""
    validate_every: int = 5
    """Rollouts between two validations; the best validated weights are kept."""
    device: str = "auto"
    """auto (a GPU if torch sees one), cpu or cuda."""

    def __post_init__(self) -> None:
        for name in ("steps", "minibatch", "epochs", "learning_rate", "clip_range", "max_grad_norm", "validate_every"):
            if getattr(self, name) <= 0:
                raise InputError(f"agent ppo: {name} is {getattr(self, name)}; it must be above 0")
        for name in ("gamma", "gae_lambda"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"agent ppo: {name} is {getattr(self, name)}; it must be in (0, 1]")
        if not self.hidden or min(self.hidden) < 1:
            raise InputError(f"agent ppo: hidden is {self.hidden}; give at least one width above 0")

    def build(self) -> "PPOAgent":
        return PPOAgent(self)


class PPOAgent:
    """Learns with SB3's PPO and keeps the weights that validate best."""

    def __init__(self, config: PPOConfig) -> None:
        self._config = config

    def learn(self, world: LearningWorld, seed: int, monitor: Monitor) -> ActorPolicy:
        rollout = world.horizon * world.sb3.num_envs
        iterations = max(1, self._config.steps // rollout)
        model = self._model(world, seed, rollout)
        model.set_logger(Logger(None, [_Figures(monitor)]))
        watch = _Watch(self._config, monitor, total=iterations * rollout, names=world.layout.action_names)
        model.learn(iterations * rollout, callback=watch)
        return watch.best

    def _model(self, world: LearningWorld, seed: int, rollout: int) -> PPO:
        config = self._config
        return PPO(
            MaskedActorCritic,
            world.sb3,
            learning_rate=lambda remaining: config.learning_rate * remaining,
            n_steps=world.horizon,
            batch_size=rollout,  # ChoiceBuffer cuts the minibatches
            n_epochs=config.epochs,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip_range,
            ent_coef=config.ent_coef,
            vf_coef=config.vf_coef,
            max_grad_norm=config.max_grad_norm,
            target_kl=config.target_kl,
            rollout_buffer_class=ChoiceBuffer,
            rollout_buffer_kwargs={"layout": world.layout, "minibatch": config.minibatch, "seed": seed},
            policy_kwargs={
                "layout": world.layout,
                "net_arch": list(config.hidden),
                "optimizer_kwargs": {"eps": 1e-5, "fused": True},
            },
            seed=seed,
            device=config.device,
        )


class _Figures(KVWriter):
    """Hands what SB3 logs to the monitor."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        shown = {k: float(v) for k, v in key_values.items() if "tensorboard" not in (key_excluded.get(k) or ())}
        self._monitor.log(shown, step)

    def close(self) -> None:
        pass


class _Watch(BaseCallback):
    """Reports progress and figures, validates every few rollouts, remembers the best."""

    def __init__(self, config: PPOConfig, monitor: Monitor, total: int, names: tuple[str, ...]) -> None:
        super().__init__()
        self._config = config
        self._monitor = monitor
        self._total = total
        self._names = names
        self._rollouts = 0
        self._best: tuple[float, ActorPolicy] | None = None

    @property
    def best(self) -> ActorPolicy:
        assert self._best is not None
        return self._best[1]

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self._rollouts % self._config.validate_every == 0:
            self._validate()
        self._rollouts += 1

    def _on_rollout_end(self) -> None:
        assert isinstance(self.model, PPO) and isinstance(self.model.rollout_buffer, ChoiceBuffer)
        buffer = self.model.rollout_buffer
        choice = buffer.choice
        self.logger.record("rollout/reward_usd_per_customer_week", float(buffer.rewards.mean()))
        self.logger.record("rollout/share_of_weeks_with_a_choice", float(choice.mean()))
        share = np.bincount(buffer.actions[..., 0][choice], minlength=len(self._names)) / choice.sum()
        for name, value in zip(self._names, share, strict=True):
            self.logger.record(f"rollout/share_of_choices/{name}", float(value))
        self._monitor.progress(self.num_timesteps, self._total)

    def _on_training_end(self) -> None:
        self._validate()

    def _validate(self) -> None:
        assert isinstance(self.model.policy, MaskedActorCritic)
        policy = self._policy(self.model.policy.actor_tensors())
        devices = range(torch.cuda.device_count())
        with torch.random.fork_rng(devices):  # how often we validate must not change what is learned
            value = self._monitor.validate(policy, self.num_timesteps)
        if self._best is None or value > self._best[0]:
            self._best = (value, policy)

    def _policy(self, tensors: dict[str, Tensor]) -> ActorPolicy:
        meta = {"config": asdict(self._config), "step": self.num_timesteps}
        return ActorPolicy(tensors, self._config.greedy, meta)
