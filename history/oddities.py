"""Counts what is odd in the accepted tables but was kept, and sums them up."""

from typing import Final

import duckdb

from history.calendar import Calendar
from history.mapping import Mapping
from history.sql import one_row
from history.tables import TABLES

FAR_OUT: Final = 1000
"""Times the spend of the middle line from which a line looks like a slip of the till."""
_TOTALS: Final = {
    "customers": "(SELECT count(*) FROM customer_index)",
    "baskets": "(SELECT count(DISTINCT (customer_id, basket_id)) FROM transactions)",
    "lines": "(SELECT count(*) FROM transactions)",
    "spend": "(SELECT CAST(sum(CAST(round(spend * 100) AS BIGINT)) AS BIGINT) / 100 FROM transactions)",
    "targetings": "(SELECT count(*) FROM campaigns)",
    "redemptions": "(SELECT count(*) FROM redemptions)",
}

# What is odd, the tables it takes to see it, how many rows it is.
_ODDITIES: Final = (
    (
        "lines of products that the products table does not know; they fall into 'other'",
        ("products",),
        "SELECT count(*) FROM transactions ANTI JOIN products USING (product_id)",
    ),
    (
        f"lines of more than {FAR_OUT:,} times the spend of the middle line, on which every mean leans: check them",
        (),
        f"""SELECT count(*) FROM transactions
            WHERE spend > {FAR_OUT} * (SELECT median(spend) FROM transactions WHERE spend > 0)""",
    ),
    (
        "lines whose date falls outside the week they name; the named week counts",
        (),
        'SELECT count(*) FROM transactions WHERE "week" <> {week}',
    ),
    (
        "customers who were targeted but never bought",
        ("campaigns",),
        "SELECT count(DISTINCT customer_id) FROM campaigns ANTI JOIN transactions USING (customer_id)",
    ),
    (
        "redemptions by customers whom the campaign did not target; they count as redemptions, not as its success",
        ("campaigns", "redemptions"),
        "SELECT count(*) FROM redemptions ANTI JOIN campaigns USING (campaign_id, customer_id)",
    ),
    (
        "redemptions after their campaign ended",
        ("campaigns", "redemptions"),
        """SELECT count(*) FROM redemptions JOIN (
               SELECT campaign_id, max(end_date) AS end_date FROM campaigns GROUP BY ALL
           ) USING (campaign_id) WHERE CAST("date" AS DATE) > CAST(end_date AS DATE)""",
    ),
    (
        "redemptions outside the weeks of the transactions; the weekly events leave them out",
        ("redemptions",),
        "SELECT count(*) FROM redemptions WHERE {week} NOT BETWEEN {first} AND {last}",
    ),
    (
        "targetings whose campaign starts before the first week; running ones count as contact in that week",
        ("campaigns",),
        "SELECT count(*) FROM campaigns WHERE {start_week} < {first}",
    ),
    (
        "targetings whose campaign ends after the last week; their redemptions are not all known",
        ("campaigns",),
        "SELECT count(*) FROM campaigns WHERE {end_week} > {last}",
    ),
    (
        "repeated rows of the coupons table; a coupon's product counts once",
        ("coupons",),
        "SELECT count(*) - count(DISTINCT (coupon_id, campaign_id, product_id)) FROM coupons",
    ),
)


def find_oddities(connection: duckdb.DuckDBPyConnection, mapping: Mapping, calendar: Calendar) -> tuple[str, ...]:
    """Return a sentence for each oddity that occurs, led by its number of rows."""
    terms = {
        "week": calendar.week_of('"date"'),
        "start_week": calendar.week_of("start_date"),
        "end_week": calendar.week_of("end_date"),
        "first": calendar.first,
        "last": calendar.last,
    }
    counted = (
        (one_row(connection, sql.format(**terms))[0], text)
        for text, tables, sql in _ODDITIES
        if set(tables) <= set(mapping.tables)
    )
    return (*(f"{count:,} {text}" for count, text in counted if count), *_partial_weeks(connection, calendar))


def missing_tables(mapping: Mapping) -> dict[str, str]:
    """Return what the absence of each unmapped table costs."""
    return {name: table.cost for name, table in TABLES.items() if table.cost and name not in mapping.tables}


def totals(connection: duckdb.DuckDBPyConnection) -> dict[str, float]:
    """Return customers, baskets, lines, spend [currency], targetings and redemptions of the accepted tables."""
    return dict(zip(_TOTALS, one_row(connection, f"SELECT {', '.join(_TOTALS.values())}"), strict=True))


def _partial_weeks(connection: duckdb.DuckDBPyConnection, calendar: Calendar) -> list[str]:
    """Name the first and the last week where they hold fewer than 7 days with transactions."""
    days = """SELECT count(DISTINCT CAST("date" AS DATE)) FROM transactions WHERE "week" = {} AND "date" IS NOT NULL"""
    found = {week: one_row(connection, days.format(week))[0] for week in sorted({calendar.first, calendar.last})}
    return [f"week {week} is partial: it has transactions on {n} of 7 days" for week, n in found.items() if 0 < n < 7]
