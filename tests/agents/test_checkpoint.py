"""What is kept of a training: it goes on to the same bits, survives kills, and is refused where it does not belong."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.checkpoint import RECORD, Checkpoints
from agents.ppo import PPOConfig
from campaigns.errors import InputError
from envs.tensor import TensorCampaign, flatten, rebuild
from tests.agents.campaign import campaign_world, learning_world
from tests.agents.market import ExactMonitor


class Interrupted(Exception):  # noqa: N818
    pass


class Interrupting(ExactMonitor):
    """Breaks off at the n-th call of `progress`."""

    def __init__(self, checkpoints: Checkpoints | None, after: int) -> None:
        super().__init__(checkpoints)
        self._after = after

    def validate(self, policy: Any, step: int) -> float:
        return float(policy.tensors()["weight_0"].abs().sum())

    def progress(self, done: int, total: int) -> None:
        super().progress(done, total)
        if len(self.done) == self._after:
            raise Interrupted


@pytest.mark.parametrize("after", [1, 3, 4, 7])
def test_a_training_that_was_broken_off_goes_on_to_the_same_bits(after: int, tmp_path: Path) -> None:
    config = PPOConfig(steps=8 * 16 * 21, minibatch=64, validate_every=2, checkpoint_every=3)
    whole = config.build().learn(learning_world(16), 4, Interrupting(None, 99))
    checkpoints = Checkpoints(tmp_path, {"seed": 4})
    with pytest.raises(Interrupted):
        config.build().learn(learning_world(16), 4, Interrupting(checkpoints, after))
    assert (tmp_path / RECORD).exists() == (after > 3)
    torch.manual_seed(123)  # what came before must not matter
    last = Interrupting(checkpoints, 99)
    resumed = config.build().learn(learning_world(16), 4, last)
    assert len(last.done) == 8 - (after - 1) // 3 * 3
    assert resumed.meta() == whole.meta()
    assert all(torch.equal(resumed.tensors()[name], value) for name, value in whole.tensors().items())


def test_what_is_kept_of_the_environment_brings_it_back() -> None:
    env, again = (TensorCampaign(16, campaign_world(), seed=seed) for seed in (1, 2))
    env.reset()
    for _ in range(5):
        rows = env.step(torch.zeros(16, dtype=torch.int64)).rows
    kept = {name: value.clone() for name, value in env.state().items()}
    assert torch.equal(again.restore(kept), rows)
    for week in range(40):
        action = torch.full((16,), week % 5)
        one, other = env.step(action), again.step(action)
        assert torch.equal(one.rows, other.rows) and torch.equal(one.reward, other.reward)
    smaller = TensorCampaign(8, campaign_world(), seed=1)
    with pytest.raises(InputError, match=r"the environment's saved .* is of shape \(16.*it was saved in another world"):
        smaller.restore(kept)
    state = env.episode.state  # type: ignore[union-attr]
    assert flatten(rebuild(state, flatten(state))).keys() == flatten(state).keys()


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path, {"settings": "a", "inputs": "x"}).save(7, {"w": torch.ones(2)}, {"note": 1})
    step, tensors, notes = Checkpoints(tmp_path, {"settings": "a", "inputs": "x"}).load() or (0, {}, {})
    assert (step, notes) == (7, {"note": 1}) and torch.equal(tensors["w"], torch.ones(2))
    with pytest.raises(InputError, match=r"written with another inputs than is configured now; .* delete"):
        Checkpoints(tmp_path, {"settings": "a", "inputs": "y"}).load()
    (tmp_path / "state-000000000007.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="not the file that the checkpoint names; delete"):
        Checkpoints(tmp_path, {"settings": "a", "inputs": "x"}).load()
    Checkpoints(tmp_path, {}).clear()
    assert Checkpoints(tmp_path, {}).load() is None


def test_a_checkpoint_that_cannot_be_written_is_said_loudly(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"the checkpoint cannot be written \(.*\); make room or mend"):
        Checkpoints(tmp_path / "taken", {}).save(1, {"w": torch.ones(2)}, {})


def writing_for_ever(folder: Path) -> None:
    checkpoints, w = Checkpoints(folder, {"of": "the kill test"}), torch.ones(20_000)
    found = checkpoints.load()
    step = found[0] if found else 0
    while True:
        step += 1
        checkpoints.save(step, {"w": step * w, "v": step * w[:7]}, {"s": step})


@pytest.mark.slow
def test_two_hundred_kills_never_cost_more_than_the_checkpoint_in_the_making(tmp_path: Path) -> None:
    rng, reached = np.random.default_rng(0), 0
    for _ in range(200):
        child = os.fork()
        if child == 0:
            writing_for_ever(tmp_path)
        time.sleep(float(rng.uniform(0.005, 0.06)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found = Checkpoints(tmp_path, {"of": "the kill test"}).load()
        if found is not None:
            step, tensors, notes = found
            assert step == notes["s"] >= reached
            assert all((value == step).all() for value in tensors.values())
            reached = step
    assert reached > 200
