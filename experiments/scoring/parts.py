"""One part of a large policy table, in two steps: what its customers ask for, and what they get.

First the lot falls for the customers of a part, and what it fell on is kept, until it is known how far the budget of
all customers bears it; then the decisions are written. Either file depends on its sources and on nothing else, and is
there as a whole or not at all; whoever finds it leaves it. So the same work can be done by one process, by a cluster,
or twice. What decides the rows of a part is in its file's name: who was taken for dead and comes back late spoils
nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from campaigns.errors import InputError
from experiments.scoring.budgeting import Demand, Ends, borne
from experiments.scoring.customers import read_customers
from experiments.scoring.lots import Lots
from experiments.scoring.scorer import Scorer
from history.artifacts import hash_file, hash_value, read_json, write_atomic, write_json
from serving.parts import PART
from serving.publishing import arrow_schema, arrow_table

ASKED: Final = "asked"
"""Folder of what the customers of each part ask for; removed once the table is whole."""
NOTES: Final = "notes"
"""Folder of what is told of each file beside it."""
_LZ4: Final = pa.ipc.IpcWriteOptions(compression="lz4")

Note = dict[str, Any]


@dataclass(frozen=True)
class PartFiles:
    """Where a part comes from and goes to.

    Attributes:
        source: Its customers.
        out: Folder of the table.
        number: Its place among the parts, by the names of the sources.
    """

    source: Path
    out: Path
    number: int

    @property
    def asked(self) -> Path:
        return self.out / ASKED / f"{self.source.stem}.arrow"

    @property
    def demand(self) -> Path:
        return self.out / ASKED / f"{self.source.stem}.safetensors"

    def target(self, key: str, ends: Ends) -> Path:
        """Return the file of the part's rows: another one where the customers, the scorer or the budget are others."""
        return self.out / f"{PART}{self.number:05d}-{hash_value([key, list(ends)])[:12]}.parquet"


def customers_key(scorer: Scorer, files: PartFiles) -> str:
    """Return what decides what a part's customers ask for, as a hash.

    Raises:
        InputError: The customers are not there.
    """
    try:
        return hash_value({"scorer": scorer.hash, "customers": hash_file(files.source)})
    except OSError as error:
        raise InputError(f"{files.source}: cannot be read ({error.strerror}); write this part again") from None


def ask_part(scorer: Scorer, files: PartFiles) -> Note:
    """Let the lot fall for the customers of a part, unless that was done; return what is told of it.

    Raises:
        InputError: The customers cannot be read, or what they ask for cannot be written.
    """
    return _asked(scorer, files, customers_key(scorer, files))


def write_part(scorer: Scorer, files: PartFiles, ends: Ends) -> Note:
    """Write what the customers of a part get, unless that was done; return what is told of it.

    Args:
        scorer: Decides.
        files: Of the part.
        ends: Up to which place of the queue each arm's budget bears offers.

    Raises:
        InputError: As `ask_part`.
    """
    key = customers_key(scorer, files)
    target = files.target(key, ends)
    found = _found(target, key)
    if found is None:
        told = _asked(scorer, files, key)
        found = _in_words(target, lambda: _write(scorer, files, ends, told))
    return found


def part_written(scorer: Scorer, files: PartFiles, ends: Ends) -> Note | None:
    """Return what is told of a part's decisions, if they are there and intact."""
    key = customers_key(scorer, files)
    return _found(files.target(key, ends), key)


def part_asked(scorer: Scorer, files: PartFiles) -> Note | None:
    """Return what is told of what a part's customers ask for, if that is there and intact."""
    return _found(files.asked, customers_key(scorer, files)) if files.demand.is_file() else None


def _asked(scorer: Scorer, files: PartFiles, key: str) -> Note:
    with_demand = files.demand.is_file()
    return (with_demand and _found(files.asked, key)) or _in_words(files.asked, lambda: _ask(scorer, files, key))


def _ask(scorer: Scorer, files: PartFiles, key: str) -> Note:
    catalog, layout = scorer.shop.catalog, scorer.layout
    demand, first, last = Demand.none(catalog.n), "", ""

    def write(path: Path) -> None:
        nonlocal demand, first, last
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, Lots.schema(scorer), options=_LZ4) as writer:
            for some in read_customers(files.source, layout.n_features, catalog.n, scorer.known):
                asked, gains = scorer.ask(some)
                writer.write_table(Lots.of(some, asked, gains).table(scorer))
                demand = demand.plus(Demand.of(asked, gains))
                ids = some.profiles["customer_id"]
                first, last = first or str(ids.iloc[0]), str(ids.iloc[-1])
        if not first:
            raise InputError(f"{files.source}: no customers; remove the part, or write it again")

    write_atomic(files.asked, write)
    demand.write(files.demand)
    return _tell(files.asked, {"key": key, "rows": int(demand.customers.sum()), "first": first, "last": last})


def _write(scorer: Scorer, files: PartFiles, ends: Ends, told: Note) -> Note:
    catalog, target = scorer.shop.catalog, files.target(told["key"], ends)

    def write(path: Path) -> None:
        schema = arrow_schema(catalog)
        alike = [name for name in schema.names if not name.startswith(("customer_id", "expected_", "reason"))]
        with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=alike) as writer:
            for lots in _lots(files.asked):
                drawn = lots.asked.settle(borne(lots.asked, ends), lots.asked.offer)
                writer.write_table(arrow_table(scorer.rows(lots, drawn), catalog))

    write_atomic(target, write)
    return _tell(target, {"file": target.name, **{name: told[name] for name in ("key", "rows", "first", "last")}})


def _lots(path: Path) -> Iterator[Lots]:
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        for number in range(reader.num_record_batches):
            yield Lots.read(reader.get_batch(number))


def _note(path: Path) -> Path:
    return path.parent / NOTES / f"{path.stem}.json"


def _found(path: Path, key: str) -> Note | None:
    note = _note(path)
    if not (note.is_file() and path.is_file()):
        return None
    said: Note = read_json(note)
    return said if said["key"] == key and said["sha256"] == hash_file(path) else None


def _tell(path: Path, said: Note) -> Note:
    whole = {**said, "sha256": hash_file(path)}
    write_json(_note(path), whole)
    return whole


def _in_words(target: Path, write: Callable[[], Note]) -> Note:
    try:
        return write()
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error}); nothing was left there") from None
