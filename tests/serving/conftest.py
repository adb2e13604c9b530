"""A small policy table over the default catalog."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campaigns.catalog import load_catalog
from campaigns.offers import Catalog
from serving.distillation import Decisions, distill
from serving.table import PolicyTable, customer_rows


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog(Path("conf/offers/default.yaml"))


@pytest.fixture
def decisions(catalog: Catalog) -> Decisions:
    """300 customers: coupon_2 after 4 weeks away, discount_20 for those who buy on promotion, nothing else."""
    rng = np.random.default_rng(5)
    features = pd.DataFrame(
        {
            "weeks_since_visit": rng.integers(0, 12, 300),
            "promo_share": rng.uniform(0, 1, 300).round(3),
            "spend_per_week_usd": rng.gamma(2, 20, 300).round(2),
        }
    )
    away, promo = features["weeks_since_visit"] >= 4, features["promo_share"] >= 0.3
    names = np.where(away, "coupon_2", np.where(promo, "discount_20", "none"))
    offer = np.array([catalog.index(name) for name in names], dtype=np.int64)
    gain = np.full((300, catalog.n), -0.5)
    gain[:, 0] = 0.0
    gain[np.arange(300), offer] = np.where(offer > 0, rng.uniform(0.2, 0.8, 300), 0.0)
    cost = np.where(np.arange(catalog.n) > 0, 0.25, 0.0) * np.ones((300, 1))
    return Decisions(features, offer, gain, cost)


@pytest.fixture
def manifest(catalog: Catalog) -> dict[str, Any]:
    return {
        "config": {"sha256": "c" * 64},
        "data": {"panel": "d" * 64},
        "catalog": catalog.to_dict(),
        "budget": {"per_customer_week_usd": 0.05, "price": 0.4, "cost": 0.049, "met": True},
        "values": {"uplift": {"value": 0.06, "lo": 0.01, "hi": 0.11}},
        "provenance": {"learned": 40, "assumed": 12},
        "git_commit": "0" * 40,
    }


@pytest.fixture
def build(catalog: Catalog, decisions: Decisions, manifest: dict[str, Any]) -> Callable[..., PolicyTable]:
    """Return a function that builds the table, with whole columns or manifest keys replaced."""
    segments = distill(decisions, catalog)
    rows = np.arange(decisions.n)
    uplift = decisions.gain[rows, decisions.offer]
    plain = pd.DataFrame(
        {
            "customer_id": [f"{i:04d}" for i in rows],
            "offer": decisions.offer,
            "category": "SOFT DRINKS",
            "uplift": uplift,
            "uplift_lo": uplift - 0.1,
            "uplift_hi": uplift + 0.1,
            "cost": decisions.cost[rows, decisions.offer],
            "segment": 1,
            "reason": "because it pays",
        }
    )

    def table(manifest_changes: dict[str, Any] | None = None, **columns: Any) -> PolicyTable:
        customers = customer_rows(catalog, plain, date(2018, 1, 1)).assign(**columns)
        return PolicyTable(customers, segments, manifest | (manifest_changes or {}))

    return table


@pytest.fixture
def with_gain(decisions: Decisions) -> Callable[..., Decisions]:
    return lambda **changes: replace(decisions, **changes)
