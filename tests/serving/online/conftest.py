"""A published folder to decide with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from serving.publishing import publish
from serving.table import PolicyTable


@pytest.fixture
def folder(tmp_path: Path, build: Callable[..., PolicyTable]) -> Path:
    """The small table, exported: coupon_2 after 4 weeks away, discount_20 for those who buy on promotion."""
    publish(build(), tmp_path / "policy")
    return tmp_path / "policy"
