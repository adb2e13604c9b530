"""Takes a shop's files in: types and checks every row, and offers the good ones under our names."""

from datetime import date, timedelta
from typing import Final

import duckdb
from tqdm import tqdm

from campaigns.errors import InputError
from history.calendar import DAYS, Calendar
from history.checks import RowChecks, id_types, sql_type
from history.crosschecks import (
    index_customers,
    reject_redemptions,
    reject_repeated,
    reject_undescribed,
)
from history.files import columns_of, open_file, reading
from history.mapping import Mapping
from history.schema import ACCEPTED_ROWS, check_accepted
from history.sql import one_row, quoted
from history.tables import TABLES, Kind, Table

MOST_WEEKS: Final = 1_040
"""Longest history; longer ones are mistaken dates."""

_SOME_MONDAY: Final = date(1970, 1, 5)

_DESCRIBED: Final = """
CREATE OR REPLACE TEMP VIEW campaigns AS
SELECT c.campaign_id, c.customer_id, d.start_date, d.end_date, d.campaign_type,
       coalesce(nullif(c.offer, ''), d.offer) AS offer
FROM checked_campaigns AS c JOIN campaign_descriptions AS d USING (campaign_id) WHERE c.reason IS NULL
"""


def take_in(connection: duckdb.DuckDBPyConnection, mapping: Mapping) -> Calendar:
    """Make the accepted tables under their canonical names and columns, and `customer_index`.

    A table that is not mapped is there without rows. Rejected rows keep their reason in `checked_<table>`.

    Returns:
        The weeks that the accepted transactions cover.

    Raises:
        InputError: A file or column is missing, unreadable or of a wrong type.
    """
    for source in tqdm(mapping.tables.values(), desc="open tables", unit="table", disable=None):
        open_file(connection, source)
    types = {name: columns_of(connection, name) for name in mapping.tables}
    ids = id_types(mapping, types)
    for name, source in tqdm(mapping.tables.items(), desc="check rows", unit="table", disable=None):
        # Only keyed tables can lose further rows; the others, the biggest among them, are read where they lie.
        kind = "TABLE" if source.table.key else "VIEW"
        checks = RowChecks(source, mapping, ids, types[name])
        with reading(f"{source.path}: table '{name}'"):
            connection.execute(f"CREATE TEMP {kind} checked_{name} AS {checks.select()}")
        reject_repeated(connection, source)
    calendar = _calendar(connection, mapping)
    reject_undescribed(connection, mapping)
    for table in TABLES.values():
        connection.execute(f"CREATE TEMP VIEW {table.name} AS {_accepted(table, mapping, ids, calendar)}")
    if "campaign_descriptions" in mapping.tables:
        connection.execute(_DESCRIBED)
    index_customers(connection)
    reject_redemptions(connection, mapping)
    return calendar


def check_weeks(mapping: Mapping, calendar: Calendar) -> None:
    """Refuse a history without a week, or with so many that some dates must be mistaken.

    Raises:
        InputError: No transaction was accepted, or they span more than `MOST_WEEKS`.
    """
    path = mapping.tables["transactions"].path
    if calendar.n_weeks < 1:
        raise InputError(f"{path}: table 'transactions' has no good row; expected at least one")
    if calendar.n_weeks > MOST_WEEKS:
        raise InputError(
            f"{path}: table 'transactions' spans {calendar.n_weeks} weeks, expected at most {MOST_WEEKS}: set"
            f" first_date and last_date in {mapping.path}, or number the weeks one by one"
        )


def check_leaving(connection: duckdb.DuckDBPyConnection, mapping: Mapping) -> None:
    """Let pandera check the accepted rows: small tables whole, of big ones the first rows."""
    for name, source in mapping.tables.items():
        columns = ", ".join(quoted(column) for column in source.table.names)
        rows = connection.execute(f"SELECT {columns} FROM checked_{name} WHERE reason IS NULL LIMIT {ACCEPTED_ROWS}")
        check_accepted(source, rows.df())


def _accepted(table: Table, mapping: Mapping, ids: dict[str, str], calendar: Calendar) -> str:
    source = mapping.tables.get(table.name)
    if source is None:
        empty = ", ".join(f"CAST(NULL AS {sql_type(c, ids)}) AS {quoted(c.name)}" for c in table.columns)
        return f"SELECT {empty} WHERE false"
    replaced = []
    if "week" in table.names and "week" not in source.columns:
        replaced.append(f'{calendar.week_of(quoted("date"))} AS "week"')
    if "store_id" in table.names and not _stores_match(mapping):
        replaced.append("'' AS store_id")
    replacing = f"REPLACE ({', '.join(replaced)})" if replaced else ""
    return f'SELECT * EXCLUDE ("row", reason) {replacing} FROM checked_{table.name} WHERE reason IS NULL'


def _stores_match(mapping: Mapping) -> bool:
    holders = [mapping.tables[name] for name in ("transactions", "promotions") if name in mapping.tables]
    return all("store_id" in source.columns for source in holders)


def _calendar(connection: duckdb.DuckDBPyConnection, mapping: Mapping) -> Calendar:
    source = mapping.tables["transactions"]
    origin = mapping.week_origin or _origin(connection, mapping)
    calendar = Calendar(origin, 0, 0)
    week = '"week"' if "week" in source.columns else calendar.week_of(quoted("date"))
    weeks = f"SELECT coalesce(min({week}), 1), coalesce(max({week}), 0) FROM checked_transactions WHERE reason IS NULL"
    return Calendar(origin, *one_row(connection, weeks))


def _origin(connection: duckdb.DuckDBPyConnection, mapping: Mapping) -> date:
    """Return the Monday of week 1: the one that agrees with most lines, or that of the first date."""
    source = mapping.tables["transactions"]
    good = "FROM checked_transactions WHERE reason IS NULL"
    if "date" not in source.columns:
        dated = [
            name
            for name, other in mapping.tables.items()
            if any(column.kind is Kind.DATE and column.name in other.columns for column in other.table.columns)
        ]
        if dated:
            raise InputError(
                f"{mapping.path}: transactions have weeks but no dates, so that the dates of {' and '.join(dated)} fit"
                " nowhere; add week_origin, the day on which week 1 begins"
            )
        return _SOME_MONDAY
    first: date | None = one_row(connection, f'SELECT CAST(min("date") AS DATE) {good}')[0]
    if first is None:  # nothing is left; `check_shares` says why
        return _SOME_MONDAY
    if "week" not in source.columns:
        return first - timedelta(days=first.weekday())
    monday = f"""CAST(date_trunc('week', "date") AS DATE) - CAST({DAYS} * ("week" - 1) AS INTEGER)"""
    (origin,) = one_row(connection, f"SELECT {monday} AS origin {good} GROUP BY origin ORDER BY count(*) DESC, origin")
    return date.fromisoformat(str(origin)[:10])
