"""Publishing a policy table: a folder of files that is there as a whole or not at all, and its verified reading."""

import csv
import os
import shutil
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from campaigns.errors import InputError
from history.artifacts import hash_file, read_json, write_atomic, write_json, write_text
from serving.rules import Segments
from serving.spreadsheet import escape
from serving.table import DATE_COLUMNS, OWN_KEYS, TEXT_COLUMNS, PolicyTable

SCHEMA_VERSION: Final = 2
CUSTOMERS_PARQUET: Final = "policy_by_customer.parquet"
CUSTOMERS_CSV: Final = "policy_by_customer.csv"
SEGMENTS_CSV: Final = "policy_by_segment.csv"
MANIFEST: Final = "manifest.json"
FILES: Final = (CUSTOMERS_PARQUET, CUSTOMERS_CSV, SEGMENTS_CSV)


def publish(table: PolicyTable, folder: Path) -> None:
    """Write the table to `folder`, replacing an earlier one as a whole.

    The files are written and flushed beside the folder; then the old folder is renamed away and the new one in. One
    writer at a time: a run killed in between leaves `.<folder>.new` or `.<folder>.old`, which the next one clears up.

    Args:
        table: What to publish; the same table gives the same bytes.
        folder: The policy folder. CSV files are UTF-8 with a byte order mark (without it Excel misreads accents) and
            their text cells are escaped as `serving.spreadsheet` says; Parquet is exact.
    """
    new, old = _beside(folder, "new"), _beside(folder, "old")
    _clear_up(folder, new, old)
    new.mkdir(parents=True)
    _write_files(table, new)
    _flush(new)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    _flush(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def read_policy(folder: Path) -> PolicyTable:
    """Read a published table back, once every file has the hash that its manifest gives.

    Raises:
        InputError: A file is missing or altered, or the manifest is not one of this version.
    """
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"{folder / MANIFEST}: not a policy manifest of version {SCHEMA_VERSION}; export it again")
    if set(manifest["files"]) != set(FILES):
        raise InputError(f"{folder / MANIFEST}: lists {', '.join(manifest['files'])}; expected {', '.join(FILES)}")
    for name, expected in manifest["files"].items():
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such file; the policy is incomplete, export it again")
        if hash_file(folder / name) != expected:
            raise InputError(f"{folder / name}: its bytes are not those that were published; export the policy again")
    given = {key: value for key, value in manifest.items() if key not in OWN_KEYS}
    return PolicyTable(_read_customers(folder), Segments.from_dict(manifest["rules"]), given)


def _beside(folder: Path, what: str) -> Path:
    return folder.parent / f".{folder.name}.{what}"


def _clear_up(folder: Path, new: Path, old: Path) -> None:
    """Remove what a killed run left; a policy that it had renamed away and not yet replaced comes back."""
    if new.exists():
        shutil.rmtree(new)
    if old.exists() and not folder.exists():
        old.rename(folder)
    elif old.exists():
        shutil.rmtree(old)


def _flush(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_files(table: PolicyTable, folder: Path) -> None:
    rows = table.customers
    write_atomic(folder / CUSTOMERS_PARQUET, lambda path: pq.write_table(_arrow(rows), path, compression="zstd"))
    _write_csv(folder / CUSTOMERS_CSV, rows)
    _write_csv(folder / SEGMENTS_CSV, table.segments.frame(table.catalog.currency))
    write_json(folder / MANIFEST, {**table.manifest, **_own(table, folder)})


def _own(table: PolicyTable, folder: Path) -> dict[str, Any]:
    rows = table.customers
    return {
        "schema_version": SCHEMA_VERSION,
        "files": {name: hash_file(folder / name) for name in FILES},
        "customers": len(rows),
        "rules": table.segments.to_dict(),
        "valid_from": str(rows["valid_from"].min().date()),
        "valid_to": str(rows["valid_to"].max().date()),
    }


def _arrow(rows: pd.DataFrame) -> pa.Table:
    kinds = {**dict.fromkeys(TEXT_COLUMNS, pa.string()), **dict.fromkeys(DATE_COLUMNS, pa.date32())}
    kinds["segment"] = pa.int64()
    schema = pa.schema([pa.field(name, kinds.get(name, pa.float64()), nullable=False) for name in rows.columns])
    return pa.Table.from_pandas(rows, schema=schema, preserve_index=False).replace_schema_metadata(None)


def _read_customers(folder: Path) -> pd.DataFrame:
    rows: pd.DataFrame = pq.read_table(folder / CUSTOMERS_PARQUET).to_pandas(date_as_object=False)
    return rows.astype(dict.fromkeys(DATE_COLUMNS, "datetime64[us]"))


def _write_csv(path: Path, rows: pd.DataFrame) -> None:
    text = {name: escape(rows[name]) for name in rows.columns if isinstance(rows[name].dtype, pd.StringDtype)}
    safe = rows.assign(**text)
    write_text(
        path,
        "\ufeff" + safe.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC, date_format="%Y-%m-%d"),
    )
