"""A policy table in parts: the files that stand beside them, and its check, some rows at a time."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from campaigns.errors import InputError
from campaigns.offers import Catalog
from history.artifacts import hash_file, read_json, write_atomic, write_json
from serving.by_budget import BY_BUDGET, PUBLISHED
from serving.durable import sync
from serving.lookup import LOOKUP, Lookup, write_lookup
from serving.manifest import OWN_KEYS, check_manifest
from serving.parts import Part, parts_of
from serving.publishing import (
    CUSTOMERS_CSV,
    FILES,
    MANIFEST,
    SCHEMA_VERSION,
    SEGMENTS_CSV,
    SPREADSHEET_CSV,
    WORKBOOK,
    numbered,
    write_for_people,
    write_rules,
)
from serving.rules import Segments
from serving.table import check_customers

BATCH: Final = 1 << 14
"""Rows that are held in memory at a time."""
MOST_FOR_PEOPLE: Final = 10_000
"""Customers up to whom a table in parts has files that people open."""
FOR_PEOPLE: Final = (CUSTOMERS_CSV, SPREADSHEET_CSV, WORKBOOK)
TOO_MANY: Final = (
    f"written up to {MOST_FOR_PEOPLE:,} customers; a sheet of a spreadsheet ends at 1,048,576 rows. Read the parts"
)
ONE_PRICE: Final = "customers were scored at one budget price; export gives the table at the others"
NOT_WANTED: Final = "left out as asked: the table can be joined and compared, not looked up"


def publish_in_parts(
    folder: Path, parts: Mapping[Part, str], segments: Segments, manifest: Mapping[str, Any], lookup: bool = True
) -> dict[str, Any]:
    """Write what stands beside the parts of a table, its manifest last; return that.

    Memory does not grow with the customers. What lies there and belongs to the same parts is not written again.

    Args:
        folder: Where the parts lie, written whole and flushed.
        parts: In the order of their customers, each with its SHA-256 in hex.
        segments: The rules.
        manifest: What `serving.manifest` asks for, of `budgets` the published one alone, and the first and last day.
        lookup: Whether there is to be a look-up file, which is as large as all else together.

    Raises:
        InputError: The manifest is not publishable, or what is published there cannot be read.
    """
    days = {key: manifest[key] for key in ("valid_from", "valid_to")}
    given = {key: value for key, value in manifest.items() if key not in days}
    check_manifest(given)
    catalog, customers = Catalog.from_dict(manifest["catalog"]), sum(part.rows for part in parts)
    hashes = {part.file: digest for part, digest in parts.items()}
    absent = {BY_BUDGET: ONE_PRICE}
    absent |= dict.fromkeys(FOR_PEOPLE, TOO_MANY) if customers > MOST_FOR_PEOPLE else {}
    absent |= {} if lookup else {LOOKUP: NOT_WANTED}
    beside = [name for name in FILES[1:] if name not in absent]
    missing = {*beside} - _kept(folder, hashes)
    if LOOKUP in missing:
        write_atomic(folder / LOOKUP, lambda path: write_lookup(path, _rows(folder, [*parts]), SCHEMA_VERSION))
    if missing & {*FOR_PEOPLE}:
        write_for_people(folder, pd.concat(_rows(folder, [*parts]), ignore_index=True), catalog, segments)
    write_rules(folder, catalog, segments)
    own = {
        "schema_version": SCHEMA_VERSION,
        "customers": customers,
        "rules": segments.to_dict(),
        "parts": [part.to_dict() for part in parts],
        "absent": absent,
        "files": hashes | {name: hash_file(folder / name) for name in beside},
    }
    whole = numbered({**given, **own, **days}, folder / MANIFEST)
    write_json(folder / MANIFEST, whole)
    sync(folder)
    return whole


def check_in_parts(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Check all of a table in parts that is not a limit, each row once and some of them at a time.

    Args:
        folder: Where the files lie whose hashes were verified.
        manifest: What it says of itself.

    Raises:
        InputError: The manifest is not publishable, a row is none that can be, a customer is there twice, or the
            look-up file says something else.
    """
    check_manifest({key: value for key, value in manifest.items() if key not in OWN_KEYS})
    absent = _absent(manifest)
    rows = _checked(folder, manifest)
    if LOOKUP in absent:
        for _ in rows:
            pass
        return
    lookup = Lookup(folder / LOOKUP)
    try:
        if not lookup.holds(rows):
            raise InputError(f"{folder / LOOKUP}: does not say the same as the parts; score the customers again")
    finally:
        lookup.close()


def _kept(folder: Path, hashes: Mapping[str, str]) -> set[str]:
    """Return the files that lie there as the manifest says, where that is of these very parts."""
    said = read_json(folder / MANIFEST).get("files", {}) if (folder / MANIFEST).is_file() else {}
    if {name: value for name, value in said.items() if name not in FILES} != hashes:
        return set()
    there = {name: value for name, value in said.items() if name in FILES and (folder / name).is_file()}
    return {name for name, value in there.items() if hash_file(folder / name) == value}


def _rows(folder: Path, parts: Sequence[Part]) -> Iterator[pd.DataFrame]:
    """Yield the rows of parts, at most `BATCH` at a time, customers in ascending order."""
    for part in parts:
        for batch in _batches(folder / part.file):
            yield _frame(batch)


def _checked(folder: Path, manifest: Mapping[str, Any]) -> Iterator[pd.DataFrame]:
    """Yield the rows, each once it was checked; at the end, what is checked of all together."""
    catalog, segments = Catalog.from_dict(manifest["catalog"]), Segments.from_dict(manifest["rules"])
    counts, last = dict.fromkeys(catalog.names, 0), ""
    for part in parts_of(manifest) or ():
        seen, first = 0, None
        for batch in _batches(folder / part.file):
            rows = _frame(batch)
            check_customers(rows, catalog, segments, manifest["arms"]["arms"])
            last = _risen(folder / part.file, last, batch.column("customer_id"))
            seen, first = seen + len(rows), first or str(rows["customer_id"].iloc[0])
            for name, number in rows["offer"].value_counts().items():
                counts[str(name)] += int(number)
            yield rows
        if (seen, first, last) != (part.rows, part.first, part.last):
            raise InputError(
                f"{folder / part.file}: has {seen} rows from {first!r} to {last!r}; its manifest says {part.rows} from "
                f"{part.first!r} to {part.last!r}"
            )
    (published,) = manifest["budgets"]
    if counts != published["offers"]:
        raise InputError(f"policy table: gives {counts}; 'budgets' say {published['offers']}")


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: not readable as Parquet ({error}); score the customers again") from None


def _frame(batch: pa.RecordBatch) -> pd.DataFrame:
    rows: pd.DataFrame = batch.to_pandas(date_as_object=False)
    return rows


def _risen(path: Path, last: str, ids: pa.Array) -> str:
    """Return the last id, once all are above the one before."""
    values = ids.cast(pa.string())
    before = pa.concat_arrays([pa.array([last], pa.string()), values.slice(0, len(values) - 1)])
    rises = pc.greater(values, before)
    if not pc.all(rises).as_py():
        place = pc.index(rises, False).as_py()
        raise InputError(
            f"{path}: customer {values[place].as_py()!r} comes after {before[place].as_py()!r}; expected customers in "
            "ascending order, each once"
        )
    return str(values[-1].as_py())


def _absent(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """Return which files are not there and why, once that is what the list of files says."""
    absent, parts = manifest.get("absent"), parts_of(manifest) or ()
    if not isinstance(absent, dict) or not all(isinstance(why, str) and why for why in absent.values()):
        raise InputError(f"policy manifest: 'absent' is {str(absent)[:200]}; expected why each file is not there")
    expected = {*(part.file for part in parts), *FILES[1:]} - set(absent)
    if set(manifest["files"]) != expected or SEGMENTS_CSV in absent or BY_BUDGET not in absent:
        raise InputError(
            f"policy manifest: lists {', '.join(sorted(manifest['files']))}; expected {', '.join(sorted(expected))}, "
            f"{SEGMENTS_CSV} in any case and {BY_BUDGET} in none"
        )
    if [one["step"] for one in manifest["budgets"]] != [PUBLISHED]:
        raise InputError(
            "policy manifest: 'budgets' are several; expected the published one alone, as nothing shows more"
        )
    return absent
