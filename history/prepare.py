"""From a shop's files to what every later step reads: weekly events, targeting, customers, and the quality record."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import pandas as pd

from campaigns.errors import InputError
from history.artifacts import read_json, read_table, write_json, write_table
from history.calendar import Calendar
from history.decisions import FILE as DECISIONS
from history.decisions import read_decisions
from history.events import WeeklyEvents, load_events
from history.exposures import Exposures, read_exposures
from history.files import database, reading
from history.intake import check_leaving, check_weeks, take_in
from history.mapping import Mapping
from history.oddities import find_oddities, missing_tables, totals
from history.purchases import Purchases, load_purchases, read_purchases
from history.quality import Quality, TableQuality, quality_from_dict
from history.rejected import check_shares, write_rejected
from history.sources import Source
from history.targeting import coupon_values, targeting
from history.weekly import CategoryChoice, customer_ids, weekly_events

_CUSTOMERS: Final = """
SELECT customer, CAST(customer_id AS VARCHAR) AS customer_id, c.* EXCLUDE (customer_id)
FROM customer_index LEFT JOIN customers AS c USING (customer_id) ORDER BY customer
"""

Choose = Callable[[tuple[str, ...], Calendar], CategoryChoice]
"""Says, given all customer ids and the calendar, what categories may be chosen on."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A history, taken in.

    Attributes:
        events: Weekly raw events.
        targeting: One row per customer and campaign, as `history.targeting.targeting` describes it.
        customers: One row per customer in the order of `events.customer_ids`, with demographics where known.
        purchases: What each customer bought in each week.
        quality: What the intake found.
    """

    events: WeeklyEvents
    targeting: pd.DataFrame
    customers: pd.DataFrame
    purchases: Purchases
    quality: Quality


def all_history(customer_ids: tuple[str, ...], calendar: Calendar) -> CategoryChoice:
    """Let every customer and week count in the choice of categories."""
    return CategoryChoice(customers=customer_ids, last_week=calendar.last)


def prepare(source: Source, out_dir: Path, max_rejected_share: float = 0.02, choose: Choose = all_history) -> Prepared:
    """Validate a source's tables and aggregate them to weeks.

    Writes into `out_dir`: rejected.parquet, quality.json, weekly.safetensors, weekly.json, targeting.parquet,
    customers.parquet, purchases.parquet, products.parquet, the three files of `history.exposures`, and, where decisions
    were logged, decisions.parquet. Equal input gives equal bytes.

    Args:
        source: Where the tables are.
        out_dir: Folder to write.
        max_rejected_share: Largest share of a table's rows that may be set aside, 0..1.
        choose: What the categories may be chosen on; everything by default.

    Raises:
        InputError: The source is not what its mapping says, or has too many bad rows.
    """
    if not 0 <= max_rejected_share <= 1:
        raise InputError(f"max_rejected_share is {max_rejected_share}; expected a share of rows in [0, 1]")
    mapping = source.build()
    out_dir.mkdir(parents=True, exist_ok=True)
    with database() as connection:
        calendar = take_in(connection, mapping)
        rejected = out_dir / "rejected.parquet"
        tables = write_rejected(connection, mapping, rejected)
        decisions = read_decisions(connection, mapping, calendar) if calendar.n_weeks > 0 else None
        check_shares(mapping, tables, max_rejected_share, rejected)
        check_weeks(mapping, calendar)
        check_leaving(connection, mapping)
        ids = customer_ids(connection)
        with reading(mapping.path):
            events = weekly_events(connection, calendar, choose(ids, calendar))
            exposures = read_exposures(connection, calendar, len(events.category_names))
            prepared = Prepared(
                events=events,
                targeting=targeting(connection, calendar),
                customers=connection.execute(_CUSTOMERS).df(),
                purchases=read_purchases(connection, len(events.category_names)),
                quality=_quality(connection, mapping, calendar, tables),
            )
    _save(prepared, exposures, out_dir)
    if decisions is not None:
        write_table(out_dir / DECISIONS, decisions)
    return prepared


def load_prepared(folder: Path) -> Prepared:
    """Read what `prepare` wrote into `folder`.

    Raises:
        InputError: A file is missing or unreadable.
    """
    return Prepared(
        events=load_events(folder),
        targeting=read_table(folder / "targeting.parquet", "prepare"),
        customers=load_customers(folder),
        purchases=load_purchases(folder),
        quality=quality_from_dict(read_json(folder / "quality.json")),
    )


def load_customers(folder: Path) -> pd.DataFrame:
    """Read the customers that `prepare` wrote into `folder`, with demographics where known.

    Raises:
        InputError: the file is missing or unreadable.
    """
    return read_table(folder / "customers.parquet", "prepare")


def _quality(
    connection: duckdb.DuckDBPyConnection, mapping: Mapping, calendar: Calendar, tables: dict[str, TableQuality]
) -> Quality:
    return Quality(
        tables=tables,
        missing_tables=missing_tables(mapping),
        notes=find_oddities(connection, mapping, calendar),
        currency=mapping.currency,
        week_origin=calendar.origin.isoformat(),
        first_week=calendar.first,
        last_week=calendar.last,
        totals=totals(connection),
        coupon_values=coupon_values(connection),
    )


def _save(prepared: Prepared, exposures: Exposures, folder: Path) -> None:
    prepared.events.save(folder)
    prepared.purchases.save(folder)
    exposures.save(folder)
    write_table(folder / "targeting.parquet", prepared.targeting)
    write_table(folder / "customers.parquet", prepared.customers)
    write_json(folder / "quality.json", prepared.quality.to_dict())
