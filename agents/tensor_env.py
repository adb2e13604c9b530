"""What PPO on the device learns in: a batch of environments as tensors, and numpy ones made to look like it."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from campaigns.decision import Transition


class TensorEnv(Protocol):
    """n environments that step together on one device, with no look at a value and no copy to the host.

    An environment whose episode ends begins a new one within the same step.

    Attributes:
        num_envs: How many they are.
        device: Where they live.
        truncates: Whether an episode is ever cut off although it would have gone on.
    """

    num_envs: int
    device: torch.device
    truncates: bool

    def seed(self, seed: int | None) -> None:
        """Settle all luck from here on; None draws a seed."""
        ...

    def reset(self) -> Tensor:
        """Begin anew; return observations, shape (n, width), float32."""
        ...

    def step(self, action: Tensor) -> Transition[Tensor]:
        """Act, `action` has shape (n,) and type int64."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return all that the steps to come depend on."""
        ...

    def restore(self, kept: Mapping[str, Tensor]) -> Tensor:
        """Go on where `state` was taken; return the observations that stood there."""
        ...


class NumpyBatch:
    """Any Gymnasium vector environment with SAME_STEP autoreset as a `TensorEnv`: each step passes through the host.

    Its state cannot be kept, so that training in it cannot be resumed.
    """

    def __init__(self, vector: VectorEnv[Any, Any, Any], truncates: bool = False) -> None:
        mode = vector.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"autoreset_mode is {mode}; expected SAME_STEP")
        self.num_envs = vector.num_envs
        self.device = torch.device("cpu")
        self.truncates = truncates
        self._vector = vector
        self._seed: int | None = None

    def seed(self, seed: int | None) -> None:
        self._seed = seed

    def reset(self) -> Tensor:
        rows, _ = self._vector.reset(seed=self._seed)
        self._seed = None
        return _tensor(rows)

    def step(self, action: Tensor) -> Transition[Tensor]:
        rows, reward, terminated, truncated, info = self._vector.step(action.numpy())
        rows = last = _tensor(rows)
        ended = np.asarray(terminated) | np.asarray(truncated)
        if self.truncates and ended.any():
            last = rows.clone()
            last[torch.from_numpy(ended)] = _tensor(np.stack(list(np.asarray(info["final_obs"])[ended])))
        # With SAME_STEP autoreset, Gymnasium moves the last step's info aside into "final_info".
        told = info if "net" in info else info.get("final_info", {})
        figures = {name: _tensor(np.asarray(told[name])) for name in ("net", "cost") if name in told}
        over, cut = (torch.from_numpy(np.array(flag, dtype=bool)) for flag in (terminated, truncated))
        return Transition(rows, _tensor(np.asarray(reward)), over, cut, last, figures)

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, kept: Mapping[str, Tensor]) -> Tensor:
        raise RuntimeError("the state of a numpy environment is not kept: give agent.checkpoint_every=0")


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))  # a copy: an env may write its next rows in place
