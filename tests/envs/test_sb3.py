"""Stable-Baselines3 sees the same customers, and the ends of episodes as it expects them."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import VecMonitor

from envs.campaign import CampaignEnv, CampaignVectorEnv
from envs.registration import ID
from envs.sb3 import Sb3VecEnv
from envs.world import World


def test_the_registered_environment_passes_stable_baselines3_s_check() -> None:
    check_env(gymnasium.make(ID).unwrapped)


def test_the_bare_environment_passes_stable_baselines3_s_check(world: World) -> None:
    check_env(CampaignEnv(world))


def test_the_adapter_shows_the_batch_and_ends_episodes_as_expected(world: World) -> None:
    adapted, batch = Sb3VecEnv(CampaignVectorEnv(4, world)), CampaignVectorEnv(4, world)
    assert adapted.seed(5) == [5] * 4
    rows, (expected, _) = adapted.reset(), batch.reset(seed=5)
    rng = np.random.default_rng(5)
    for week in range(1, 2 * batch.horizon + 1):
        assert np.array_equal(rows, expected)
        actions = rng.integers(batch.layout.n_actions, size=4)
        rows, reward, done, infos = adapted.step(actions)
        expected, wanted, terminated, _, info = batch.step(actions)
        assert np.array_equal(reward, wanted)
        assert np.array_equal(done, terminated)
        assert done.all() == (week % batch.horizon == 0)
        assert len(infos) == 4
        for i in range(4):
            assert ("terminal_observation" in infos[i]) == bool(done[i])
            if done[i]:
                assert np.array_equal(infos[i]["terminal_observation"], info["final_obs"][i])
                assert infos[i]["TimeLimit.truncated"] is False


def test_a_seed_settles_one_reset_and_the_next_one_goes_on(world: World) -> None:
    adapted = Sb3VecEnv(CampaignVectorEnv(3, world))
    adapted.seed(5)
    first = adapted.reset()
    assert not np.array_equal(adapted.reset(), first)
    adapted.seed(5)
    assert np.array_equal(adapted.reset(), first)


def test_its_monitor_adds_up_the_rewards_of_whole_episodes(world: World) -> None:
    monitored = VecMonitor(Sb3VecEnv(CampaignVectorEnv(2, world)))
    monitored.reset()
    total: Any = 0.0
    for _ in range(world.market.horizon.weeks):
        _, reward, _, infos = monitored.step(np.array([1, 2]))
        total = total + reward
    assert [info["episode"]["r"] for info in infos] == pytest.approx(total.tolist(), abs=1e-3)
    assert {info["episode"]["l"] for info in infos} == {world.market.horizon.weeks}


def test_attributes_and_methods_of_the_batch_are_reached(world: World) -> None:
    batch = CampaignVectorEnv(3, world)
    adapted = Sb3VecEnv(batch)
    assert adapted.get_attr("horizon") == [batch.horizon] * 3
    assert adapted.get_attr("horizon", indices=[0, 2]) == [batch.horizon] * 2
    assert adapted.get_attr("horizon", indices=1) == [batch.horizon]
    adapted.set_attr("note", "kept")
    assert adapted.get_attr("note", indices=0) == ["kept"]
    with pytest.raises(AttributeError):
        adapted.get_attr("nothing_of_the_kind")
    assert adapted.env_is_wrapped(VecMonitor) == [False] * 3
    assert len(adapted.env_method("reset")) == 3
    adapted.close()


def test_a_batch_that_resets_a_step_late_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="SAME_STEP"):
        Sb3VecEnv(SyncVectorEnv([lambda: CampaignEnv(world)]))
