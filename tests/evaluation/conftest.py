import pytest

from evaluation.rollout import Play
from simulators.market import Market
from simulators.reference import reference_market, reference_pool, reference_world


@pytest.fixture(scope="session")
def market() -> Market:
    return reference_market()


@pytest.fixture(scope="session")
def where(market: Market) -> Play:
    """Return thirty customers in four worlds."""
    return Play(market, reference_world().observer, reference_pool(30, seed=8), worlds=4, seed=3)
