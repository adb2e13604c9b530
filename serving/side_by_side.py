"""Two versions' rows side by side, some at a time: both are sorted by customer, so that neither is held as a whole."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from serving.parts import CUSTOMERS_PARQUET, parts_of

CODED: Final = ["offer", "promoted_category"]
"""Columns that are read as categories, which is fast."""
BATCH: Final = 1 << 18
"""Rows of a version that are held in memory at a time."""


def read_rows(folder: Path, manifest: Mapping[str, Any]) -> Iterator[pd.DataFrame]:
    """Yield customer_id, offer, promoted_category, cost and uplift [currency], customers in ascending order.

    What is one file is read at once, and sorted: nobody checked that of earlier versions of the format.
    """
    code = manifest["catalog"]["currency"].lower()
    money = {f"expected_cost_{code}": "cost", f"expected_uplift_{code}": "uplift"}
    names = ["customer_id", *CODED, *money]
    parts = parts_of(manifest)
    if parts is None:
        rows = pq.read_table(folder / CUSTOMERS_PARQUET, columns=names, read_dictionary=CODED).to_pandas()
        yield in_order(rows.rename(columns=money))
        return
    for part in parts:
        with pq.ParquetFile(folder / part.file, read_dictionary=CODED) as file:
            for batch in file.iter_batches(BATCH, columns=names):
                yield batch.to_pandas().rename(columns=money)


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows, customers in ascending order."""
    if rows["customer_id"].is_monotonic_increasing:
        return rows
    return rows.sort_values("customer_id", ignore_index=True)


def aligned(one: Iterator[pd.DataFrame], other: Iterator[pd.DataFrame]) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield pieces of both that hold all rows of the same stretch of customers; a piece may be empty.

    Args:
        one, other: Rows in ascending order of `customer_id`, at least one in each.
    """
    sides = _Rows(one), _Rows(other)
    while True:
        ends = [side.last for side in sides if side.last is not None]
        if not ends:
            return
        left, right = (side.up_to(min(ends)) for side in sides)
        yield left, right


class _Rows:
    """Rows of one version that are still to come."""

    def __init__(self, pieces: Iterator[pd.DataFrame]) -> None:
        self._pieces = pieces
        self._held = next(pieces)

    @property
    def last(self) -> str | None:
        """The last customer that is held, None at the end."""
        return None if self._held.empty else str(self._held["customer_id"].iloc[-1])

    def up_to(self, last: str) -> pd.DataFrame:
        """Return what is held up to and with a customer, who is not after the last one that is held."""
        held = self._held
        if self.last is None or last == self.last:
            self._held = next((piece for piece in self._pieces if len(piece)), held.iloc[:0])
            return held
        place = int(np.searchsorted(held["customer_id"].to_numpy(dtype=object), last, side="right"))
        self._held = held.iloc[place:].reset_index(drop=True)
        return held.iloc[:place]
