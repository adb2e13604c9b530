from pathlib import Path

import pytest

from campaigns.catalog import load_catalog
from campaigns.offers import Catalog
from history.state import State, initial_state, join_states
from simulators.market import Market
from simulators.reference import CATEGORIES, reference_market, reference_pool

DEFAULT_OFFERS = Path(__file__).parents[2] / "conf" / "offers" / "default.yaml"


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """Return the demo's catalog, which has offers of every kind."""
    return load_catalog(DEFAULT_OFFERS)


@pytest.fixture(scope="session")
def market(catalog: Catalog) -> Market:
    return reference_market(catalog)


@pytest.fixture(scope="session")
def pool() -> State:
    """Return customers of whom some never came yet."""
    return join_states([reference_pool(300, seed=11), initial_state(4, len(CATEGORIES))])
