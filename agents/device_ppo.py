"""Stable-Baselines3's PPO with rollouts, advantages and updates that stay on the device of the environment.

The interface is SB3's: policies, callbacks, logger, schedules. The loss, its statistics and its stopping rule are SB3's
too. What is gone is the way of every observation through numpy, the loop over environments whose episode was cut off,
and every look at a value within a rollout or an update: between the two the host reads how many choices there were and
what is logged.

Reference:
    Schulman et al., "Proximal Policy Optimization Algorithms", arXiv:1707.06347, 2017.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.rollout import Samples, TensorRollout, minibatches
from agents.tensor_env import TensorEnv
from campaigns.errors import InputError


class Terms(NamedTuple):
    """What weighs in the loss."""

    clip_range: float
    clip_range_vf: float | None
    ent_coef: float
    vf_coef: float
    normalize_advantage: bool


class DevicePPO(PPO):
    """PPO in a `TensorEnv`.

    Args:
        policy, env, options: As SB3's PPO takes them; `env` only says what is observed and done.
        batch: Where rollouts are collected.
        buffer: Further arguments of `TensorRollout`.
    """

    rollout_buffer: TensorRollout

    def __init__(
        self, policy: Any, env: VecEnv, *, batch: TensorEnv, buffer: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        self.batch = batch
        policy_kwargs: dict[str, Any] = options.pop("policy_kwargs", None) or {}
        optimizer = {"eps": 1e-5} | dict(policy_kwargs.get("optimizer_kwargs", {})) | {"fused": True}
        self.rows: Tensor | None = None
        """Observations to decide on next; None before the first rollout."""
        self._kept: Mapping[str, Tensor] | None = None
        minibatch = int(options.pop("batch_size", 64))
        super().__init__(
            policy,
            env,
            batch_size=env.num_envs * int(options.get("n_steps", 2048)),  # one that divides; ours may be any
            rollout_buffer_class=TensorRollout,
            rollout_buffer_kwargs=dict(buffer or {}),
            device=batch.device,
            policy_kwargs=policy_kwargs | {"optimizer_kwargs": optimizer},
            **options,
        )
        self.batch_size = minibatch

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Collect `n_rollout_steps` steps of all environments; False if a callback asked to stop."""
        buffer, policy = self.rollout_buffer, self.policy
        policy.set_training_mode(False)
        buffer.reset()
        if self.rows is None:
            self.rows = self.batch.reset() if self._kept is None else self._go_on(self._kept)
        callback.on_rollout_start()
        self.figures: dict[str, Tensor] = {}
        """Sums over the rollout of what the environments tell of a step, each shape ()."""
        for _ in range(n_rollout_steps):
            self.collect_step(policy)
            self.num_timesteps += self.batch.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
        with torch.no_grad():
            buffer.close(policy.predict_values(self.rows).flatten())
        callback.on_rollout_end()
        return True

    @torch.no_grad()
    def collect_step(self, policy: ActorCriticPolicy) -> None:
        """Let the policy act once in all environments, and write it down."""
        assert self.rows is not None
        action, value, log_prob = policy(self.rows)
        step = self.batch.step(action)
        reward = step.reward
        if self.batch.truncates:
            beyond = policy.predict_values(step.last_rows).flatten()
            reward = reward + self.gamma * beyond * step.truncated
        done = step.terminated | step.truncated
        self.rollout_buffer.put(self.rows, action, reward, done, value.flatten(), log_prob)
        for name, figure in {"reward": step.reward, **step.figures}.items():
            self.figures[name] = self.figures.get(name, 0.0) + figure.sum()
        self.rows = step.rows

    def train(self) -> None:
        """Improve the policy on what was collected."""
        policy, buffer = self.policy, self.rollout_buffer
        policy.set_training_mode(True)
        self._update_learning_rate(policy.optimizer)
        count = self.count_choices()
        clip = self.clip_range(self._current_progress_remaining)  # type: ignore[operator]
        clip_vf = None if self.clip_range_vf is None else self.clip_range_vf(self._current_progress_remaining)  # type: ignore[operator]
        terms = Terms(clip, clip_vf, self.ent_coef, self.vf_coef, self.normalize_advantage)
        read = self.update(buffer.samples(count), terms).tolist()
        figures = dict(zip(FIGURES, read, strict=True))
        self._n_updates += self.n_epochs
        if figures["first_bad"] >= 0:
            raise InputError(
                f"agent ppo: the loss became infinite or NaN in gradient step {int(figures['first_bad'])} after "
                f"{self.num_timesteps:,} customer-weeks; lower agent.learning_rate, or look for extreme values in the "
                "history. The last checkpoint before it is kept"
            )
        del figures["first_bad"]
        for name, value in figures.items():
            self.logger.record(f"train/{name}", value)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/clip_range", clip)

    def snapshot(self) -> dict[str, Tensor]:
        """Return all that the iterations to come depend on, as it stands between two of them."""
        kept = {f"policy.{name}": value for name, value in self.policy.state_dict().items()}
        for name, state in self._optimizer_states():
            kept |= {f"optimizer.{name}.{part}": value for part, value in state.items()}
        kept |= {f"env.{name}": value for name, value in self.batch.state().items()}
        kept["scale"] = self.rollout_buffer.scale
        kept["counters"] = torch.tensor([self.num_timesteps, self._n_updates])
        kept["random.cpu"] = torch.get_rng_state()
        if self.batch.device.type == "cuda":
            kept["random.cuda"] = torch.cuda.get_rng_state(self.batch.device)
        return kept

    def resume(self, kept: Mapping[str, Tensor]) -> None:
        """Let the next `learn(..., reset_num_timesteps=False)` go on where `snapshot` was taken."""
        self.policy.load_state_dict(_below(kept, "policy."))
        for name, state in self._optimizer_states():
            state.update({part: v.to(self.device) for part, v in _below(kept, f"optimizer.{name}.").items()})
        self.rollout_buffer.scale = kept["scale"].to(self.device)
        self.num_timesteps, self._n_updates = kept["counters"].tolist()
        self._kept = kept

    def _go_on(self, kept: Mapping[str, Tensor]) -> Tensor:
        """Bring luck and environments back to where they were; the last thing before the first rollout."""
        torch.set_rng_state(kept["random.cpu"])
        if self.batch.device.type == "cuda":
            torch.cuda.set_rng_state(kept["random.cuda"], self.batch.device)
        self._kept = None
        return self.batch.restore(_below(kept, "env."))

    def _optimizer_states(self) -> list[tuple[str, dict[str, Tensor]]]:
        state = self.policy.optimizer.state
        return [(name, state[parameter]) for name, parameter in self.policy.named_parameters()]

    def count_choices(self) -> int:
        """Return how many choices the rollout holds.

        Raises:
            InputError: It holds none.
        """
        count = int(self.rollout_buffer.choice.sum())
        if not count:
            raise InputError(
                "agent ppo: no customer could be offered anything in a whole rollout; the rules forbid every offer to "
                "everybody: look at rules and at the offers' terms"
            )
        return count

    def update(self, samples: Samples, terms: Terms) -> Tensor:
        """Take all gradient steps of one iteration.

        A step that would start from a divergence beyond 1.5 `target_kl`, and all after it, are left out, as SB3 does;
        so is one whose gradient is not finite.

        Returns:
            What `FIGURES` names, shape (n_figures,).
        """
        device, optimizer = samples.value.device, self.policy.optimizer
        stop, taken = torch.zeros(2, device=device).unbind()
        first_bad = torch.full((), -1.0, device=device)
        total = torch.zeros(len(STEP_FIGURES), device=device)
        number = 0
        for _ in range(self.n_epochs):
            for index in minibatches(len(samples.value), self.batch_size, device):
                figures = self.gradient(Samples(*(column.index_select(0, index) for column in samples)), terms)
                norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
                if self.target_kl is not None:
                    stop = torch.maximum(stop, (figures[APPROX_KL] > 1.5 * self.target_kl).to(stop.dtype))
                bad = ~norm.isfinite()
                first_bad = torch.where((first_bad < 0) & bad, torch.full_like(first_bad, number), first_bad)
                # The optimiser's own way to leave out a step without a look at a value, made for mixed precision.
                optimizer.found_inf = torch.maximum(stop, bad.to(stop.dtype))  # type: ignore[attr-defined]
                optimizer.step()
                total, taken, number = total + figures * (1.0 - stop), taken + (1.0 - stop), number + 1
        explained = explained_variance(samples.value, samples.returns)
        return torch.cat([total / taken.clamp(min=1.0), torch.stack([explained, taken, first_bad])])

    def gradient(self, part: Samples, terms: Terms) -> Tensor:
        """Put the loss's gradient on one minibatch into the policy's parameters; return `STEP_FIGURES`."""
        loss, figures = ppo_loss(self.policy, part, terms)
        self.policy.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        return figures


STEP_FIGURES = ("loss", "policy_gradient_loss", "value_loss", "entropy_loss", "approx_kl", "clip_fraction")
"""Means over the gradient steps that were taken."""
APPROX_KL = STEP_FIGURES.index("approx_kl")
FIGURES = (*STEP_FIGURES, "explained_variance", "gradient_steps", "first_bad")


def ppo_loss(policy: ActorCriticPolicy, part: Samples, terms: Terms) -> tuple[Tensor, Tensor]:
    """Return SB3's PPO loss on a minibatch and its `STEP_FIGURES`, shape (6,), which carry no gradient."""
    value, log_prob, entropy = policy.evaluate_actions(part.rows, part.action)
    assert entropy is not None
    value, advantage = value.flatten(), part.advantage
    if terms.normalize_advantage and len(advantage) > 1:
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    ratio = torch.exp(log_prob - part.log_prob)
    clipped = ratio.clamp(1.0 - terms.clip_range, 1.0 + terms.clip_range)
    policy_loss = -torch.minimum(advantage * ratio, advantage * clipped).mean()
    if terms.clip_range_vf is not None:
        value = part.value + (value - part.value).clamp(-terms.clip_range_vf, terms.clip_range_vf)
    value_loss = torch.nn.functional.mse_loss(part.returns, value)
    entropy_loss = -entropy.mean()
    loss = policy_loss + terms.ent_coef * entropy_loss + terms.vf_coef * value_loss
    with torch.no_grad():
        divergence = ((ratio - 1.0) - (log_prob - part.log_prob)).mean()
        outside = ((ratio - 1.0).abs() > terms.clip_range).to(ratio.dtype).mean()
        figures = torch.stack([loss, policy_loss, value_loss, entropy_loss, divergence, outside])
    return loss, figures


def _below(kept: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in kept.items() if name.startswith(prefix)}


def explained_variance(value: Tensor, returns: Tensor) -> Tensor:
    """Return the share of the returns' variance that the critic explains, shape (); NaN where they do not vary."""
    return 1.0 - (returns - value).var() / returns.var()
