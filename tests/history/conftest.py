from pathlib import Path

import pytest

from history.events import WeeklyEvents
from history.prepare import prepare
from history.sources import CompleteJourney
from tests.history.fabricated_weeks import fabricate_weeks
from tests.history.tiny_shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Return the tiny shop, its files not yet written."""
    return Shop(tmp_path)


@pytest.fixture(scope="session")
def weeks() -> WeeklyEvents:
    """Return a year of fabricated customers' weeks."""
    return fabricate_weeks()


@pytest.fixture(scope="session")
def journey(tmp_path_factory: pytest.TempPathFactory) -> WeeklyEvents:
    """Return the weeks of the Complete Journey, prepared once."""
    return prepare(CompleteJourney(), tmp_path_factory.mktemp("journey")).events
