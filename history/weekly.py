"""Weekly raw events of every customer, aggregated by SQL from the accepted tables; features are made elsewhere.

Money is summed as whole cents, so that the sums are exact and do not depend on the order in which threads add.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from history.calendar import Calendar
from history.events import WeeklyEvents

OTHER: Final = "other"
"""Name of the last category, which takes every product outside the chosen ones."""

_LINES: Final = """
CREATE OR REPLACE TEMP TABLE lines AS
SELECT customer, week - {first} AS slot, basket_id, product_id, store_id, retail_discount > 0 AS promoted,
       CAST(round(spend * 100) AS BIGINT) AS cents, CAST(round(retail_discount * 100) AS BIGINT) AS cut_cents,
       CAST(round(coupon_discount * 100) AS BIGINT) AS coupon_cents
FROM transactions JOIN customer_index USING (customer_id)
"""
_BASKETS: Final = """
SELECT customer, slot, count(DISTINCT basket_id) AS baskets, count(*) AS lines, sum(cents)::BIGINT AS spend,
       sum(if(promoted, cents, 0))::BIGINT AS promo_spend, sum(coupon_cents)::BIGINT AS saving
FROM lines GROUP BY customer, slot
"""
_REDEEMED: Final = """
SELECT customer, {week} - {first} AS slot, count(*) AS redeemed
FROM redemptions JOIN customer_index USING (customer_id)
WHERE {week} BETWEEN {first} AND {last} GROUP BY ALL
"""
# Whoever holds a campaign's coupons when the data begins was contacted, as far as the data can tell, in its first week.
_CONTACTED: Final = """
SELECT DISTINCT customer, greatest({week}, {first}) - {first} AS slot, 1 AS contacted
FROM campaigns JOIN customer_index USING (customer_id)
WHERE {week} <= {last} AND {end_week} >= {first}
"""
_BOUGHT: Final = """
CREATE OR REPLACE TEMP TABLE bought AS
SELECT product_id, store_id, CAST(row_number() OVER () AS INTEGER) AS pair
FROM (SELECT DISTINCT product_id, store_id FROM lines)
"""
_USUAL: Final = """
CREATE OR REPLACE TEMP TABLE usual AS
SELECT customer, pair, slot, count(*) AS lines FROM lines JOIN bought USING (product_id, store_id) GROUP BY ALL
"""
# Materialised, so that flags are read of products that somebody buys in that store, 1 row in 7 of the demo's.
_SHOWN: Final = """
CREATE OR REPLACE TEMP TABLE shown AS
WITH placed AS MATERIALIZED (
    SELECT pair, week, display OR mailer AS promoted FROM promotions JOIN bought USING (product_id, store_id)
)
SELECT DISTINCT pair, CAST(week - {first} AS INTEGER) AS slot FROM placed
WHERE promoted AND week BETWEEN {first} AND {last}
"""
_EXPOSED: Final = """
SELECT customer, shown.slot, sum(lines)::BIGINT AS exposed
FROM usual JOIN shown USING (pair) WHERE shown.slot > usual.slot GROUP BY ALL
"""
_TOP_CATEGORIES: Final = """
SELECT department, category FROM lines JOIN products USING (product_id)
WHERE slot <= $last_slot AND category IS NOT NULL AND customer IN (SELECT unnest($customers))
GROUP BY department, category ORDER BY sum(cents) DESC, category, department LIMIT $count
"""
_CATEGORY_SPEND: Final = """
SELECT customer, slot, coalesce(position, {other}) AS position, sum(cents)::BIGINT AS cents
FROM lines LEFT JOIN (
    SELECT product_id, position FROM products JOIN chosen
    ON products.category = chosen.category AND products.department IS NOT DISTINCT FROM chosen.department
) USING (product_id) GROUP BY ALL
"""


@dataclass(frozen=True)
class CategoryChoice:
    """What the categories may be chosen on, so that nothing leaks from held-out customers or weeks.

    Attributes:
        count: Most categories beside "other".
        last_week: Last week whose spend counts; None for all weeks.
        customers: Ids of the customers whose spend counts; None for all.
    """

    count: int = 24
    last_week: int | None = None
    customers: Sequence[str] | None = None


def weekly_events(connection: duckdb.DuckDBPyConnection, calendar: Calendar, choice: CategoryChoice) -> WeeklyEvents:
    """Aggregate the accepted tables of `connection` to one cell per customer and week.

    Args:
        connection: Holds the accepted tables `transactions`, `products`, `campaigns`, `redemptions`, `promotions`
            under their canonical columns, and `customer_index`.
        calendar: The weeks to fill.
        choice: How the categories are chosen.
    """
    week = {"first": calendar.first, "last": calendar.last}
    for sql in tqdm((_LINES, _BOUGHT, _USUAL, _SHOWN), desc="aggregate weeks", unit="step", disable=None):
        connection.execute(sql.format(**week))
    ids = customer_ids(connection)
    cells = _Cells(connection, (len(ids), calendar.n_weeks))
    bought = cells.read(_BASKETS, "baskets", "lines", "spend", "promo_spend", "saving")
    redeemed = cells.read(_REDEEMED.format(week=calendar.week_of('"date"'), **week), "redeemed")
    starts, ends = calendar.week_of("start_date"), calendar.week_of("end_date")
    contacted = cells.read(_CONTACTED.format(week=starts, end_week=ends, **week), "contacted")
    exposed = cells.read(_EXPOSED, "exposed")
    names, departments = _choose(connection, calendar, choice, ids)
    return WeeklyEvents(
        customer_ids=ids,
        weeks=np.arange(calendar.first, calendar.last + 1, dtype=np.int64),
        baskets=_float(bought["baskets"]),
        spend=_money(bought["spend"]),
        promo_spend=_money(bought["promo_spend"]),
        saving=_money(bought["saving"]),
        redeemed=_float(redeemed["redeemed"]),
        contacted=_float(contacted["contacted"]),
        exposure=_share_of_earlier(exposed["exposed"], bought["lines"]),
        category_spend=_category_spend(connection, (*cells.shape, len(names))),
        category_names=names,
        category_departments=departments,
    )


def customer_ids(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Return the ids of `customer_index` as text, in its order."""
    rows = connection.execute("SELECT CAST(customer_id AS VARCHAR) FROM customer_index ORDER BY customer").fetchall()
    return tuple(id_ for (id_,) in rows)


@dataclass(frozen=True, eq=False)
class _Cells:
    """Reads aggregates, one row per customer and slot, into dense int64 arrays of `shape`."""

    connection: duckdb.DuckDBPyConnection
    shape: tuple[int, int]

    def read(self, sql: str, *names: str) -> dict[str, NDArray[np.int64]]:
        rows = self.connection.execute(sql).fetchnumpy()
        dense = {name: np.zeros(self.shape, np.int64) for name in names}
        for name in names:
            dense[name][rows["customer"], rows["slot"]] = rows[name]
        return dense


def _choose(
    connection: duckdb.DuckDBPyConnection, calendar: Calendar, choice: CategoryChoice, ids: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Make the table `chosen` of the biggest categories; return all names and departments, "other" last."""
    last = calendar.last if choice.last_week is None else choice.last_week
    counted = set(ids) if choice.customers is None else set(choice.customers)
    customers = [index for index, id_ in enumerate(ids) if id_ in counted]
    values = {"last_slot": last - calendar.first, "customers": customers, "count": choice.count}
    rows: list[tuple[Any, ...]] = connection.execute(_TOP_CATEGORIES, values).fetchall()
    connection.execute("CREATE OR REPLACE TEMP TABLE chosen (department VARCHAR, category VARCHAR, position INTEGER)")
    if rows:
        connection.executemany("INSERT INTO chosen VALUES (?, ?, ?)", [(*row, i) for i, row in enumerate(rows)])
    return (*_distinct_names(rows), OTHER), (*(department or "" for department, _ in rows), "")


def _distinct_names(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    """Return the category names; a name that several departments use carries its department in brackets."""
    names = [category for _, category in rows]
    return [
        f"{category} ({department or 'no department'})" if names.count(category) > 1 or category == OTHER else category
        for department, category in rows
    ]


def _category_spend(connection: duckdb.DuckDBPyConnection, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    rows = connection.execute(_CATEGORY_SPEND.format(other=shape[2] - 1)).fetchnumpy()
    cents = np.zeros(shape, np.int64)
    cents[rows["customer"], rows["slot"], rows["position"]] = rows["cents"]
    return _money(cents)


def _share_of_earlier(exposed: NDArray[np.int64], lines: NDArray[np.int64]) -> NDArray[np.float32]:
    earlier = lines.cumsum(axis=1) - lines
    return _float(exposed / np.maximum(earlier, 1))


def _money(cents: NDArray[np.int64]) -> NDArray[np.float32]:
    return _float(cents / 100.0)


def _float(values: NDArray[Any]) -> NDArray[np.float32]:
    return values.astype(np.float32)
