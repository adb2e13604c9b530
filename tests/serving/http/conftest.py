"""A service in a process of its own, over the small table."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.online.service import Settings
from serving.publishing import publish
from serving.table import PolicyTable
from tests.serving.served import DAY, Client, Served, serving


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, build: Callable[..., PolicyTable]) -> Path:
    """The small table as a run's policy folder."""
    folder = tmp_path_factory.mktemp("exported") / "policy"
    publish(build(), folder)
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, exported: Path) -> Iterator[Served]:
    with serving(Settings(tmp_path_factory.mktemp("state"), folder=exported, today=DAY)) as running:
        yield running


@pytest.fixture
def client(served: Served) -> Client:
    return served.client
