"""What the table would be at other budgets: `policy_by_budget.parquet` and the manifest's `budgets`.

The file has one row per budget and customer, budgets in ascending order and customers as in `policy_by_customer`; the
rows of one budget are one row group:

    customer_id   text
    step          number of the budget, 0 to 10, int8
    offer         name in the catalog
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from numpy.typing import NDArray

from campaigns.errors import InputError
from campaigns.offers import Catalog

BY_BUDGET: Final = "policy_by_budget.parquet"
STEPS: Final = 11
PUBLISHED: Final = 5
"""The step of the published budget; step k is k/5 of it."""
COLUMNS: Final = ("customer_id", "step", "offer")
BUDGET_KEYS: Final = (
    "step",
    "published",
    "per_customer_week",
    "campaign",
    "price",
    "met",
    "cost",
    "uplift",
    "offers",
)
_SCHEMA: Final = pa.schema(
    [
        pa.field("customer_id", pa.string(), nullable=False),
        pa.field("step", pa.int8(), nullable=False),
        pa.field("offer", pa.string(), nullable=False),
    ]
)


def budget_rows(catalog: Catalog, customer_ids: "pd.Series[str]", offers: NDArray[np.int64]) -> pd.DataFrame:
    """Build the rows of `policy_by_budget`.

    Args:
        catalog: Names the offers.
        customer_ids: Shape (n,), in any order.
        offers: Index of the offer of each customer at each budget, shape (STEPS, n).
    """
    order = np.argsort(customer_ids.to_numpy(), kind="stable")
    names = np.array(catalog.names)[offers[:, order]]
    return pd.DataFrame(
        {
            "customer_id": pd.Series(np.tile(customer_ids.to_numpy()[order], STEPS), dtype="str"),
            "step": np.repeat(np.arange(STEPS, dtype=np.int8), len(order)),
            "offer": pd.Series(names.ravel(), dtype="str"),
        }
    )


def count_offers(catalog: Catalog, offers: NDArray[np.int64]) -> dict[str, int]:
    """Return how many customers get each offer of the catalog, "no offer" among them."""
    return dict(zip(catalog.names, np.bincount(offers, minlength=catalog.n).tolist(), strict=True))


def write_by_budget(path: Path, rows: pd.DataFrame) -> None:
    """Write the rows, those of one budget as one row group."""
    table = pa.Table.from_pandas(rows, schema=_SCHEMA, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(table, path, compression="zstd", row_group_size=len(rows) // STEPS)


def read_by_budget(path: Path) -> pd.DataFrame:
    rows: pd.DataFrame = pq.read_table(path).to_pandas()
    return rows


def read_step(path: Path, step: int) -> pd.DataFrame:
    """Return customer_id and offer of the table that one budget would give."""
    rows: pd.DataFrame = pq.ParquetFile(path).read_row_group(step, columns=["customer_id", "offer"]).to_pandas()
    return rows


def check_budgets(budgets: Any, price: Any) -> None:
    """Refuse figures of budgets that are not `STEPS` rows that rise from 0, or contradict themselves.

    Where there is no `policy_by_budget`, the published budget stands alone.

    Raises:
        InputError: See above; or the published budget's λ is not the `price` of the table.
    """
    if not isinstance(budgets, Sequence) or len(budgets) not in (1, STEPS):
        raise InputError(
            f"policy manifest: 'budgets' are not {STEPS}, nor the published one; a table without is not publishable"
        )
    first = PUBLISHED if len(budgets) == 1 else 0
    for place, row in enumerate(budgets):
        i = first + place
        missing = [key for key in BUDGET_KEYS if not isinstance(row, Mapping) or row.get(key) is None]
        if missing:
            raise InputError(
                f"policy manifest: 'budgets[{place}].{missing[0]}' is missing; the table is not publishable"
            )
        if row["step"] != i or row["published"] != (i == PUBLISHED):
            raise InputError(
                f"policy manifest: budgets[{place}] is step {row['step']}; expected {i}, {PUBLISHED} published"
            )
        for name in ("cost", "uplift"):
            value = row[name]
            if not value["lo"] <= value["value"] <= value["hi"]:
                raise InputError(f"policy manifest: budgets[{place}].{name} is {value}; expected lo <= value <= hi")
    amounts = [row["per_customer_week"] for row in budgets]
    if (first == 0 and amounts[0] != 0) or any(low >= high for low, high in pairwise(amounts)):
        raise InputError(f"policy manifest: budgets are {amounts}; expected them to rise from 0")
    found = budgets[PUBLISHED - first]["price"]
    if found != price:
        raise InputError(
            f"policy manifest: budgets[{PUBLISHED - first}] has price {found}, 'budget' has {price}; expected one"
        )


def check_rows(
    rows: pd.DataFrame, customers: pd.DataFrame, catalog: Catalog, budgets: Sequence[Mapping[str, Any]]
) -> None:
    """Refuse rows that are not those of these customers, this catalog and these figures.

    Raises:
        InputError: See above; or the published budget's offers are not the table's.
    """
    n = len(customers)
    if len(budgets) != STEPS:
        raise InputError(f"policy by budget: 'budgets' are {len(budgets)}; expected {STEPS}, one for each step")
    if tuple(rows.columns) != COLUMNS or len(rows) != STEPS * n:
        raise InputError(
            f"policy by budget: {len(rows)} rows of {', '.join(rows.columns)}; expected {', '.join(COLUMNS)} of "
            f"{STEPS} x {n} rows"
        )
    ids = customers["customer_id"].to_numpy()
    if not (rows["customer_id"].to_numpy().reshape(STEPS, n) == ids).all():
        raise InputError("policy by budget: customers are not those of the table in the same order at every budget")
    if not (rows["step"].to_numpy().reshape(STEPS, n) == np.arange(STEPS)[:, None]).all():
        raise InputError(f"policy by budget: steps are not 0 to {STEPS - 1}, each for all customers")
    offer = pd.Index(catalog.names).get_indexer(pd.Index(rows["offer"])).reshape(STEPS, n)
    if (offer < 0).any():
        raise InputError(f"policy by budget: an offer is not in the catalog; expected {', '.join(catalog.names)}")
    for step, figures in enumerate(budgets):
        counted = count_offers(catalog, offer[step])
        if counted != figures["offers"]:
            raise InputError(f"policy by budget: step {step} gives {counted}; 'budgets' say {dict(figures['offers'])}")
    if not (rows["offer"].to_numpy().reshape(STEPS, n)[PUBLISHED] == customers["offer"].to_numpy()).all():
        raise InputError(
            f"policy by budget: step {PUBLISHED} is not what the table gives; draw both under the same key"
        )
