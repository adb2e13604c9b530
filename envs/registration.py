"""Registers `Campaign-v0` when imported: `gymnasium.make("envs.registration:Campaign-v0")` imports it by itself."""

from pathlib import Path
from typing import Any

import gymnasium

from envs.world import PriceRange, World

ID = "Campaign-v0"


gymnasium.register(
    id=ID,
    entry_point="envs.registration:make_env",
    vector_entry_point="envs.registration:make_vector_env",
)


def make_env(run: str | None = None, **unknown: Any) -> Any:
    """Build the scalar environment: of a run's training market, or without one of the assumed reference world.

    Args:
        run: Folder of a run that `fit` has finished, such as `runs/demo`.
        unknown: Refused.
    """
    from envs.campaign import CampaignEnv

    return CampaignEnv(_world(run, unknown))


def make_vector_env(num_envs: int = 1, run: str | None = None, **unknown: Any) -> Any:
    """Build the batched environment, with the same arguments as `make_env` and the number of customers."""
    from envs.campaign import CampaignVectorEnv

    return CampaignVectorEnv(num_envs, _world(run, unknown))


def _world(run: str | None, unknown: dict[str, Any]) -> World:
    if wrong := sorted(set(unknown) - {"render_mode"}):
        raise TypeError(f"{ID} takes no argument {wrong[0]!r}; expected run")
    if run is None:
        from simulators.reference import reference_market, reference_pool, reference_world

        return World(reference_market(), reference_world().observer, reference_pool(512, seed=1), PriceRange())
    from envs.fitted import read_training_world

    return read_training_world(Path(run))
