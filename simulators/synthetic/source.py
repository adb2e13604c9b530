"""A synthetic shop as the source of a history: its tables are written when they are first asked for."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from history.artifacts import hash_value
from history.mapping import Mapping, read_mapping
from simulators.synthetic.log import live_through
from simulators.synthetic.tables import MAPPING, write_tables
from simulators.synthetic.truth import SyntheticTruth, open_shop


@dataclass
class Synthetic(SyntheticTruth):
    """A synthetic shop, and where its tables lie."""

    folder: str = "runs/synthetic/tables"
    """Each truth has a folder of its own in it, so that the runs of a sweep never read one another's tables."""

    def truth(self) -> SyntheticTruth:
        """Return the shop's truth alone."""
        return SyntheticTruth(**{entry.name: getattr(self, entry.name) for entry in fields(SyntheticTruth)})

    def build(self) -> Mapping:
        """Return where the tables are, writing them unless they are there already, whole and of this truth."""
        truth = self.truth()
        path = Path(self.folder) / hash_value(asdict(truth))[:8] / MAPPING
        if not path.is_file() or not all(table.path.is_file() for table in read_mapping(path).tables.values()):
            shop = open_shop(truth)
            write_tables(shop, live_through(shop), path.parent)
        return read_mapping(path)
