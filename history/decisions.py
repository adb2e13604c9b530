"""Logged decisions: which offer of the catalog, none included, was given to whom in which week, and by what chance.

What is learned from them leans on every single chance, so no row is set aside here: the first bad one stops the run.

Reference:
    Horvitz & Thompson, "A Generalization of Sampling Without Replacement from a Finite Universe", JASA 47, 1952: the
    inverse chances of an offer's decisions sum to at most the number of all decisions in the mean.
    Bennett's inequality, as in Boucheron, Lugosi & Massart, "Concentration Inequalities", 2013, section 2.7.
"""

import math
from pathlib import Path
from typing import Any, Final, NoReturn

import duckdb
import pandas as pd

from campaigns.errors import InputError
from history.artifacts import read_table
from history.calendar import Calendar
from history.mapping import Mapping, TableFile
from history.sql import quoted

NAME: Final = "decisions"
FILE: Final = "decisions.parquet"
IMPOSSIBLE: Final = 20.0
"""Log odds against a sum of inverse chances from which on the chances are not those of the log."""

_BAD_ROW: Final = """
SELECT "row", reason FROM checked_decisions WHERE reason IS NOT NULL UNION ALL SELECT "row", reason FROM torn_decisions
ORDER BY "row" LIMIT 1
"""
_BAD_CHANCE: Final = """
SELECT "row", pscore FROM checked_decisions WHERE pscore IS NULL OR NOT (pscore > 0 AND pscore <= 1)
ORDER BY "row" LIMIT 1
"""
_PLACED: Final = """
CREATE OR REPLACE TEMP TABLE placed_decisions AS
SELECT "row", customer_id, "date", {week} AS "week", offer, pscore FROM checked_decisions
"""
_OUTSIDE: Final = """
SELECT "row", "date", "week" FROM placed_decisions WHERE "week" NOT BETWEEN {first} AND {last} ORDER BY "row" LIMIT 1
"""
_TWICE: Final = """
SELECT min("row"), max("row"), customer_id, "week", sum(pscore) FROM placed_decisions
GROUP BY customer_id, "week" HAVING count(*) > 1 ORDER BY min("row") LIMIT 1
"""
_SUMS: Final = """
SELECT offer, sum(1 / pscore), max(1 / pscore), arg_min("row", (pscore, "row")), (SELECT count(*) FROM placed_decisions)
FROM placed_decisions GROUP BY offer ORDER BY offer
"""
_DECISIONS: Final = """
SELECT customer, CAST("week" - {first} AS INTEGER) AS slot, offer, pscore, "row"
FROM placed_decisions JOIN customer_index USING (customer_id) ORDER BY slot, customer
"""


def read_decisions(connection: duckdb.DuckDBPyConnection, mapping: Mapping, calendar: Calendar) -> pd.DataFrame | None:
    """Check the logged decisions, and return them; None where none are mapped.

    Columns: customer (row of `WeeklyEvents`), slot (position of the week), offer (name), pscore (in (0, 1]; missing
    throughout where the table maps none), row (in the file); sorted by slot, then customer.

    Raises:
        InputError: A row is unreadable, has no possible chance, lies outside the history's weeks, or stands beside
            another one of the same customer and week; or the chances of an offer's rows cannot be those of this log.
    """
    source = mapping.tables.get(NAME)
    if source is None:
        return None
    for row, reason in connection.execute(_BAD_ROW).fetchall():
        _refuse(source, row, f"{reason}{_found(connection, source, row, reason)}", "mend the row or leave it out")
    if "pscore" in source.columns:
        for row, chance in connection.execute(_BAD_CHANCE).fetchall():
            found = "empty" if chance is None else f"{chance:g}"
            _refuse(source, row, f"pscore is {found}", "expected the chance in (0, 1] with which this offer was given")
    week = quoted("week") if "week" in source.columns else calendar.week_of(quoted("date"))
    connection.execute(_PLACED.format(week=week))
    for row, day, number in connection.execute(_OUTSIDE.format(**vars(calendar))).fetchall():
        found = f"week is {number}" if day is None else f"date is {day:%Y-%m-%d}"
        end = calendar.monday(calendar.last + 1)
        span = f"weeks {calendar.first} to {calendar.last} ({calendar.monday(calendar.first)} until before {end})"
        _refuse(source, row, found, f"expected a day in the transactions' {span}: leave it out, or add what was bought")
    for first, second, customer, number, total in connection.execute(_TWICE).fetchall():
        sums = "" if total is None else f"; their pscores sum to {total:g}"
        found = f"customer {customer!r} has a second decision in week {number}, the first is row {first}{sums}"
        _refuse(source, second, found, "expected one row per customer and week, the offer that was given in the end")
    if "pscore" in source.columns:
        _check_sums(connection, source)
    decisions: pd.DataFrame = connection.execute(_DECISIONS.format(first=calendar.first)).df()
    return decisions.astype({"customer": "int64", "slot": "int64", "offer": "str", "row": "int64"})


def _check_sums(connection: duckdb.DuckDBPyConnection, source: TableFile) -> None:
    """Refuse an offer whose inverse chances sum to more than luck explains, as where rows of "no offer" were left out.

    The sum over an offer's decisions has a mean of at most n, the number of all decisions, and with terms of at most m
    a variance of at most nm: the odds of a sum of (1 + u) n are below exp(-n / m ((1 + u) log(1 + u) - u)).
    """
    for offer, total, most, row, n in connection.execute(_SUMS).fetchall():
        excess = max(total / n - 1.0, 0.0)
        if n / most * ((1.0 + excess) * math.log1p(excess) - excess) > IMPOSSIBLE:
            _refuse(
                source,
                row,
                f"the chances of offer {offer!r} cannot be: 1 / pscore sums to {total:,.0f} over its rows, of all"
                f" {n:,} decisions (the smallest pscore stands here)",
                "expected about that many at most: log every decision, those for no offer too, with the chance of the"
                " offer that was given",
            )


def _found(connection: duckdb.DuckDBPyConnection, source: TableFile, row: int, reason: str) -> str:
    """Return the value that a reason speaks of, as it stands in the file."""
    theirs = source.columns.get(reason.split()[0])
    if theirs is None:
        return ""
    (value,) = connection.execute(f'SELECT {quoted(theirs)} FROM raw_{NAME} WHERE "#row" = ?', [row]).fetchall()[0]
    return "" if value is None else f" (found {str(value)[:40]!r})"


def _refuse(source: TableFile, row: Any, found: str, remedy: str) -> NoReturn:
    raise InputError(f"{source.path}: table '{NAME}', row {row}: {found}; {remedy}")


def load_decisions(folder: Path) -> pd.DataFrame | None:
    """Read the decisions that `prepare` wrote into `folder`; None where the source had none.

    Raises:
        InputError: The file is unreadable.
    """
    return read_table(folder / FILE, "prepare") if (folder / FILE).is_file() else None
