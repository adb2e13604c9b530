"""Who the customers of each segment are: for description and fairness checks, never an input of a policy."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

SMALLEST = 20
"""Customers below which a cell is merged into "other" or hidden: small cells name people."""
IDENTITY = ("customer", "customer_id")
_Z = float(norm.ppf(0.975))


def describe_demographics(customers: pd.DataFrame, segment: "pd.Series[str]") -> list[dict[str, Any]]:
    """Return for each demographic column, each of its values and each segment the share with its 95 % interval.

    Customers whose value is unknown are left out. A cell below 20 customers has no count and no share, and so has a
    second one wherever a hidden one could be worked out from the rest of its value or segment.

    Args:
        customers: One row per customer; every column beside the ids is a demographic.
        segment: Name of each customer's segment, in the same order.
    """
    rows: list[dict[str, Any]] = []
    for column in (name for name in customers.columns if name not in IDENTITY):
        known = customers[column].notna().to_numpy()
        values = _merge_rare(customers.loc[known, column].astype(str))
        if values.nunique() > 1:
            counts = pd.crosstab(values, segment[known].to_numpy()).sort_index()
            rows += [_cell(column, str(value), str(name), counts) for value in counts.index for name in counts.columns]
    return rows


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share.

    Reference:
        Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927.
    """
    share = hits / n
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    reach = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return max(float(middle - reach), 0.0), min(float(middle + reach), 1.0)


def _merge_rare(values: "pd.Series[str]") -> "pd.Series[str]":
    count = values.map(values.value_counts())
    return values.where(count >= SMALLEST, "other")


def _cell(column: str, value: str, name: str, counts: pd.DataFrame) -> dict[str, Any]:
    cell: dict[str, Any] = {"column": column, "value": value, "segment": name, "of": None, "customers": None}
    if not _shown(counts).loc[value, name]:
        return cell | {"share": None, "lo": None, "hi": None}
    hits, n = int(counts[name].to_numpy()[counts.index.get_loc(value)]), int(counts[name].sum())
    lo, hi = wilson_interval(hits, n)
    return cell | {"customers": hits, "of": n, "share": hits / n, "lo": lo, "hi": hi}


def _shown(counts: pd.DataFrame) -> pd.DataFrame:
    """Return which cells may be shown: where a row or column hides one alone, its smallest other is hidden with it."""
    shown = counts >= SMALLEST
    while True:
        before = shown.copy()
        for table, cells in ((shown, counts), (shown.T, counts.T)):
            for name in table.index[(~table).sum(axis=1) == 1]:
                open_cells = table.columns[table.loc[name]]
                if len(open_cells):
                    also = cells.loc[name, open_cells].idxmin()
                    row, column = (name, also) if table is shown else (also, name)
                    shown.loc[row, column] = False
        if shown.equals(before):
            return shown
