"""Proximal policy optimisation by Stable-Baselines3, on whole episodes, with masked offers and λ as an input.

Reference:
    Schulman et al., "Proximal Policy Optimization Algorithms", arXiv:1707.06347, 2017.
    Huang & Ontanon, "A Closer Look at Invalid Action Masking in Policy Gradient Algorithms", FLAIRS 2022.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, ClassVar

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger
from torch import Tensor

from agents.actor import ActorPolicy
from agents.agent import LearningWorld, Monitor
from agents.choice_buffer import ChoiceBuffer
from agents.device_ppo import DevicePPO
from agents.kernels import KERNELS, available, check_kernel, measure
from agents.linear_model import names_of
from agents.masked_policy import MaskedActorCritic
from agents.tensor_env import NumpyBatch, TensorEnv
from campaigns.decision import ObservationLayout
from campaigns.errors import InputError


class Engine(Enum):
    DEVICE = "device"
    SB3 = "sb3"


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
    engine: Engine = Engine.DEVICE
    """device: rollouts and updates as tensors where the market lives. sb3: plain Stable-Baselines3, for comparison; it
    keeps no checkpoints."""
    kernel: str = "plain"
    """How networks are evaluated: one of plain, fused, bf16, tf32, compiled; auto measures them at the start and takes
    the quickest, which may differ from machine to machine, and so may the last bits of the result."""
    checkpoint_every: int = 5
    """Rollouts between two checkpoints; 0: none."""

    def __post_init__(self) -> None:
        for name in ("steps", "minibatch", "epochs", "learning_rate", "clip_range", "max_grad_norm", "validate_every"):
            if getattr(self, name) <= 0:
                raise InputError(f"agent ppo: {name} is {getattr(self, name)}; it must be above 0")
        for name in ("gamma", "gae_lambda"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"agent ppo: {name} is {getattr(self, name)}; it must be in (0, 1]")
        if self.kernel not in ("auto", *KERNELS):
            raise InputError(f"agent ppo: kernel is {self.kernel!r}; expected auto or one of {', '.join(KERNELS)}")
        if self.checkpoint_every < 0:
            raise InputError(f"agent ppo: checkpoint_every is {self.checkpoint_every}; it must be 0 or more")
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
        total = max(1, self._config.steps // rollout) * rollout
        batch = world.tensor or NumpyBatch(world.vector)
        batch.seed(seed)
        model = self._model(world, batch, seed, rollout)
        model.set_logger(Logger(None, [_Figures(monitor)]))
        watch = _Watch(self._config, monitor, total, world.layout)
        found = monitor.checkpoints.load() if monitor.checkpoints else None
        policy = model.policy
        assert isinstance(policy, MaskedActorCritic)
        if found is not None and isinstance(model, DevicePPO):
            _, tensors, notes = found
            model.resume(tensors)
            watch.resume(tensors, notes)
        kernel = str(watch.notes.get("kernel") or self._kernel(policy, batch, world))
        watch.notes["kernel"] = kernel
        policy.use(kernel)
        model.learn(total - model.num_timesteps, callback=watch, reset_num_timesteps=found is None)
        policy.use("plain")
        return watch.best

    def _kernel(self, policy: MaskedActorCritic, batch: TensorEnv, world: LearningWorld) -> str:
        """Return the kernel that is configured, or the one that is quickest here at a gradient step of this size."""
        if self._config.kernel != "auto":
            check_kernel(self._config.kernel, batch.device)
            return self._config.kernel
        rows = torch.zeros(self._config.minibatch, world.layout.width, device=batch.device)
        action = torch.zeros(len(rows), dtype=torch.int64, device=batch.device)

        def work(name: str) -> None:
            policy.use(name)
            value, log_prob, _ = policy.evaluate_actions(rows, action)
            torch.autograd.grad(value.sum() + log_prob.sum(), list(policy.parameters()))

        seconds = measure(work, available(batch.device), batch.device)
        return min(seconds, key=seconds.__getitem__)

    def _model(self, world: LearningWorld, batch: TensorEnv, seed: int, rollout: int) -> PPO:
        config = self._config
        options: dict[str, Any] = {
            "learning_rate": lambda remaining: config.learning_rate * remaining,
            "n_steps": world.horizon,
            "n_epochs": config.epochs,
            "gamma": config.gamma,
            "gae_lambda": config.gae_lambda,
            "clip_range": config.clip_range,
            "ent_coef": config.ent_coef,
            "vf_coef": config.vf_coef,
            "max_grad_norm": config.max_grad_norm,
            "target_kl": config.target_kl,
            "policy_kwargs": {
                "layout": world.layout,
                "net_arch": list(config.hidden),
                "optimizer_kwargs": {"eps": 1e-5, "fused": True},
            },
            "seed": seed,
        }
        if config.engine is Engine.DEVICE:
            buffer = {"layout": world.layout}
            return DevicePPO(
                MaskedActorCritic, world.sb3, batch=batch, buffer=buffer, batch_size=config.minibatch, **options
            )
        return PPO(
            MaskedActorCritic,
            world.sb3,
            batch_size=rollout,  # ChoiceBuffer cuts the minibatches
            rollout_buffer_class=ChoiceBuffer,
            rollout_buffer_kwargs={"layout": world.layout, "minibatch": config.minibatch, "seed": seed},
            device=batch.device,
            **options,
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
    """Reports progress and figures, validates every few rollouts, remembers the best, keeps checkpoints."""

    def __init__(self, config: PPOConfig, monitor: Monitor, total: int, layout: ObservationLayout) -> None:
        super().__init__()
        self.notes: dict[str, Any] = {}
        """What else a checkpoint holds, and the trained policy says of its training."""
        self._config = config
        self._monitor = monitor
        self._total = total
        self._layout = layout
        self._rollouts = 0
        self._fresh = True  # nothing was validated or kept of where we stand now
        self._best: tuple[float, ActorPolicy] | None = None

    @property
    def best(self) -> ActorPolicy:
        assert self._best is not None
        return self._best[1]

    def resume(self, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
        """Take over what `_save` wrote of the best policy so far."""
        self.notes = {"kernel": notes["kernel"]}
        self._rollouts = notes["rollouts"]
        layers = {n.removeprefix("best."): t for n, t in tensors.items() if n.startswith("best.")}
        self._best = (notes["best"], ActorPolicy(self._layout, notes["best_meta"], layers))
        self._fresh = False

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self._fresh and self._rollouts % self._config.validate_every == 0:
            self._validate()
        every = self._config.checkpoint_every
        if self._fresh and every and self._rollouts and self._rollouts % every == 0:
            self._save()
        self._rollouts += 1
        self._fresh = True

    def _on_rollout_end(self) -> None:
        weeks = self._total_of_rollout()
        if isinstance(self.model, DevicePPO):
            buffer = self.model.rollout_buffer
            choice, action = buffer.choice, buffer.action
            read = torch.stack(list(self.model.figures.values())).tolist()
            sums = dict(zip(self.model.figures, read, strict=True))
            self.logger.record("rollout/reward_usd_per_customer_week", sums.pop("reward") / weeks)
            for name, value in sums.items():
                unit = "" if name == "violations" else "_usd"
                self.logger.record(f"rollout/{name}{unit}_per_customer_week", value / weeks)
        else:
            assert isinstance(self.model, PPO) and isinstance(self.model.rollout_buffer, ChoiceBuffer)
            kept = self.model.rollout_buffer
            choice, action = torch.from_numpy(kept.choice), torch.from_numpy(kept.actions[..., 0]).long()
            self.logger.record("rollout/reward_usd_per_customer_week", float(kept.rewards.mean()))
        self.logger.record("rollout/share_of_weeks_with_a_choice", float(choice.float().mean()))
        made = torch.bincount(action[choice], minlength=self._layout.n_actions).float()
        for name, value in zip(self._layout.action_names, (made / made.sum().clamp(min=1)).tolist(), strict=True):
            self.logger.record(f"rollout/share_of_choices/{name}", value)
        if torch.cuda.is_available():
            self.logger.record("time/device_memory_gib", torch.cuda.max_memory_allocated() / 2**30)
        self._monitor.progress(self.num_timesteps, self._total)

    def _on_training_end(self) -> None:
        self._validate()

    def _total_of_rollout(self) -> int:
        assert isinstance(self.model, PPO)
        return self.model.n_steps * self.model.n_envs

    def _validate(self) -> None:
        assert isinstance(self.model.policy, MaskedActorCritic)
        policy = self._policy(self.model.policy.actor_tensors())
        devices = range(torch.cuda.device_count())
        with torch.random.fork_rng(devices):  # how often we validate must not change what is learned
            value = self._monitor.validate(policy, self.num_timesteps)
        if self._best is None or value > self._best[0]:
            self._best = (value, policy)

    def _save(self) -> None:
        if self._monitor.checkpoints is None or not isinstance(self.model, DevicePPO):
            return
        assert self._best is not None
        value, policy = self._best
        tensors = self.model.snapshot() | {f"best.{name}": layer for name, layer in policy.tensors().items()}
        notes = {"rollouts": self._rollouts, "best": value, "best_meta": policy.meta(), **self.notes}
        self._monitor.checkpoints.save(self.num_timesteps, tensors, notes)

    def _policy(self, tensors: dict[str, Tensor]) -> ActorPolicy:
        meta = {
            "config": plain(self._config),
            "model": names_of(self._layout),
            "greedy": self._config.greedy,
            "step": self.num_timesteps,
            **self.notes,
        }
        return ActorPolicy(self._layout, meta, tensors)


def plain(config: PPOConfig) -> dict[str, Any]:
    """Return the config as JSON values."""
    return asdict(config) | {"engine": config.engine.value}
