"""What was offered to whom in past campaigns, who redeemed it, and what it was worth."""

from typing import Final

import duckdb
import pandas as pd

from history.calendar import Calendar
from history.quality import CouponValues
from history.sql import one_row

_TARGETING: Final = """
WITH redeemed AS (
    SELECT customer_id, campaign_id, count(*) AS n_redeemed, min({redeem_week}) AS first_redeem_week
    FROM redemptions GROUP BY ALL
), offered AS (
    SELECT campaign_id, count(DISTINCT coupon_id) AS n_coupons FROM coupons GROUP BY ALL
)
SELECT customer, CAST(customer_id AS VARCHAR) AS customer_id, CAST(campaign_id AS VARCHAR) AS campaign_id,
       campaign_type, coalesce(offer, '') AS offer, {start_week} AS start_week, {end_week} AS end_week,
       {end_week} - {start_week} + 1 AS duration_weeks, coalesce(n_coupons, 0) AS n_coupons,
       coalesce(n_redeemed, 0) AS n_redeemed, n_redeemed IS NOT NULL AS redeemed, first_redeem_week,
       {end_week} > {last} AS censored
FROM campaigns JOIN customer_index USING (customer_id)
LEFT JOIN redeemed USING (customer_id, campaign_id) LEFT JOIN offered USING (campaign_id)
ORDER BY customer, start_week, CAST(campaign_id AS VARCHAR)
"""
# Several coupons may cover one line: each redemption then counts it, as the data do not say which one paid.
_COUPON_LINES: Final = """
CREATE OR REPLACE TEMP TABLE coupon_lines AS
SELECT r.customer_id, r.coupon_id, r.campaign_id, CAST(r."date" AS DATE) AS day,
       round(t.coupon_discount * 100) / t.quantity AS cents
FROM redemptions AS r
JOIN (SELECT DISTINCT coupon_id, campaign_id, product_id FROM coupons) AS c USING (coupon_id, campaign_id)
JOIN transactions AS t ON t.customer_id = r.customer_id AND t.product_id = c.product_id
    AND CAST(t."date" AS DATE) = CAST(r."date" AS DATE)
WHERE t.coupon_discount > 0 AND t.quantity > 0
"""
_QUARTILES: Final = """
SELECT count(*), count(DISTINCT (customer_id, coupon_id, campaign_id, day)),
       quantile_cont(cents / 100, 0.25), median(cents / 100), quantile_cont(cents / 100, 0.75)
FROM coupon_lines
"""


def targeting(connection: duckdb.DuckDBPyConnection, calendar: Calendar) -> pd.DataFrame:
    """Return one row per customer and campaign, ordered by customer, start and campaign.

    Columns: customer (row of `WeeklyEvents`), customer_id, campaign_id, campaign_type, offer (name of the
    catalog's offer that it made, "" where not told), start_week and end_week (may lie outside the data),
    duration_weeks, n_coupons of the campaign, n_redeemed, redeemed, first_redeem_week (missing where nothing was
    redeemed), censored (the campaign ends after the data, so that later redemptions are not known).
    """
    weeks = {name: calendar.week_of(f"{name}_date") for name in ("start", "end")}
    sql = _TARGETING.format(
        redeem_week=calendar.week_of('"date"'), start_week=weeks["start"], end_week=weeks["end"], last=calendar.last
    )
    table: pd.DataFrame = connection.execute(sql).df()
    return table.astype({"first_redeem_week": "Int64"})


def coupon_values(connection: duckdb.DuckDBPyConnection) -> CouponValues:
    """Estimate the value of logged coupons from the accepted tables."""
    connection.execute(_COUPON_LINES)
    lines, matched, *quartiles = one_row(connection, _QUARTILES)
    (redemptions,) = one_row(connection, "SELECT count(*) FROM redemptions")
    return CouponValues(redemptions, matched, lines, tuple(float(q) for q in quartiles) if lines else ())
