"""Checks that need more than one row: keys, and ids that point to another table."""

from typing import Final

import duckdb

from history.mapping import Mapping, TableFile
from history.sql import literal, quoted

_REPEATED: Final = """
SELECT "row" FROM (
    SELECT "row", row_number() OVER (PARTITION BY {key} ORDER BY "row") AS nth
    FROM checked_{name} SEMI JOIN (
        SELECT {key} FROM checked_{name} WHERE reason IS NULL GROUP BY ALL HAVING count(*) > 1
    ) AS repeated ON {same} WHERE reason IS NULL
) WHERE nth > 1
"""
_UNDESCRIBED: Final = """
SELECT "row" FROM checked_campaigns
ANTI JOIN (FROM checked_campaign_descriptions WHERE reason IS NULL) AS described USING (campaign_id)
"""
_UNKNOWN_CAMPAIGN: Final = 'SELECT "row" FROM checked_redemptions ANTI JOIN campaigns USING (campaign_id)'
_UNKNOWN_CUSTOMER: Final = 'SELECT "row" FROM checked_redemptions ANTI JOIN customer_index USING (customer_id)'
_TOO_EARLY: Final = """
SELECT "row" FROM checked_redemptions
JOIN (SELECT campaign_id, min(start_date) AS start_date FROM campaigns GROUP BY ALL) USING (campaign_id)
WHERE CAST("date" AS DATE) < CAST(start_date AS DATE)
"""
_CUSTOMERS: Final = """
CREATE TEMP TABLE customer_index AS
SELECT customer_id, CAST(row_number() OVER (ORDER BY CAST(customer_id AS VARCHAR)) - 1 AS INTEGER) AS customer
FROM (
    SELECT customer_id FROM transactions UNION SELECT customer_id FROM campaigns UNION SELECT customer_id FROM decisions
)
"""


def reject_repeated(connection: duckdb.DuckDBPyConnection, source: TableFile) -> None:
    """Set aside every row but the first that has the same key."""
    key = [quoted(name) for name in source.table.key if name in source.columns]
    if not source.table.key:
        return
    same = " AND ".join(f"checked_{source.table.name}.{k} IS NOT DISTINCT FROM repeated.{k}" for k in key)
    rows = _REPEATED.format(name=source.table.name, key=", ".join(key), same=same)
    unquoted = ", ".join(name for name in source.table.key if name in source.columns)
    _reject(connection, source.table.name, rows, f"{unquoted} repeated")


def reject_undescribed(connection: duckdb.DuckDBPyConnection, mapping: Mapping) -> None:
    """Set aside campaign rows whose campaign has no description and so no dates."""
    if "campaign_descriptions" in mapping.tables:
        _reject(connection, "campaigns", _UNDESCRIBED, "campaign_id is in no campaign description")


def index_customers(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `customer_index`: all who bought, were targeted or were decided for, in the order of their ids as text."""
    connection.execute(_CUSTOMERS)


def reject_redemptions(connection: duckdb.DuckDBPyConnection, mapping: Mapping) -> None:
    """Set aside redemptions that point nowhere or come before their campaign."""
    if "redemptions" in mapping.tables:
        _reject(connection, "redemptions", _UNKNOWN_CAMPAIGN, "campaign_id is in no campaign")
        _reject(connection, "redemptions", _UNKNOWN_CUSTOMER, "customer_id neither bought nor was targeted")
        _reject(connection, "redemptions", _TOO_EARLY, "redeemed before its campaign started")


def _reject(connection: duckdb.DuckDBPyConnection, name: str, rows: str, reason: str) -> None:
    connection.execute(
        f'UPDATE checked_{name} SET reason = {literal(reason)} WHERE reason IS NULL AND "row" IN ({rows})'
    )
