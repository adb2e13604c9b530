"""Why each customer gets what they get, and what would change it: `explanations.sqlite`, which a table may have.

One row per customer of the table, in codes that every language has words for; a number that does not apply is NULL:

    customer_id                       text
    favoured, chance, typical         what the policy favours before budget and lot, with which chance, and the chance
                                      that it gives this offer to the customers it was held against, on average
    driver_1, part_1, error_1, ...    three groups at most that move the chance most, the largest first: by how much
                                      [share of 1], and the standard error of that; "" and NULL where there are fewer
    rule_feature, _at_least, _below,  the smallest change of one number at which the rules give another offer, and that
    _offer                            offer; "" where no single change within what was observed does
    policy_feature, _value, _offer    the same of the policy: the number's value
    budget_step, budget_offer         the nearest of the other budgets at which the table would give something else
    ends_in_weeks                     weeks until the constraint that left them without an offer ends, if nothing else
                                      happens until then
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import apsw

from campaigns.errors import InputError

if TYPE_CHECKING:  # whoever reads one customer need not wait a second for pandas
    import pandas as pd

EXPLANATIONS: Final = "explanations.sqlite"
TABLE: Final = "explanations"
APPLICATION: Final = 0x0FF35318
"""Marks the file as one of these, in its header."""
DRIVERS: Final = ("rhythm", "value", "promotion", "contacts", "taste", "clock", "price", "allowed", "other")
"""The groups that a decision is explained by (`evaluation.explaining.players`)."""
LISTED: Final = 3
_OF_DRIVER: Final = {"driver": "TEXT", "part": "REAL", "error": "REAL"}
_TOP: Final = {f"{name}_{i}": kind for i in range(1, LISTED + 1) for name, kind in _OF_DRIVER.items()}
COLUMNS: Final = {
    "customer_id": "TEXT", "favoured": "TEXT", "chance": "REAL", "typical": "REAL", **_TOP,
    "rule_feature": "TEXT", "rule_at_least": "REAL", "rule_below": "REAL", "rule_offer": "TEXT",
    "policy_feature": "TEXT", "policy_value": "REAL", "policy_offer": "TEXT",
    "budget_step": "INTEGER", "budget_offer": "TEXT", "ends_in_weeks": "INTEGER",
}  # fmt: skip
"""Columns with their types; text is never NULL."""


@dataclass(frozen=True)
class Driver:
    """A group that moves the chance of the favoured offer by `part`, with its standard error, against typical ones."""

    name: str
    part: float
    error: float


@dataclass(frozen=True)
class Change:
    """One number, where it would have to lie, and the offer that this would give; a value stands in both limits."""

    feature: str
    at_least: float | None
    below: float | None
    offer: str


@dataclass(frozen=True)
class Explanation:
    """What is said of one customer; see the columns of the file.

    Attributes:
        favoured, chance, typical: As in the file.
        drivers: The largest first.
        by_rules, by_policy: The smallest change that gives another offer; None where there is none.
        budget: The nearest other budget that changes the offer, and that offer; None where none does.
        ends_in_weeks: None where it cannot be told.
    """

    favoured: str
    chance: float
    typical: float
    drivers: tuple[Driver, ...]
    by_rules: Change | None
    by_policy: Change | None
    budget: tuple[int, str] | None
    ends_in_weeks: int | None


def write_explanations(path: Path, rows: pd.DataFrame, version: int) -> None:
    """Write the rows, sorted by customer_id, to a new SQLite file.

    Args:
        path: An empty file, or none.
        rows: With the columns `COLUMNS`; missing numbers are NaN or NA.
        version: Of the schema of the policy table.
    """
    connection = apsw.Connection(str(path))
    try:
        connection.execute("PRAGMA page_size = 4096")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {int(version)}")
        keys = ", ".join(f"{name} {kind}{' NOT NULL' if kind == 'TEXT' else ''}" for name, kind in COLUMNS.items())
        with connection:
            connection.execute(f"CREATE TABLE {TABLE} ({keys}, PRIMARY KEY (customer_id)) STRICT, WITHOUT ROWID")
            marks = ", ".join("?" * len(COLUMNS))
            connection.executemany(f"INSERT INTO {TABLE} VALUES ({marks})", _plain(rows))
    finally:
        connection.close()


def read_explanations(path: Path) -> pd.DataFrame:
    """Return all rows, sorted by customer_id.

    Raises:
        InputError: The file is none of these.
    """
    import pandas as pd

    connection = _open(path)
    try:
        rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM {TABLE} ORDER BY customer_id").fetchall()
    except apsw.Error as error:
        raise InputError(f"{path}: not readable as explanations ({error}); export the policy again") from None
    finally:
        connection.close()
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({name: _PANDAS[kind] for name, kind in COLUMNS.items()})


def read_one(path: Path, customer_id: str) -> Explanation | None:
    """Return what is said of one customer, or None if the file does not know them.

    Raises:
        InputError: The file is none of these.
    """
    connection = _open(path)
    try:
        query = f"SELECT {', '.join(COLUMNS)} FROM {TABLE} WHERE customer_id = ?"
        row = connection.execute(query, (customer_id,)).fetchone()
    except apsw.Error as error:
        raise InputError(f"{path}: not readable as explanations ({error}); export the policy again") from None
    finally:
        connection.close()
    return None if row is None else _explanation(dict(zip(COLUMNS, row, strict=True)))


def check_explanations(rows: pd.DataFrame, customer_ids: pd.Series[str], offers: Collection[str]) -> None:
    """Refuse rows that are not of these customers and offers.

    Args:
        rows: As they are written.
        customer_ids: Of the table.
        offers: Names in the catalog.

    Raises:
        InputError: See above; or a column is missing, a chance is none, or a driver is unknown.
    """
    from serving.by_budget import STEPS  # which needs pandas

    if tuple(rows.columns) != tuple(COLUMNS):
        raise InputError(f"explanations: columns are {', '.join(rows.columns)}; expected {', '.join(COLUMNS)}")
    if len(rows) != len(customer_ids) or (rows["customer_id"].to_numpy() != customer_ids.to_numpy()).any():
        raise InputError("explanations: customers are not those of the table in the same order")
    drivers, named = ("", *DRIVERS), ("", *offers)
    allowed: dict[str, tuple[str, ...]] = {f"driver_{i}": drivers for i in range(1, LISTED + 1)}
    allowed |= {"favoured": named[1:], **dict.fromkeys(("rule_offer", "policy_offer", "budget_offer"), named)}
    for name, words in allowed.items():
        _refuse(rows, ~rows[name].isin(words), name, f"expected one of {', '.join(word for word in words if word)}")
    for name in ("chance", "typical"):
        _refuse(rows, ~rows[name].between(0.0, 1.0).fillna(False), name, "expected a chance")
    of_drivers = [(f"driver_{i}", f"{what}_{i}") for i in range(1, LISTED + 1) for what in ("part", "error")]
    for text, number in (("budget_offer", "budget_step"), ("policy_feature", "policy_value"), *of_drivers):
        _refuse(rows, (rows[text] != "") != rows[number].notna(), number, f"expected a number where {text} is told")
    step = rows["budget_step"].fillna(1)
    _refuse(rows, (step < 1) | (step >= STEPS), "budget_step", f"expected 1 to {STEPS - 1}")
    _refuse(rows, rows["ends_in_weeks"].fillna(1) < 1, "ends_in_weeks", "expected 1 week or more")


_PANDAS: Final = {"TEXT": "str", "REAL": "Float64", "INTEGER": "Int64"}


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the columns and types that `read_explanations` gives; NaN is no number."""
    return rows[list(COLUMNS)].astype({name: _PANDAS[kind] for name, kind in COLUMNS.items()})


def _refuse(rows: pd.DataFrame, wrong: Any, column: str, sentence: str) -> None:
    if wrong.any():
        first = rows[wrong].iloc[0]
        raise InputError(
            f"explanations: {column} of customer {first['customer_id']!r} is {str(first[column])!r} "
            f"({int(wrong.sum())} rows like it); {sentence}"
        )


def _open(path: Path) -> apsw.Connection:
    try:
        address = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
        connection = apsw.Connection(address, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        found = connection.execute("PRAGMA application_id").fetchone()
    except apsw.Error as error:
        raise InputError(f"{path}: not readable as SQLite ({error}); export the policy again") from None
    if found is None or found[0] != APPLICATION:
        connection.close()
        raise InputError(f"{path}: holds no explanations; export the policy again")
    return connection


def _plain(rows: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    columns = []
    for name in COLUMNS:
        known = rows[name].notna()
        columns.append(rows[name].astype(object).where(known, None).tolist())
    return zip(*columns, strict=True)


def _explanation(row: dict[str, Any]) -> Explanation:
    top = [(row[f"driver_{i}"], row[f"part_{i}"], row[f"error_{i}"]) for i in range(1, LISTED + 1)]
    by_rules = Change(row["rule_feature"], row["rule_at_least"], row["rule_below"], row["rule_offer"])
    by_policy = Change(row["policy_feature"], row["policy_value"], row["policy_value"], row["policy_offer"])
    return Explanation(
        favoured=row["favoured"],
        chance=row["chance"],
        typical=row["typical"],
        drivers=tuple(Driver(*one) for one in top if one[0]),
        by_rules=by_rules if by_rules.feature else None,
        by_policy=by_policy if by_policy.feature else None,
        budget=None if row["budget_step"] is None else (row["budget_step"], row["budget_offer"]),
        ends_in_weeks=row["ends_in_weeks"],
    )
