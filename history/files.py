"""Opens a shop's files in DuckDB as they are: every row numbered, none lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Final

import duckdb
import pandas as pd

from campaigns.errors import InputError
from history.mapping import TableFile
from history.schema import OPENING_ROWS, check_opening
from history.sql import literal, one_row, quoted

ROW: Final = "#row"
"""Column of `raw_<table>` with the number of the row in its file: 1 is the first, headers not counted."""

_PARQUET: Final = """
CREATE TEMP VIEW raw_{name} AS SELECT file_row_number + 1 AS "{row}", * EXCLUDE (file_row_number)
FROM read_parquet({path}, file_row_number = true, hive_partitioning = false)
"""
# Header, quotes and comments are fixed, so that no line is taken for something else and left out.
_CSV: Final = """
CREATE TEMP TABLE raw_{name} AS SELECT row_number() OVER () AS "{row}", *
FROM read_csv({path}, header = true, all_varchar = true, quote = '"', escape = '"', comment = '', skip = 0,
              hive_partitioning = false, store_rejects = true, rejects_table = 'faults_{name}',
              rejects_scan = 'scans_{name}'{delimiter})
"""
_TORN: Final = """
CREATE TEMP TABLE torn_{name} AS
SELECT line - 1 AS "row", 'line is torn: ' || lower(min(error_type)::VARCHAR) AS reason,
       to_json(struct_pack(line := any_value(csv_line))) AS source_row
FROM faults_{name} GROUP BY line
"""
_RENUMBER: Final = """
CREATE OR REPLACE TEMP TABLE raw_{name} AS
WITH places AS (
    SELECT place, row_number() OVER (ORDER BY place) AS nth
    FROM range(1, (SELECT count(*) FROM raw_{name}) + (SELECT count(*) FROM torn_{name}) + 1) AS t(place)
    WHERE place NOT IN (SELECT "row" FROM torn_{name})
)
SELECT place AS "{row}", r.* EXCLUDE ("{row}") FROM raw_{name} AS r JOIN places ON nth = r."{row}" ORDER BY place
"""


@contextmanager
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an empty DuckDB that uses 2 threads and 2 GB, and spills to a temporary folder beyond that."""
    with TemporaryDirectory(prefix="offersmith-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "threads": 2,
            "memory_limit": "2GB",
            "temp_directory": folder,
        }
        connection = duckdb.connect(config=settings)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
        finally:
            connection.close()


def open_file(connection: duckdb.DuckDBPyConnection, source: TableFile) -> None:
    """Make `raw_<table>` (the file's rows and `ROW`) and `torn_<table>` (lines of a CSV file that are no rows).

    Raises:
        InputError: The file is missing or unreadable, or lacks a mapped column, or a column's type is wrong.
    """
    name, path = source.table.name, source.path
    if source.time_zone:
        _check_zone(connection, source)
    if not path.is_file():
        raise InputError(f"{path}: no such file, mapped as table '{name}'; put it there or change `file:`")
    template = _CSV if path.suffix.lower() == ".csv" else _PARQUET
    delimiter = f", delim = {literal(source.delimiter)}" if source.delimiter else ""
    try:
        connection.execute(template.format(name=name, row=ROW, path=literal(path), delimiter=delimiter))
        _keep_torn(connection, source, template is _CSV)
        check_opening(source, _opening(connection, name))
    except duckdb.Error as error:
        kind = "CSV (UTF-8, header line)" if template is _CSV else "Parquet"
        found = str(error).splitlines()[0]
        raise InputError(f"{path}: table '{name}' is not readable as {kind}: {found}; write the file again") from None


@contextmanager
def reading(place: object) -> Iterator[None]:
    """Turn what DuckDB says of damaged files, found only when all of their pages are read, into an `InputError`."""
    try:
        yield
    except (duckdb.IOException, duckdb.InvalidInputException, duckdb.DataError) as error:
        raise InputError(f"{place}: damaged: {str(error).splitlines()[0]}; write the file again") from None


def columns_of(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
    """Return the SQL type of each column of `raw_<name>`, `ROW` left out."""
    rows = connection.execute(f"DESCRIBE raw_{name}").fetchall()
    return {column: str(kind) for column, kind, *_ in rows if column != ROW}


def _check_zone(connection: duckdb.DuckDBPyConnection, source: TableFile) -> None:
    known = "SELECT count(*) FROM pg_timezone_names() WHERE name = ?"
    if connection.execute(known, [source.time_zone]).fetchone() == (0,):
        raise InputError(
            f"{source.path}: table '{source.table.name}' has time_zone '{source.time_zone}'; expected a name such as"
            " America/New_York"
        )


def _keep_torn(connection: duckdb.DuckDBPyConnection, source: TableFile, csv: bool) -> None:
    name = source.table.name
    if not csv:
        connection.execute(f'CREATE TEMP TABLE torn_{name} ("row" BIGINT, reason VARCHAR, source_row VARCHAR)')
        return
    encoding = f"SELECT min(line) FROM faults_{name} WHERE error_type = 'INVALID ENCODING'"
    (line,) = one_row(connection, encoding)
    if line is not None:
        raise InputError(f"{source.path}: table '{name}', line {line} is not UTF-8; save the file as UTF-8")
    connection.execute(_TORN.format(name=name))
    if one_row(connection, f"SELECT count(*) FROM torn_{name}") != (0,):
        connection.execute(_RENUMBER.format(name=name, row=ROW))


def _opening(connection: duckdb.DuckDBPyConnection, name: str) -> pd.DataFrame:
    columns = ", ".join(quoted(column) for column in columns_of(connection, name))
    table = connection.sql(f"SELECT {columns} FROM raw_{name} LIMIT {OPENING_ROWS}").to_arrow_table()
    opening: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return opening
