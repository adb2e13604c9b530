from collections.abc import Iterator

import pytest
import torch

from envs.world import PriceRange, World
from simulators.reference import reference_market, reference_pool, reference_world


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def world() -> World:
    return World(reference_market(), reference_world().observer, reference_pool(128, seed=1), PriceRange())
