from dataclasses import replace
from pathlib import Path

import pytest

from campaigns.catalog import load_catalog
from campaigns.offers import Catalog
from history.state import State, initial_state, join_states
from simulators.market import Market
from simulators.priors import EffectPriors
from simulators.reference import CATEGORIES, reference_pool, reference_terms, reference_world
from simulators.worlds import build_market
from tests.simulators.play import LEANS

DEFAULT_OFFERS = Path(__file__).parents[2] / "conf" / "offers" / "default.yaml"


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """Return the demo's catalog, which has offers of every kind."""
    return load_catalog(DEFAULT_OFFERS)


@pytest.fixture(scope="session")
def market(catalog: Catalog) -> Market:
    """Return the reference market in which some customers answer more than others."""
    return build_market(reference_world(), replace(reference_terms(catalog), priors=EffectPriors(leans=LEANS)))


@pytest.fixture(scope="session")
def pool() -> State:
    """Return customers of whom some never came yet."""
    return join_states([reference_pool(300, seed=11), initial_state(4, len(CATEGORIES))])
