"""Names and texts as they are written in SQL, and answers of one row."""

from typing import Any

import duckdb


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """Return `text` as an SQL string."""
    return "'" + str(text).replace("'", "''") + "'"


def one_row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    """Return the only row of an aggregate."""
    row = connection.execute(sql).fetchone()
    if row is None:
        raise RuntimeError(f"no row for {sql}")
    return row
