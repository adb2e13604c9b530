import pytest

from envs.world import PriceRange, World
from simulators.reference import reference_market, reference_pool, reference_world


@pytest.fixture(scope="session")
def world() -> World:
    return World(reference_market(), reference_world().observer, reference_pool(128, seed=1), PriceRange())
