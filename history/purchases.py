"""What was bought: lines and spend per customer, week and product, and what is known of each product.

A line is one product in one basket. Money is kept as whole cents, as in `history.weekly`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campaigns.errors import InputError
from history.artifacts import write_table

ATTRIBUTES: Final = ("department", "category", "brand", "name", "package")
"""Text columns of a product; "" where unknown or not mapped."""

_COUNTS: Final = ("customer", "week", "product", "lines", "cents")
_CODED: Final = """
CREATE OR REPLACE TEMP TABLE coded AS
SELECT product_id, CAST(row_number() OVER (ORDER BY CAST(product_id AS VARCHAR)) - 1 AS INTEGER) AS product
FROM (SELECT DISTINCT product_id FROM lines)
"""
# By week first: whoever adds up week by week then gets the same bits as whoever reads all weeks at once.
_PURCHASES: Final = """
SELECT CAST(customer AS INTEGER) AS customer, CAST(slot AS INTEGER) AS week, product,
       CAST(count(*) AS INTEGER) AS lines, CAST(sum(cents) AS BIGINT) AS cents
FROM lines JOIN coded USING (product_id) GROUP BY ALL ORDER BY week, customer, product
"""
_PRODUCTS: Final = """
SELECT CAST(product_id AS VARCHAR) AS product_id, {attributes},
       CAST(coalesce(chosen.position, {other}) AS INTEGER) AS position
FROM coded LEFT JOIN products AS p USING (product_id) LEFT JOIN chosen
ON p.category = chosen.category AND p.department IS NOT DISTINCT FROM chosen.department ORDER BY product
"""


@dataclass(frozen=True, eq=False)
class Purchases:
    """Purchases of n customers, one row per customer, week and product, sorted by week, customer, product.

    Attributes:
        customer: Position in the panel, shape (rows,), int64.
        week: Position of the week, shape (rows,), int64.
        product: Row of `products`, shape (rows,), int64.
        lines: Baskets' lines with the product, shape (rows,), int64.
        cents: Spend [hundredths of the currency], shape (rows,), int64.
        products: One row per product that was ever bought: product_id, `ATTRIBUTES`, position (of its category among
            those of `WeeklyEvents`, the last one "other").
    """

    customer: NDArray[np.int64]
    week: NDArray[np.int64]
    product: NDArray[np.int64]
    lines: NDArray[np.int64]
    cents: NDArray[np.int64]
    products: pd.DataFrame

    @property
    def n_products(self) -> int:
        return len(self.products)

    @property
    def described(self) -> bool:
        """Whether any product has an attribute."""
        return bool((self.products[list(ATTRIBUTES)] != "").to_numpy().any())

    def where(self, rows: NDArray[np.bool_]) -> "Purchases":
        """Keep the rows flagged, shape (rows,); the products stay."""
        return Purchases(**{name: getattr(self, name)[rows] for name in _COUNTS}, products=self.products)

    def before(self, week: int) -> "Purchases":
        """Keep the weeks before the one at a position."""
        return self.between(0, week)

    def between(self, start: int, stop: int) -> "Purchases":
        """Keep the weeks at positions start to stop - 1."""
        first, last = np.searchsorted(self.week, [start, stop])
        rows = slice(int(first), int(last))
        return Purchases(**{name: getattr(self, name)[rows] for name in _COUNTS}, products=self.products)

    def save(self, folder: Path) -> None:
        """Write purchases.parquet and products.parquet into `folder`."""
        counts = pd.DataFrame({name: getattr(self, name).astype(np.int32) for name in _COUNTS[:4]})
        counts = counts.assign(cents=self.cents)
        write_table(folder / "purchases.parquet", counts)
        write_table(folder / "products.parquet", self.products)


def read_purchases(connection: duckdb.DuckDBPyConnection, n_categories: int) -> Purchases:
    """Aggregate the accepted lines to one row per customer, week and product.

    Args:
        connection: Holds `lines` and `chosen`, as `history.weekly.weekly_events` left them, and `products`.
        n_categories: Number of categories, "other" included.
    """
    attributes = ", ".join(f"coalesce(p.{name}, '') AS {name}" for name in ATTRIBUTES)
    connection.execute(_CODED)
    counts = connection.execute(_PURCHASES).fetchnumpy()
    products = connection.execute(_PRODUCTS.format(attributes=attributes, other=n_categories - 1)).df()
    columns: dict[str, Any] = {name: counts[name].astype(np.int64) for name in _COUNTS}
    return Purchases(**columns, products=products)


def load_purchases(folder: Path) -> Purchases:
    """Read what `Purchases.save` wrote.

    Raises:
        InputError: A file is missing, unreadable or not of the other's making.
    """
    try:
        counts = pd.read_parquet(folder / "purchases.parquet")
        products = pd.read_parquet(folder / "products.parquet")
        columns: dict[str, Any] = {name: counts[name].to_numpy(np.int64) for name in _COUNTS}
        products = products[["product_id", *ATTRIBUTES, "position"]]
    except (FileNotFoundError, KeyError):
        raise InputError(
            f"{folder}: purchases.parquet or products.parquet is missing or of another version; run prepare again"
        ) from None
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise InputError(f"{folder}: purchases not readable as Parquet ({error}); run prepare again") from None
    if len(counts) and int(columns["product"].max()) >= len(products):
        raise InputError(f"{folder / 'products.parquet'}: fewer products than were bought; run prepare again")
    return Purchases(**columns, products=products)
