"""What the shop showed and cut in price, seen from each customer's usual products, and what coupons covered.

Usual products are those of the first weeks, with the weights they had there, so that later purchases of the customer
move nothing: what is left is the shop's doing. A price cut is read from what other customers paid for the product in
that store and week; where nobody else bought it, it is missing, not zero.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import duckdb
import pandas as pd

from history.artifacts import read_table, write_table
from history.calendar import Calendar

USUAL_WEEKS: Final = 12
"""Weeks at the start whose purchases say what is usual; exposure is given after them."""
MOST_CUSTOMERS: Final = 10_000
"""Most customers that exposures are written for; of a bigger shop every k-th."""

_USUAL: Final = """
CREATE OR REPLACE TEMP TABLE usual_lines AS
SELECT customer, pair, coalesce(position, {other}) AS position, count(*) AS lines
FROM lines JOIN bought USING (product_id, store_id)
LEFT JOIN (
    SELECT product_id, position FROM products JOIN chosen
    ON products.category = chosen.category AND products.department IS NOT DISTINCT FROM chosen.department
) USING (product_id)
WHERE slot < {usual} AND customer % {every} = 0 GROUP BY ALL
"""
_PAID: Final = """
CREATE OR REPLACE TEMP TABLE paid AS
SELECT pair, slot, sum(cents + cut_cents)::BIGINT AS gross, sum(cut_cents)::BIGINT AS cut
FROM lines JOIN bought USING (product_id, store_id)
WHERE slot >= {usual} AND pair IN (SELECT pair FROM usual_lines) GROUP BY ALL
"""
_OWN: Final = """
CREATE OR REPLACE TEMP TABLE own AS
SELECT customer, pair, slot, sum(cents + cut_cents)::BIGINT AS gross, sum(cut_cents)::BIGINT AS cut
FROM lines JOIN bought USING (product_id, store_id) SEMI JOIN usual_lines USING (customer, pair)
WHERE slot >= {usual} GROUP BY ALL
"""
# Sums of whole numbers and sorted rows: floats added in the order of threads would differ from run to run.
_SHELF: Final = """
WITH seen AS (
    SELECT customer, position, u.lines, paid.slot, paid.gross - coalesce(own.gross, 0) AS gross,
           paid.cut - coalesce(own.cut, 0) AS cut
    FROM usual_lines AS u JOIN paid USING (pair) LEFT JOIN own USING (customer, pair, slot)
), cuts AS (
    SELECT customer, position, slot, sum(lines)::BIGINT AS seen_lines,
           sum(lines * round(1e6 * cut / gross)::BIGINT)::BIGINT AS cut_lines
    FROM seen WHERE gross > 0 GROUP BY ALL
), displays AS (
    SELECT customer, position, shown.slot, sum(lines)::BIGINT AS shown_lines
    FROM usual_lines JOIN shown USING (pair) WHERE shown.slot >= {usual} GROUP BY ALL
), totals AS (
    SELECT customer, position, sum(lines)::BIGINT AS lines FROM usual_lines GROUP BY ALL
)
SELECT customer::INTEGER AS customer, slot::INTEGER AS slot, position::INTEGER AS position, lines,
       coalesce(shown_lines, 0) / lines AS shown, cut_lines / 1e6 / seen_lines AS depth
FROM totals CROSS JOIN (SELECT unnest(range({usual}, {weeks})) AS slot)
LEFT JOIN displays USING (customer, position, slot) LEFT JOIN cuts USING (customer, position, slot)
ORDER BY customer, slot, position
"""
_DEPARTMENTS: Final = """
SELECT customer::INTEGER AS customer, slot::INTEGER AS slot, coalesce(department, '') AS department,
       sum(cents) / 100 AS spend, sum(cut_cents) / 100 AS cut
FROM lines LEFT JOIN products USING (product_id)
WHERE customer % {every} = 0 GROUP BY ALL ORDER BY customer, slot, department
"""
_COVERED: Final = """
SELECT CAST(campaign_id AS VARCHAR) AS campaign_id, coalesce(department, '') AS department,
       count(DISTINCT product_id) AS products
FROM coupons JOIN products USING (product_id) GROUP BY ALL ORDER BY campaign_id, department
"""


@dataclass(frozen=True, eq=False)
class Exposures:
    """Weekly exposure and spend of at most `MOST_CUSTOMERS` customers, as long tables.

    Attributes:
        shelf: Per customer, slot (position of the week, from `USUAL_WEEKS` on) and position (of a category in which
            the customer has usual products): lines (bought in the first weeks), shown (share of them on display or in
            the mailer, 0..1), depth (mean price cut as a share of the full price, paid by others; missing where nobody
            else bought).
        departments: Per customer, slot and department: spend, cut (saved by price cuts) [currency].
        covered: Per campaign_id and department: products for which the campaign had a coupon.
    """

    shelf: pd.DataFrame
    departments: pd.DataFrame
    covered: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Write shelf.parquet, departments.parquet and covered.parquet into `folder`."""
        for entry in fields(self):
            write_table(folder / f"{entry.name}.parquet", getattr(self, entry.name))


def sample_step(customers: int) -> int:
    """Return k where exposures hold every k-th customer of a shop: those whose position it divides."""
    return max(-(-customers // MOST_CUSTOMERS), 1)


def read_exposures(connection: duckdb.DuckDBPyConnection, calendar: Calendar, n_categories: int) -> Exposures:
    """Aggregate exposures on a connection on which `weekly_events` has made `lines`, `bought`, `shown` and `chosen`.

    Args:
        connection: Holds the accepted tables and those of `weekly_events`.
        calendar: Weeks of the history.
        n_categories: Categories of the weekly events, "other" included.
    """
    (customers,) = connection.execute("SELECT count(*) FROM customer_index").fetchall()[0]
    terms = {
        "usual": USUAL_WEEKS,
        "every": sample_step(customers),
        "other": n_categories - 1,
        "weeks": max(calendar.n_weeks, USUAL_WEEKS),
    }
    for sql in (_USUAL, _PAID, _OWN):
        connection.execute(sql.format(**terms))
    return Exposures(
        shelf=connection.execute(_SHELF.format(**terms)).df(),
        departments=connection.execute(_DEPARTMENTS.format(**terms)).df(),
        covered=connection.execute(_COVERED).df(),
    )


def load_exposures(folder: Path) -> Exposures:
    """Read what `Exposures.save` wrote.

    Raises:
        InputError: a file is missing or unreadable.
    """
    return Exposures(*(read_table(folder / f"{entry.name}.parquet", "prepare") for entry in fields(Exposures)))
