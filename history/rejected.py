"""Rows that were set aside: one file of them, how many they are, and when they are too many."""

from pathlib import Path
from typing import Final

import duckdb
from tqdm import tqdm

from campaigns.errors import InputError
from history.artifacts import hash_file, write_atomic
from history.files import columns_of, reading
from history.mapping import Mapping, TableFile
from history.quality import TableQuality
from history.sql import literal, one_row, quoted

_REJECTED: Final = """
INSERT INTO rejected
SELECT '{name}', "row", reason, source_row FROM torn_{name} UNION ALL
SELECT '{name}', "row", reason, to_json(struct_pack({fields}))
FROM (SELECT "row", reason FROM checked_{name} WHERE reason IS NOT NULL) JOIN raw_{name} ON "row" = "#row"
"""


def write_rejected(connection: duckdb.DuckDBPyConnection, mapping: Mapping, path: Path) -> dict[str, TableQuality]:
    """Write every row set aside to one Parquet file (table, row, reason, source_row) and count.

    Args:
        connection: As `take_in` left it.
        mapping: The mapping taken in.
        path: Parquet file to write.

    Returns:
        What became of each table's rows.
    """
    connection.execute('CREATE TEMP TABLE rejected ("table" VARCHAR, "row" BIGINT, reason VARCHAR, source_row VARCHAR)')
    for name in tqdm(mapping.tables, desc="count rows", unit="table", disable=None):
        fields = ", ".join(f"{quoted(c)} := CAST({quoted(c)} AS VARCHAR)" for c in columns_of(connection, name))
        with reading(f"{mapping.tables[name].path}: table '{name}'"):
            connection.execute(_REJECTED.format(name=name, fields=fields))
    order = 'SELECT * FROM rejected ORDER BY "table", "row"'
    write_atomic(path, lambda file: _copy(connection, order, file))
    return {name: _count(connection, source) for name, source in mapping.tables.items()}


def check_shares(mapping: Mapping, tables: dict[str, TableQuality], max_rejected_share: float, rejected: Path) -> None:
    """Refuse a table of which too many rows were set aside.

    Raises:
        InputError: Some table's share of rejected rows is above `max_rejected_share`.
    """
    for name, table in tables.items():
        if table.rejected_share > max_rejected_share:
            top = sorted(table.reasons.items(), key=lambda item: (-item[1], item[0]))[:3]
            reasons = ", ".join(f"{reason} ({count} rows)" for reason, count in top)
            raise InputError(
                f"{mapping.tables[name].path}: {table.rejected_share:.1%} of the {table.read} rows of table '{name}'"
                f" were rejected, at most {max_rejected_share:.1%} may be: {reasons}; see {rejected}, then mend the"
                " file or raise max_rejected_share"
            )


def _count(connection: duckdb.DuckDBPyConnection, source: TableFile) -> TableQuality:
    name = source.table.name
    (read,) = one_row(connection, f"SELECT (SELECT count(*) FROM raw_{name}) + (SELECT count(*) FROM torn_{name})")
    (kept,) = one_row(connection, f"SELECT count(*) FROM checked_{name} WHERE reason IS NULL")
    reasons = connection.execute(
        'SELECT reason, count(*) FROM rejected WHERE "table" = ? GROUP BY reason ORDER BY reason', [name]
    ).fetchall()
    missing = {c.name: c.cost for c in source.table.columns if c.cost and c.name not in source.columns}
    return TableQuality(
        file=source.path.name,
        sha256=hash_file(source.path),
        read=read,
        kept=kept,
        rejected=sum(count for _, count in reasons),
        reasons=dict(reasons),
        missing_columns=missing if name != "campaigns" or "start_date" in source.columns else {},
    )


def _copy(connection: duckdb.DuckDBPyConnection, sql: str, file: Path) -> None:
    connection.execute(f"COPY ({sql}) TO {literal(file)} (FORMAT parquet)")
