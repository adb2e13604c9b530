"""Stable-Baselines3's vector interface over a Gymnasium vector environment whose customers share one clock."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn


class Sb3VecEnv(VecEnv):
    """Adapt a `gymnasium.vector.VectorEnv` that resets within the step that ends an episode."""

    def __init__(self, vector: VectorEnv[Any, Any, Any]) -> None:
        mode = vector.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"autoreset_mode is {mode}; Stable-Baselines3 samples correctly only from SAME_STEP")
        self.vector = vector
        self._actions: NDArray[np.int64] | None = None
        self._quiet: list[dict[str, Any]] = [{} for _ in range(vector.num_envs)]
        self._seed: int | None = None
        super().__init__(vector.num_envs, vector.single_observation_space, vector.single_action_space)

    def reset(self) -> NDArray[np.float32]:
        rows, _ = self.vector.reset(seed=self._seed)
        self._seed = None
        self.reset_infos = [{} for _ in range(self.num_envs)]
        return np.asarray(rows)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the next reset; one generator serves all customers."""
        self._seed = seed
        return [seed] * self.num_envs

    def step_async(self, actions: NDArray[np.int64]) -> None:
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        assert self._actions is not None
        rows, reward, terminated, truncated, info = self.vector.step(self._actions)
        done = terminated | truncated
        return np.asarray(rows), reward, done, self._infos(info, done, terminated)

    def _infos(
        self, info: dict[str, Any], done: NDArray[np.bool_], terminated: NDArray[np.bool_]
    ) -> list[dict[str, Any]]:
        if not done.any():
            return self._quiet
        last = info["final_obs"]
        return [
            {"terminal_observation": last[i], "TimeLimit.truncated": bool(not terminated[i])} if done[i] else {}
            for i in range(self.num_envs)
        ]

    def close(self) -> None:
        self.vector.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        return [getattr(self.vector, attr_name)] * len(self._which(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        setattr(self.vector, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        return [getattr(self.vector, method_name)(*args, **kwargs)] * len(self._which(indices))

    def env_is_wrapped(self, wrapper_class: Any, indices: VecEnvIndices = None) -> list[bool]:
        return [False] * len(self._which(indices))

    def _which(self, indices: VecEnvIndices) -> list[int]:
        if indices is None:
            return list(range(self.num_envs))
        return list(indices) if isinstance(indices, Iterable) else [indices]
