from dataclasses import replace

import pytest

from envs.world import PriceRange, World
from simulators.priors import EffectPriors
from simulators.reference import reference_pool, reference_terms, reference_world
from simulators.worlds import build_market
from tests.simulators.play import LEANS


@pytest.fixture(scope="session")
def world() -> World:
    """Return a world in which some customers answer more than others."""
    market = build_market(reference_world(), replace(reference_terms(), priors=EffectPriors(leans=LEANS)))
    return World(market, reference_world().observer, reference_pool(128, seed=1), PriceRange())
