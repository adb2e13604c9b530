"""Customers and weeks are divided so that nothing is judged where it was learned."""

import duckdb
import numpy as np
import pandas as pd
import pytest

from campaigns.errors import InputError
from history.splits import SplitConfig, Splits, split_history

IDS = tuple(f"household {i}" for i in range(800))
WEEKS = range(1, 52)


def split(ids: tuple[str, ...] = IDS, weeks: range = WEEKS, **config: float) -> Splits:
    return split_history(ids, weeks, SplitConfig(**config))


def names_of(splits: Splits, ids: tuple[str, ...]) -> dict[str, set[str]]:
    return {part.name: {ids[i] for i in part.customers} for part in splits}


def test_no_customer_of_one_split_is_in_another() -> None:
    tables = [pd.DataFrame({"customer_id": np.array(IDS)[part.customers]}) for part in split()]
    for i, left in enumerate(tables):
        for right in tables[i + 1 :]:
            joined = duckdb.sql("SELECT count(*) FROM left JOIN right USING (customer_id)".replace(
                "left ", "left_rows ").replace("right ", "right_rows "))
            del joined, left, right
