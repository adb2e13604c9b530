"""A policy folder with as many customers as asked, written straight away: what a look-up needs and no more."""

import json
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from campaigns.catalog import load_catalog
from campaigns.offers import Catalog, Scope
from experiments.main import CONF
from serving.arms import GRAIN, Arm, ArmsConfig
from serving.lookup import LOOKUP, write_lookup
from serving.parts import CUSTOMERS_PARQUET
from serving.publishing import SCHEMA_VERSION
from serving.rules import Segments
from serving.table import columns, money_columns, weight_columns

FIRST: Final = "2018-01-01"
LAST: Final = "2018-01-07"


def customer_name(number: int) -> str:
    return f"C{number:08d}"


def write_folder(folder: Path, customers: int) -> None:
    """Write look-up file, Parquet file and manifest of a made-up table.

    Args:
        folder: Not there yet.
        customers: How many; their ids are those of `customer_name`.
    """
    folder.mkdir(parents=True)
    catalog = load_catalog(CONF / "offers" / "default.yaml")
    rows = _rows(catalog, customers)
    write_lookup(folder / LOOKUP, [rows], SCHEMA_VERSION)
    rows.to_parquet(folder / CUSTOMERS_PARQUET, index=False, compression="zstd")
    with (folder / LOOKUP).open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    (folder / "manifest.json").write_text(json.dumps(_manifest(catalog, digest)), "utf-8")


def _rows(catalog: Catalog, n: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    offer = rng.integers(0, catalog.n, n)
    least = GRAIN // 50 // catalog.n
    weights = np.full((n, catalog.n), least / GRAIN)
    weights[np.arange(n), offer] = 1 - (catalog.n - 1) * least / GRAIN
    names, labels, scopes = (
        np.array([getattr(o, term) for o in catalog.offers]) for term in ("name", "label", "scope")
    )
    promotes = (scopes == Scope.CATEGORY)[offer]
    words = np.array(
        [f"weekly visits, big baskets; it is expected to bring 0.{i} USD net, as rule {i} says" for i in range(999)]
    )
    given: dict[str, Any] = {
        "customer_id": [customer_name(i) for i in range(n)],
        "offer": names[offer],
        "offer_label": labels[offer],
        "promoted_category": np.where(promotes, "SOFT DRINKS", ""),
        "promoted_items": np.where(promotes, "COLA 2 LITER; GINGER ALE; TONIC WATER", ""),
        **{name: rng.normal(0.0, 1.0, n).round(4) for name in money_columns(catalog.currency)},
        "valid_from": np.datetime64(FIRST, "us"),
        "valid_to": np.datetime64(LAST, "us"),
        "arm": np.array([arm.value for arm in (Arm.OPTIMISED, Arm.RANDOM)])[rng.integers(0, 2, n)],
        "pscore": weights[np.arange(n), offer],
        "arm_share": 0.85,
        **dict(zip(weight_columns(catalog), weights.T, strict=True)),
        "segment": rng.integers(1, 33, n),
        "bound": "nothing",
        "reason_codes": "favoured; as_rule",
        "disclosure": "personalised; personalised_price",
        "reason": words[rng.integers(0, len(words), n)],
    }
    return pd.DataFrame(given)[list(columns(catalog))]


def _manifest(catalog: Catalog, digest: str) -> dict[str, Any]:
    nothing = {
        "number": 1, "conditions": [], "customers": 100, "share": 1.0, "reached": 100, "offer": catalog.names[0],
        "offer_label": catalog.offers[0].label, "weights": {n: float(n == catalog.names[0]) for n in catalog.names},
        "by_majority": True, "agreement": 1.0, "uplift": 0.0, "uplift_lo": 0.0, "uplift_hi": 0.0, "cost": 0.0,
    }  # fmt: skip
    rules = {
        "rules": [nothing], "agreement": 1.0, "uplift_kept": None, "enough": True, "cost": 0.0, "policy_cost": 0.0,
        "features": [], "least_customers": 20, "held_out": None,
    }  # fmt: skip
    Segments.from_dict(rules)
    stock = {offer.name: 1_000 for offer in catalog.offers if offer.stock is not None}
    arms = [
        {"name": arm.value, "parts": part, "budget": 1e6, "stock": stock}
        for arm, part in ArmsConfig().parts(usual=True).items()
    ]
    return {
        "schema_version": SCHEMA_VERSION, "table_version": 1, "files": {LOOKUP: digest}, "catalog": catalog.to_dict(),
        "valid_from": FIRST, "not_after": LAST, "rules": rules, "arms": {"campaign": "benchmark", "arms": arms},
    }  # fmt: skip
