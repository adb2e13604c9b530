"""Publishing a policy table: a folder of files that is there as a whole or not at all, and its verified reading."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from campaigns.errors import InputError
from campaigns.offers import Catalog
from history.artifacts import hash_file, read_json, write_atomic, write_json, write_text
from serving.by_budget import BY_BUDGET, read_by_budget, write_by_budget
from serving.durable import sync
from serving.explanations import EXPLANATIONS, read_explanations, write_explanations
from serving.headings import headings, rule_headings
from serving.lookup import LOOKUP, write_lookup
from serving.manifest import OWN_KEYS
from serving.parts import CUSTOMERS_PARQUET, PART
from serving.rules import Segments
from serving.spreadsheet import escape
from serving.table import DATE_COLUMNS, TEXT_COLUMNS, PolicyTable, columns
from serving.workbook import write_workbook

SCHEMA_VERSION: Final = 3
CUSTOMERS_CSV: Final = "policy_by_customer.csv"
SPREADSHEET_CSV: Final = "policy_by_customer_spreadsheet.csv"
WORKBOOK: Final = "policy.xlsx"
SEGMENTS_CSV: Final = "policy_by_segment.csv"
MANIFEST: Final = "manifest.json"
FILES: Final = (CUSTOMERS_PARQUET, CUSTOMERS_CSV, SPREADSHEET_CSV, WORKBOOK, LOOKUP, SEGMENTS_CSV, BY_BUDGET)
"""Files that every policy has, beside its manifest."""
OPTIONAL: Final = (EXPLANATIONS,)
"""Files that a policy may have."""


def publish(table: PolicyTable, folder: Path) -> None:
    """Write the table to `folder`, replacing an earlier one as a whole.

    The files are written and flushed beside the folder; then the old folder is renamed away and the new one in. One
    writer at a time: a run killed in between leaves `.<folder>.new` or `.<folder>.old`, which the next one clears up.

    Args:
        table: What to publish; the same table gives the same bytes.
        folder: The policy folder. Its Parquet, CSV and SQLite files are exact. The CSV files for spreadsheets are
            UTF-8 with a byte order mark (without it Excel misreads accents), their text cells escaped as
            `serving.spreadsheet` says.

    Raises:
        InputError: What is published there cannot be read, so that the next version is not known.
    """
    new, old = _beside(folder, "new"), _beside(folder, "old")
    _clear_up(folder, new, old)
    new.mkdir(parents=True)
    write_json(new / MANIFEST, numbered(_write_files(table, new), folder / MANIFEST))
    sync(new)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def read_policy(folder: Path) -> PolicyTable:
    """Read a published table back, once every file has the hash that its manifest gives.

    Raises:
        InputError: A file is missing or altered, or the manifest is not one of this version.
    """
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"{folder / MANIFEST}: not a policy manifest of version {SCHEMA_VERSION}; export it again")
    if "parts" in manifest:
        raise InputError(f"{folder / MANIFEST}: a table in parts; read {PART}*.parquet, or export a smaller table")
    if set(manifest["files"]) - set(OPTIONAL) != set(FILES):
        raise InputError(f"{folder / MANIFEST}: lists {', '.join(manifest['files'])}; expected {', '.join(FILES)}")
    for name, expected in manifest["files"].items():
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such file; the policy is incomplete, export it again")
        if hash_file(folder / name) != expected:
            raise InputError(f"{folder / name}: its bytes are not those that were published; export the policy again")
    given = {key: value for key, value in manifest.items() if key not in OWN_KEYS}
    rows, by_budget = _read_customers(folder), read_by_budget(folder / BY_BUDGET)
    explained = read_explanations(folder / EXPLANATIONS) if EXPLANATIONS in manifest["files"] else None
    return PolicyTable(rows, Segments.from_dict(manifest["rules"]), given, by_budget, explained)


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


def numbered(manifest: dict[str, Any], published: Path) -> dict[str, Any]:
    """Give a manifest the next version; what is already published at this path keeps its own.

    Raises:
        InputError: What is published there cannot be read.
    """
    if not published.exists():
        return {**manifest, "table_version": 1}
    before = read_json(published)
    version = before.get("table_version", 0) if isinstance(before, dict) else None
    if not isinstance(version, int):
        raise InputError(f"{published}: no table_version; move the folder away to begin with version 1")
    same = before == {**json.loads(json.dumps(manifest)), "table_version": version}
    return {**manifest, "table_version": version if same else version + 1}


def _write_files(table: PolicyTable, folder: Path) -> dict[str, Any]:
    """Write all files but the manifest, and return what that will say."""
    rows = table.customers
    write_atomic(
        folder / CUSTOMERS_PARQUET,
        lambda path: pq.write_table(arrow_table(rows, table.catalog), path, compression="zstd"),
    )
    write_for_people(folder, rows, table.catalog, table.segments)
    write_atomic(folder / LOOKUP, lambda path: write_lookup(path, [rows], SCHEMA_VERSION))
    write_rules(folder, table.catalog, table.segments)
    write_atomic(folder / BY_BUDGET, lambda path: write_by_budget(path, table.by_budget))
    explained = table.explanations
    if explained is not None:
        write_atomic(folder / EXPLANATIONS, lambda path: write_explanations(path, explained, SCHEMA_VERSION))
    return {**table.manifest, **_own(table, folder)}


def write_for_people(folder: Path, rows: pd.DataFrame, catalog: Catalog, segments: Segments) -> None:
    """Write the CSV files and the workbook, which hold all rows in memory."""
    _write_csv(folder / CUSTOMERS_CSV, rows)
    named, rules = rows.rename(columns=headings(catalog)), segments.frame(catalog.currency)
    _write_spreadsheet(folder / SPREADSHEET_CSV, named)
    sheets = {"Customers": named, "Rules": rules.rename(columns=rule_headings(catalog.currency))}
    write_atomic(folder / WORKBOOK, lambda path: write_workbook(path, sheets))


def write_rules(folder: Path, catalog: Catalog, segments: Segments) -> None:
    """Write the rules for people."""
    _write_spreadsheet(folder / SEGMENTS_CSV, segments.frame(catalog.currency))


def _own(table: PolicyTable, folder: Path) -> dict[str, Any]:
    rows, there = table.customers, FILES if table.explanations is None else (*FILES, *OPTIONAL)
    return {
        "schema_version": SCHEMA_VERSION,
        "files": {name: hash_file(folder / name) for name in there},
        "customers": len(rows),
        "rules": table.segments.to_dict(),
        "valid_from": str(rows["valid_from"].min().date()),
        "valid_to": str(rows["valid_to"].max().date()),
    }


def arrow_schema(catalog: Catalog) -> pa.Schema:
    """Return the types of `policy_by_customer`."""
    kinds = {**dict.fromkeys(TEXT_COLUMNS, pa.string()), **dict.fromkeys(DATE_COLUMNS, pa.date32())}
    kinds["segment"] = pa.int64()
    return pa.schema([pa.field(name, kinds.get(name, pa.float64()), nullable=False) for name in columns(catalog)])


def arrow_table(rows: pd.DataFrame, catalog: Catalog) -> pa.Table:
    """Return rows of `policy_by_customer` as they are written to Parquet."""
    return pa.Table.from_pandas(rows, arrow_schema(catalog), preserve_index=False).replace_schema_metadata(None)


def _read_customers(folder: Path) -> pd.DataFrame:
    rows: pd.DataFrame = pq.read_table(folder / CUSTOMERS_PARQUET).to_pandas(date_as_object=False)
    return rows.astype(dict.fromkeys(DATE_COLUMNS, "datetime64[us]"))


def _write_spreadsheet(path: Path, rows: pd.DataFrame) -> None:
    text = {name: escape(rows[name]) for name in rows.columns if isinstance(rows[name].dtype, pd.StringDtype)}
    _write_csv(path, rows.assign(**text), mark="\ufeff")


def _write_csv(path: Path, rows: pd.DataFrame, mark: str = "") -> None:
    text = rows.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC, date_format="%Y-%m-%d")
    write_text(path, mark + text)
