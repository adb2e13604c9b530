from pathlib import Path

import pytest

from tests.history.tiny_shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Return the tiny shop, its files not yet written."""
    return Shop(tmp_path)
