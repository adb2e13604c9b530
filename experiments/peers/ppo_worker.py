"""One contestant of the comparison of PPO: trains in the market of a run, an iteration or a few in each turn.

All learn in the same market with the same network (tanh, 64-64, over features, λ and their products), samples, passes,
loss (value clipping, entropy) and statistics (KL, clip fraction); every customer-week is a sample. It takes its turns
over standard input and answers with a line of JSON.

python experiments/peers/ppo_worker.py <contestant> <folder of the run> <customers> [<folder of packages>]
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import Tensor, nn

from agents.actor import network_input
from agents.device_ppo import DevicePPO
from agents.masked_policy import MaskedActorCritic, NetworkInput
from envs.campaign import CampaignEnv, CampaignVectorEnv
from envs.fitted import read_training_world
from envs.sb3 import Sb3VecEnv
from envs.tensor import TensorCampaign
from envs.world import World

EPOCHS: Final = 4
MINIBATCHES: Final = 12
LEARNING_RATE: Final = 3e-4
GAMMA: Final = 1.0
LAMBDA: Final = 0.95
CLIP: Final = 0.2
ENTROPY: Final = 0.001
VALUE: Final = 0.5
NORM: Final = 0.5
SINGLE: Final = 8
"""Environments of one customer that Stable-Baselines3 is usually given."""
SINGLE_STEPS: Final = 128
"""Steps of each in a turn: its usual 2,048 would take minutes, and cost as much per step."""

Iterate = Callable[[], int]
"""Trains, and returns from how many samples."""


def ours(world: World, customers: int, kernel: str) -> Iterate:
    """Return our PPO on the device, evaluated by a kernel."""
    vector = CampaignVectorEnv(customers, world, seed=0)
    model = DevicePPO(
        MaskedActorCritic,
        Sb3VecEnv(vector),
        batch=vector.core,
        batch_size=customers * vector.horizon // MINIBATCHES,
        n_steps=vector.horizon,
        policy_kwargs={"layout": vector.layout, "net_arch": [64, 64]},
        **settings(),
    )
    policy = model.policy
    assert isinstance(policy, MaskedActorCritic)
    policy.use(kernel)
    return learner(model, customers * vector.horizon)


def stable_baselines(world: World, customers: int) -> Iterate:
    """Return Stable-Baselines3 on our batched environment, with the same settings."""
    vector = CampaignVectorEnv(customers, world, seed=0)
    samples = customers * vector.horizon
    policy = {
        "net_arch": [64, 64],
        "features_extractor_class": NetworkInput,
        "features_extractor_kwargs": {"layout": vector.layout},
        "optimizer_kwargs": {"eps": 1e-5},
    }
    model = PPO(
        "MlpPolicy",
        Sb3VecEnv(vector),
        batch_size=samples // MINIBATCHES,
        n_steps=vector.horizon,
        policy_kwargs=policy,
        **settings(),
    )
    return learner(model, samples)


def stable_baselines_as_usual(world: World, customers: int, *, own_settings: bool) -> Iterate:
    """Return Stable-Baselines3 on eight environments of one customer, with its own settings or with ours."""
    envs = DummyVecEnv([lambda: CampaignEnv(world)] * SINGLE)
    samples = SINGLE * SINGLE_STEPS
    chosen: dict[str, Any] = {} if own_settings else settings() | {"batch_size": samples}
    model = PPO("MlpPolicy", envs, n_steps=SINGLE_STEPS, **chosen)
    return learner(model, samples)


def settings() -> dict[str, Any]:
    return {
        "learning_rate": LEARNING_RATE, "n_epochs": EPOCHS, "gamma": GAMMA, "gae_lambda": LAMBDA, "clip_range": CLIP,
        "clip_range_vf": CLIP, "ent_coef": ENTROPY, "vf_coef": VALUE, "max_grad_norm": NORM, "seed": 0,
    }  # fmt: skip


def learner(model: PPO, samples: int) -> Iterate:
    """Return what trains a model for one iteration more; what it logs goes nowhere."""
    model.set_logger(Logger(None, []))

    def iterate() -> int:
        model.learn(samples, reset_num_timesteps=False)
        return samples

    return iterate


class CleanScript:
    """PPO in one script after the fashion of LeanRL: a TensorDict per step, stacked; rows picked by index; Categorical.

    Reference:
        https://github.com/meta-pytorch/LeanRL, ppo_atari_envpool_torchcompile.py: its structure; nothing is copied.
    """

    def __init__(self, world: World, customers: int, compiled: bool) -> None:
        self._record = import_module("tensordict").TensorDict
        torch.manual_seed(0)
        self._market = TensorCampaign(customers, world, 0)
        layout = self._layout = self._market.layout
        self._rows = self._market.reset()
        width = 2 * layout.n_features + 1
        self._net = nn.ModuleDict({"actor": network(width, layout.n_actions), "critic": network(width, 1)})
        self._optimizer = torch.optim.Adam(self._net.parameters(), lr=torch.tensor(LEARNING_RATE), eps=1e-5)
        wrap: Any = torch.compile if compiled else lambda part: part
        self._act_, self._advantages_ = wrap(self._act), wrap(self._advantages)
        self._update_ = wrap(self._update)

    def __call__(self) -> int:
        steps = []
        for _ in range(self._market.horizon):
            with torch.no_grad():
                action, log_prob, value = self._act_(self._rows)
            step = self._market.step(action)
            steps.append(
                self._record(
                    {
                        "rows": self._rows, "action": action, "log_prob": log_prob, "value": value,
                        "reward": step.reward, "done": step.terminated | step.truncated,
                    },
                    batch_size=(len(action),),
                )
            )  # fmt: skip
            self._rows = step.rows
        kept: Any = torch.stack(steps)
        with torch.no_grad():
            last = self._act_(self._rows)[2]
            advantage = self._advantages_(kept["reward"], kept["value"], kept["done"], last)
        kept["advantage"], kept["returns"] = advantage, advantage + kept["value"]
        samples = kept.view(-1)
        figures = []
        for _ in range(EPOCHS):
            for index in torch.split(torch.randperm(len(samples)), len(samples) // MINIBATCHES):
                part = samples[index]
                names = ("rows", "action", "log_prob", "value", "advantage", "returns")
                figures.append(self._update_(*(part[name] for name in names)))
        torch.stack([torch.stack(one) for one in figures]).mean(dim=0).tolist()
        return len(samples)

    def _heads(self, rows: Tensor) -> tuple[Any, Tensor]:
        context = self._layout.split(rows)
        seen = network_input(context.features, context.price)
        logits = self._net["actor"](seen).masked_fill(~context.mask, -1e8)
        return torch.distributions.Categorical(logits=logits, validate_args=False), self._net["critic"](seen)[:, 0]

    def _act(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dist, value = self._heads(rows)
        action = dist.sample()
        return action, dist.log_prob(action), value

    def _advantages(self, reward: Tensor, value: Tensor, done: Tensor, last: Tensor) -> Tensor:
        found, ahead, after = [], torch.zeros_like(last), last
        for t in reversed(range(len(reward))):
            goes_on = (~done[t]).float()
            ahead = reward[t] + GAMMA * after * goes_on - value[t] + GAMMA * LAMBDA * goes_on * ahead
            found.append(ahead)
            after = value[t]
        return torch.stack(found[::-1])

    def _update(
        self, rows: Tensor, action: Tensor, log_prob: Tensor, before: Tensor, advantage: Tensor, returns: Tensor
    ) -> tuple[Tensor, ...]:
        self._optimizer.zero_grad()
        dist, value = self._heads(rows)
        change = dist.log_prob(action) - log_prob
        ratio = change.exp()
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        policy_loss = torch.max(-advantage * ratio, -advantage * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
        value_loss = (returns - (before + (value - before).clamp(-CLIP, CLIP))).square().mean()
        entropy = dist.entropy().mean()
        loss = policy_loss - ENTROPY * entropy + VALUE * value_loss
        loss.backward()
        nn.utils.clip_grad_norm_(self._net.parameters(), NORM)
        self._optimizer.step()
        divergence, outside = ((ratio - 1) - change).mean(), ((ratio - 1).abs() > CLIP).float().mean()
        return tuple(x.detach() for x in (loss, policy_loss, value_loss, entropy, divergence, outside))


def network(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))


def market_alone(world: World, customers: int) -> Iterate:
    """Return what only lives through an episode: the part of the work that all of them share."""
    market = TensorCampaign(customers, world, 0)
    market.reset()

    def iterate() -> int:
        for _ in range(market.horizon):
            market.step(torch.randint(market.layout.n_actions, (customers,)))
        return customers * market.horizon

    return iterate


CONTESTANTS: Final[dict[str, Callable[[World, int], Iterate]]] = {
    "plain": lambda world, n: ours(world, n, "plain"),
    "fused": lambda world, n: ours(world, n, "fused"),
    "bf16": lambda world, n: ours(world, n, "bf16"),
    "sb3_batched": stable_baselines,
    "sb3_usual": lambda world, n: stable_baselines_as_usual(world, n, own_settings=True),
    "sb3_single": lambda world, n: stable_baselines_as_usual(world, n, own_settings=False),
    "lean_eager": lambda world, n: CleanScript(world, n, compiled=False),
    "lean_compiled": lambda world, n: CleanScript(world, n, compiled=True),
    "market": market_alone,
}


def main() -> None:
    name, run, customers, *packages = sys.argv[1:]
    sys.path += packages
    torch.set_num_threads(1)
    world = read_training_world(Path(run))
    world = replace(world, prices=replace(world.prices, free=1.0))  # rewards of one scale, as plain PPO wants them
    iterate = CONTESTANTS[name](world, int(customers))
    iterate()  # the first use of everything is not timed
    for _ in sys.stdin:
        begin = time.process_time()
        samples = iterate()
        print(json.dumps({"rate": samples / (time.process_time() - begin)}), flush=True)


if __name__ == "__main__":
    main()
