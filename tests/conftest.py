from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Give every test the one thread that runs have: floats differ with their number, and workers share the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the README, whose commands take longest: a worker that met them last would be waited for."""
    items.sort(key=lambda item: item.path.name != "test_readme.py")
