"""Persons with keys, and small published tables that differ, for tests of the store."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from serving.by_budget import PUBLISHED
from serving.keys import Role, SigningKey, Trusted
from serving.publishing import publish
from serving.store import Store
from serving.table import PolicyTable

ANA, BO, CY = (SigningKey.generate(name) for name in ("ana", "bo", "cy"))
"""Ana publishes, Bo approves and rolls back, Cy is a stranger."""
TRUSTED = Trusted.of(ANA.trusted([Role.PUBLISH]), BO.trusted([Role.APPROVE, Role.ROLLBACK]))


def open_store(root: Path, **settings: object) -> Store:
    return Store(root, TRUSTED, clock=lambda: "2018-01-01T08:00:00Z", **settings)  # type: ignore[arg-type]


def without_offer(table: PolicyTable, customers: int) -> PolicyTable:
    """Return the table, the first so many of those with an offer left without one, as a careful marketer would."""
    rows = table.customers.copy()
    given = rows.index[rows["offer"] != "none"][:customers]
    rows.loc[given, ["offer", "offer_label", "promoted_category", "promoted_items"]] = ("none", "no offer", "", "")
    money = [name for name in rows.columns if name.startswith("expected_")]
    rows.loc[given, money] = 0.0
    weights = [name for name in rows.columns if name.startswith("weight_")]
    rows.loc[given, weights] = 0.0
    rows.loc[given, ["weight_none", "pscore"]] = 1.0
    rows.loc[given, "bound"] = "price"
    rows.loc[given, "valid_to"] = rows.loc[given, "valid_from"] + pd.Timedelta(days=6)
    return with_rows(table, rows)


def with_rows(table: PolicyTable, rows: pd.DataFrame) -> PolicyTable:
    """Return the table with other rows for its customers, and whatever else says how many get which offer."""
    given = rows["offer"] != "none"
    arms = [
        {**arm, "offers": int((given & (rows["arm"] == arm["name"])).sum())} for arm in table.manifest["arms"]["arms"]
    ]
    counts = rows["offer"].value_counts()
    budgets = [dict(row) for row in table.manifest["budgets"]]
    budgets[PUBLISHED]["offers"] = {name: int(counts.get(name, 0)) for name in table.catalog.names}
    others = table.by_budget.copy()
    others.loc[others["step"] == PUBLISHED, "offer"] = rows["offer"].to_numpy()
    changes = {"arms": {**table.manifest["arms"], "arms": arms}, "budgets": budgets}
    return replace(table, customers=rows, by_budget=others, manifest={**table.manifest, **changes})


def export(table: PolicyTable, folder: Path) -> Path:
    """Write the table as a run's policy folder; return it."""
    publish(table, folder)
    return folder


def changed(build: Callable[..., PolicyTable], folder: Path, customers: int) -> Path:
    """Export a table in which so many customers get none instead of an offer."""
    return export(without_offer(build(), customers), folder)


def ids(customers: int) -> np.ndarray:
    return np.char.add("customer-", np.arange(customers).astype(str))
