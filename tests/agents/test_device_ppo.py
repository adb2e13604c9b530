"""PPO on the device: SB3's numbers, no look at a value within an iteration, and nothing lost by a kill."""

import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger
from torch import Tensor

from agents.device_ppo import FIGURES, DevicePPO, Terms
from agents.kernels import available, bf16_tanh_stack, fused_tanh_stack, fused_works, tanh_stack
from agents.masked_policy import MaskedActorCritic
from agents.ppo import Engine, PPOConfig
from agents.rollout import Samples, minibatches
from agents.tensor_env import NumpyBatch
from campaigns.errors import InputError
from envs.campaign import CampaignVectorEnv
from envs.sb3 import Sb3VecEnv
from envs.tensor import TensorCampaign
from envs.world import World
from tests.agents.campaign import campaign_world
from tests.agents.market import ExactMonitor, make_world
from tests.host import NoHostRoundTrip
from tests.simulators.play import moved

TERMS = Terms(clip_range=0.2, clip_range_vf=None, ent_coef=0.01, vf_coef=0.5, normalize_advantage=True)


def model_in(batch: TensorCampaign, **options: Any) -> DevicePPO:
    spaces = Sb3VecEnv(CampaignVectorEnv(batch.num_envs, campaign_world()))
    layout = batch.layout
    own: dict[str, Any] = {"n_steps": batch.horizon, "batch_size": 64, "n_epochs": 2, "seed": 3, **options}
    return DevicePPO(
        MaskedActorCritic, spaces, batch=batch, buffer={"layout": layout}, policy_kwargs={"layout": layout}, **own
    )


def iterate(model: DevicePPO, count: int) -> Tensor:
    """One whole iteration by the functions that `learn` calls, the host's look at the number of choices left out."""
    model.rows = model.batch.reset() if model.rows is None else model.rows
    model.figures = {}
    model.rollout_buffer.reset()
    for _ in range(model.n_steps):
        model.collect_step(model.policy)
    with torch.no_grad():
        model.rollout_buffer.close(model.policy.predict_values(model.rows).flatten())
    return model.update(model.rollout_buffer.samples(count), TERMS)


def test_an_iteration_makes_no_host_round_trip() -> None:
    model = model_in(TensorCampaign(32, campaign_world(), seed=1), target_kl=0.02)
    iterate(model, 50)  # memory that the optimiser sets up at its first step
    with NoHostRoundTrip():
        figures = iterate(model, 50)
    assert figures.isfinite().all() and len(figures) == len(FIGURES)


def test_an_iteration_runs_on_a_device_without_values(monkeypatch: pytest.MonkeyPatch) -> None:
    # torch's fused Adam runs on the meta device, but is not on its own list of devices.
    monkeypatch.setattr(sys.modules[torch.optim.Adam.__module__], "_device_dtype_check_for_fused", lambda *_: None)
    world = campaign_world()
    there = World(*(moved(part, "meta") for part in (world.market, world.observer, world.pool)), world.prices)
    model = model_in(TensorCampaign(32, there), target_kl=0.02)
    figures = iterate(model, 50)
    assert figures.device.type == "meta" and figures.shape == (len(FIGURES),)
    assert all(parameter.device.type == "meta" for parameter in model.policy.parameters())


def samples_of(n: int, seed: int, width: int, n_actions: int) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    columns = torch.randn(4, n, generator=generator)
    action = torch.randint(n_actions, (n,), generator=generator)
    return Samples(torch.randn(n, width, generator=generator), action, columns[0], columns[1] - 2.0, *columns[2:])


@pytest.mark.parametrize("clip_vf", [None, 0.1])
@pytest.mark.parametrize("target_kl", [None, 1e-4, 0.006])
def test_an_update_is_that_of_stable_baselines(clip_vf: float | None, target_kl: float | None) -> None:
    n = 96
    options: dict[str, Any] = {
        "n_steps": n, "n_epochs": 4, "seed": 5, "clip_range_vf": clip_vf, "target_kl": target_kl, "ent_coef": 0.01,
        "learning_rate": 0.01, "policy_kwargs": {"optimizer_kwargs": {"eps": 1e-5}},
    }  # fmt: skip
    theirs = PPO("MlpPolicy", gym.make("CartPole-v1"), batch_size=n, device="cpu", **options)
    vector = SyncVectorEnv([lambda: gym.make("CartPole-v1")], autoreset_mode=AutoresetMode.SAME_STEP)
    ours = DevicePPO("MlpPolicy", Sb3VecEnv(vector), batch=NumpyBatch(vector), batch_size=n, **options)
    ours.policy.load_state_dict(theirs.policy.state_dict())
    given = samples_of(n, seed=6, width=4, n_actions=2)
    with torch.no_grad():
        log_prob = theirs.policy.evaluate_actions(given.rows, given.action)[1]
    given = given._replace(log_prob=log_prob + 0.1 * given.value)
    buffer = theirs.rollout_buffer
    assert isinstance(buffer, RolloutBuffer)
    buffer.observations[:, 0], buffer.actions[:, 0, 0] = given.rows.numpy(), given.action.numpy()
    buffer.values[:, 0], buffer.log_probs[:, 0] = given.value.numpy(), given.log_prob.numpy()
    buffer.advantages[:, 0], buffer.returns[:, 0] = given.advantage.numpy(), given.returns.numpy()
    buffer.full = True
    theirs.set_logger(_silent())
    theirs.train()
    figures = dict(zip(FIGURES, ours.update(given, TERMS._replace(clip_range_vf=clip_vf)).tolist(), strict=True))
    told = theirs.logger.name_to_value
    for mine, yours in zip(ours.policy.parameters(), theirs.policy.parameters(), strict=True):
        torch.testing.assert_close(mine, yours, rtol=1e-4, atol=1e-6)
    assert figures["gradient_steps"] in {None: (4,), 1e-4: (0,), 0.006: (1, 2, 3)}[target_kl]
    if target_kl is None:
        assert figures["clip_fraction"] == pytest.approx(told["train/clip_fraction"], abs=1e-6)
        assert figures["value_loss"] == pytest.approx(told["train/value_loss"], rel=1e-4)
    assert figures["explained_variance"] == pytest.approx(told["train/explained_variance"], abs=0.05)


def _silent() -> Logger:
    return Logger(None, [])


class Countdown(gym.Env[Any, Any]):
    """Observes its clock; is cut off after 3 steps; every step earns 1."""

    def __init__(self, start: int) -> None:
        self.observation_space = gym.spaces.Box(-9, 9, (2,), np.float32)
        self.action_space = gym.spaces.Discrete(2)
        self._start, self._first = start, True

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        self._clock = self._start if self._first else 0
        self._first = False
        return self._row(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._clock += 1
        return self._row(), 1.0, False, self._clock == 3, {}

    def _row(self) -> Any:
        return np.array([self._clock, -self._clock], np.float32)


def test_an_episode_that_is_cut_off_is_worth_what_the_critic_says_of_where_it_was_cut() -> None:
    vector = SyncVectorEnv([lambda i=i: Countdown(i) for i in range(3)], autoreset_mode=AutoresetMode.SAME_STEP)
    model = DevicePPO(
        "MlpPolicy", Sb3VecEnv(vector), batch=NumpyBatch(vector, truncates=True), n_steps=5, gamma=0.9, batch_size=15
    )
    model.set_logger(_silent())
    model.learn(15)
    buffer = model.rollout_buffer
    with torch.no_grad():
        at_the_cut = model.policy.predict_values(torch.tensor([[3.0, -3.0]]))
    # learn has trained since: what the buffer holds came from the weights before, so compare with a fresh rollout
    model.rows, model.figures = model.batch.reset(), {}
    buffer.reset()
    for _ in range(5):
        model.collect_step(model.policy)
    cut = buffer.done
    assert cut.any() and not cut.all()
    torch.testing.assert_close(buffer.reward[cut], (1.0 + 0.9 * at_the_cut).expand(int(cut.sum()), 1)[:, 0])
    assert (buffer.reward[~cut] == 1.0).all()
    assert (buffer.rows[1:][cut[:-1]] == 0.0).all()  # the next episode's first observation, not the last one's


@pytest.mark.parametrize("sizes", [(7, 5, 3, 4), (3, 1)])
def test_the_fused_layers_have_torch_s_values_and_gradients(sizes: tuple[int, ...]) -> None:
    if not fused_works():
        pytest.fail("this build of torch has no fused linear layers; agents.kernels names them")
    torch.manual_seed(0)
    layers = [torch.nn.Linear(a, b) for a, b in pairwise(sizes)]
    x, pull = torch.randn(40, sizes[0]), torch.randn(40, sizes[-1])
    found = []
    for stack in (tanh_stack, fused_tanh_stack, bf16_tanh_stack):
        y = stack(x, layers)
        parameters = [p for layer in layers for p in layer.parameters()]
        found.append([y.detach(), *torch.autograd.grad((y * pull).sum(), parameters)])
    for plain, fused, coarse in zip(*found, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(coarse, plain, rtol=0.1, atol=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [name for name in available(torch.device("cpu")) if name != "plain"])
def test_every_kernel_learns_as_plain_torch_does(kernel: str) -> None:
    def learn(name: str) -> float:
        config = PPOConfig(steps=48_000, minibatch=512, learning_rate=5e-3, epochs=6, kernel=name)
        return max(_learn(config).values)

    assert learn(kernel) == pytest.approx(learn("plain"), rel=0.05)


def _learn(config: PPOConfig) -> ExactMonitor:
    monitor = ExactMonitor()
    config.build().learn(make_world(1000), 1, monitor)
    return monitor


def test_the_measured_kernel_is_written_down_and_an_impossible_one_is_refused() -> None:
    policy = PPOConfig(steps=1, kernel="auto").build().learn(make_world(20), 0, ExactMonitor())
    assert policy.meta()["kernel"] in available(torch.device("cpu"))
    with pytest.raises(InputError, match=r"kernel is 'tf32', which cannot run here on cpu; expected auto or one of pl"):
        PPOConfig(steps=1, kernel="tf32").build().learn(make_world(20), 0, ExactMonitor())


@pytest.mark.parametrize(("count", "size"), [(10, 3), (9, 3), (2, 5), (1, 1)])
def test_minibatches_are_equally_large_and_leave_nobody_out(count: int, size: int) -> None:
    parts = list(minibatches(count, size, torch.device("cpu")))
    assert {len(part) for part in parts} == {min(size, count)}
    assert set(torch.cat(parts).tolist()) == set(range(count)) and len(parts) == -(-count // min(size, count))


def test_a_loss_that_is_no_number_stops_the_training_and_says_where() -> None:
    model = model_in(TensorCampaign(32, campaign_world(), seed=1))
    model.set_logger(_silent())
    before = [p.detach().clone() for p in model.policy.parameters()]
    given = samples_of(64, seed=1, width=model.batch.layout.width, n_actions=model.batch.layout.n_actions)  # type: ignore[attr-defined]
    given.rows[:, -5:] = 1.0
    given.returns[3] = torch.nan
    figures = dict(zip(FIGURES, model.update(given, TERMS).tolist(), strict=True))
    assert figures["first_bad"] == 0.0
    assert all(torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))
    model.learning_rate = lambda _: 1e30
    model._setup_lr_schedule()
    with pytest.raises(InputError, match=r"the loss became infinite or NaN in gradient step \d+ after [\d,]+ cust"):
        model.learn(32 * 21 * 4)


def test_both_engines_learn_the_little_market() -> None:
    values = {}
    for engine in Engine:
        config = PPOConfig(steps=48_000, minibatch=512, learning_rate=5e-3, epochs=6, engine=engine)
        values[engine] = max(_learn(config).values)
    assert values[Engine.DEVICE] == pytest.approx(values[Engine.SB3], rel=0.05)


def cart_poles(n: int) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: gym.make("CartPole-v1") for _ in range(n)], autoreset_mode=AutoresetMode.SAME_STEP)


def episode_lengths(seeds: range, ours: bool) -> Iterator[float]:
    """Mean reward per finished episode in the last rollouts of a short training."""
    for seed in seeds:
        vector = cart_poles(8)
        options: dict[str, Any] = {"n_steps": 64, "n_epochs": 6, "batch_size": 128, "learning_rate": 2e-3, "seed": seed}
        env = Sb3VecEnv(vector)
        model: PPO
        if ours:
            batch = NumpyBatch(vector, truncates=True)
            batch.seed(seed)
            model = DevicePPO("MlpPolicy", env, batch=batch, **options)
        else:
            model = PPO("MlpPolicy", env, device="cpu", **options)
        model.set_logger(_silent())
        model.learn(8_000)
        yield judged(model, seed)


def judged(model: PPO, seed: int) -> float:
    vector, total = cart_poles(16), 0.0
    rows, _ = vector.reset(seed=10_000 + seed)
    ends = 0
    for _ in range(500):
        rows, reward, done, cut, _ = vector.step(model.predict(rows)[0])
        total += float(reward.sum())
        ends += int((done | cut).sum())
    return total / max(ends, 1)


@pytest.mark.slow
def test_on_cart_pole_it_learns_no_worse_than_stable_baselines() -> None:
    ours, theirs = (np.array(list(episode_lengths(range(5), mine))) for mine in (True, False))
    spread = np.sqrt(ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs))
    assert ours.mean() >= theirs.mean() - 2.0 * spread, (ours, theirs)
    assert theirs.mean() > 60
