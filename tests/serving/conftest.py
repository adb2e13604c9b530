"""A small policy table over the default catalog."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from campaigns.catalog import load_catalog
from campaigns.offers import Catalog
from serving.arms import ArmsConfig, evenly, in_grains, with_floor
from serving.by_budget import PUBLISHED, STEPS, budget_rows, count_offers
from serving.distillation import Decisions, distill
from serving.report_data import ReportData
from serving.table import PolicyTable, customer_rows, weight_columns


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog(Path("conf/offers/default.yaml"))


@pytest.fixture(scope="session")
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
    return Decisions(features, offer, gain, cost, uplift_lo=0.01)


@pytest.fixture(scope="session")
def by_budget(decisions: Decisions) -> NDArray[np.int64]:
    """A twentieth more of the customers keep their offer at each step; at the published one and beyond all do."""
    share = np.where(np.arange(STEPS) < PUBLISHED, np.arange(STEPS) / 20, 1.0)
    return np.where(np.arange(decisions.n) < 300 * share[:, None], decisions.offer, 0)


@pytest.fixture(scope="session")
def budgets(catalog: Catalog, by_budget: NDArray[np.int64]) -> list[dict[str, Any]]:
    return [
        {
            "step": step,
            "published": step == PUBLISHED,
            "per_customer_week": 0.05 * (step / PUBLISHED),
            "campaign": 120.0 * (step / PUBLISHED),
            "price": 0.4 * PUBLISHED / step if step else 64.0,
            "met": True,
            "cost": {"value": 0.01 * step, "lo": 0.008 * step, "hi": 0.012 * step},
            "uplift": {"value": 0.012 * step, "lo": -0.01 * step, "hi": 0.03 * step},
            "offers": count_offers(catalog, by_budget[step]),
        }
        for step in range(STEPS)
    ]


@pytest.fixture(scope="session")
def manifest(catalog: Catalog, decisions: Decisions, budgets: list[dict[str, Any]]) -> dict[str, Any]:
    count = {"optimised": (300, int((decisions.offer > 0).sum()))}
    return {
        "budgets": budgets,
        "config": {"sha256": "c" * 64},
        "data": {"panel": "d" * 64},
        "catalog": catalog.to_dict(),
        "budget": {"per_customer_week_usd": 0.05, "price": 0.4, "cost": 0.049, "met": True, "mode": "risk"},
        "values": {"uplift": {"value": 0.06, "lo": 0.01, "hi": 0.11}},
        "provenance": {"learned": 40, "assumed": 12},
        "git_commit": "0" * 40,
        "arms": {
            "campaign": "spring-2018",
            "key": {"fingerprint": "0" * 16, "origin": "a test"},
            "hash": "HMAC-SHA256",
            "floor": 0.02,
            "arms": [
                {
                    "name": arm.value,
                    "parts": part,
                    "customers": count.get(arm.value, (0, 0))[0],
                    "offers": count.get(arm.value, (0, 0))[1],
                    "budget": 100.0,
                    "expected_cost": 0.5,
                    "stock": {"flash_sale": 50},
                }
                for arm, part in ArmsConfig().parts(usual=True).items()
            ],
        },
        "not_after": "2018-01-07",
        "evaluation": {"customers": 99, "agents": [{"agent": "ppo", "uplift": {"value": 0.06, "lo": 0.01, "hi": 0.1}}]},
        "model_card": {
            "name": "ppo of run demo",
            "owner": "the marketing team",
            "use": "one offer for each customer",
            "data_window": {"from": "2017-01-01", "to": "2017-12-31"},
            "population": {"customers": 300},
            "metrics": {"uplift": {"value": 0.06, "lo": 0.01, "hi": 0.11}},
            "limits": ["assumed effects"],
            "expires": "2018-01-07",
        },
    }


@pytest.fixture(scope="session")
def build(
    catalog: Catalog, decisions: Decisions, manifest: dict[str, Any], by_budget: NDArray[np.int64]
) -> Callable[..., PolicyTable]:
    """Return a function that builds the table, with whole columns or manifest keys replaced."""
    segments = distill(decisions, catalog)
    rows = np.arange(decisions.n)
    uplift = decisions.gain[rows, decisions.offer]
    even = evenly(np.ones((decisions.n, catalog.n), dtype=np.bool_))
    certain = np.zeros_like(even)
    certain[rows, decisions.offer] = 1.0
    weights = in_grains(with_floor(certain, even > 0, 0.02))
    plain = pd.DataFrame(
        {
            "customer_id": [f"{i:04d}" for i in rows],
            "offer": decisions.offer,
            "category": "SOFT DRINKS",
            "items": "COLA 2 LITER; =GINGER ALE",
            "uplift": uplift,
            "uplift_lo": uplift - 0.1,
            "uplift_hi": uplift + 0.1,
            "cost": decisions.cost[rows, decisions.offer],
            "cost_lo": 0.0,
            "cost_hi": 2.5,
            "arm": "optimised",
            "pscore": weights[rows, decisions.offer],
            "arm_share": 0.85,
            **dict(zip(weight_columns(catalog), weights.T, strict=True)),
            "segment": 1,
            "bound": "nothing",
            "reason_codes": "favoured; as_rule",
            "disclosure": "personalised",
            "reason": "because it pays",
        }
    )

    def table(manifest_changes: dict[str, Any] | None = None, **columns: Any) -> PolicyTable:
        customers = customer_rows(catalog, plain, date(2018, 1, 1)).assign(**columns)
        others = budget_rows(catalog, plain["customer_id"].astype("str"), by_budget)
        others["customer_id"] = pd.concat([customers["customer_id"]] * STEPS, ignore_index=True)
        return PolicyTable(customers, segments, manifest | (manifest_changes or {}), others)

    return table


@pytest.fixture(scope="session")
def with_gain(decisions: Decisions) -> Callable[..., Decisions]:
    return lambda **changes: replace(decisions, **changes)


def _deciles(rng, top, n):
    predicted = np.linspace(0.05, 0.95, 10) * top
    observed = predicted * rng.normal(1, 0.04, 10)
    return [
        {"predicted": float(p), "observed": float(o), "lo": float(o) - 0.03 * top, "hi": float(o) + 0.03 * top, "n": n}
        for p, o in zip(predicted, observed, strict=True)
    ]


def _fit(rng, auc, top):
    return {
        "auc": auc,
        "auc_lo": auc - 0.01,
        "auc_hi": auc + 0.01,
        "log_loss": 0.506,
        "reference_auc": auc - 0.025,
        "reference_log_loss": 0.529,
        "log_loss_gain": 0.023,
        "log_loss_gain_lo": 0.018,
        "log_loss_gain_hi": 0.028,
        "slope": 1.02,
        "deciles": _deciles(rng, top, 1200),
        "rows": 12000,
    }


def _agent(name, uplift, cost, gap):
    return {
        "agent": name,
        "seeds": [1, 2, 3],
        "uplift": {"value": uplift, "lo": uplift - 0.02, "hi": uplift + 0.02, "error": 0.01, "n": 494},
        "cost": {"value": cost, "lo": cost * 0.9, "hi": cost * 1.1},
        "roi": {"value": uplift / cost, "lo": 0.0, "hi": 2.0} if cost else None,
        "violations": 0,
        "effect_range": [uplift - 0.05, uplift + 0.06],
        "validation": uplift * 0.8,
        "training": uplift + gap,
        "gap": gap,
        "offer_share": {"none": 0.6, "coupon_2": 0.4},
    }


@pytest.fixture(scope="session")
def plain_report(decisions, build, manifest) -> dict[str, Any]:
    """What a real run hands over, as plain data."""
    rng = np.random.default_rng(11)
    table = build()
    groups = ["weekly, big baskets", "weekly, small baskets", "every other week", "rare, buys on promotion", "away"]
    customers = decisions.features.assign(
        customer_id=table.customers["customer_id"],
        segment=rng.choice(groups, 300, p=[0.25, 0.3, 0.2, 0.15, 0.1]),
        visits_per_week=rng.gamma(2, 0.5, 300),
    )
    curve = [0.0, 0.02, 0.04, 0.06, 0.09, 0.12]
    given = int((table.customers["offer"] != "none").sum())
    return {
        "source": "The demo history is simulated from real shopping patterns, for education.",
        "quality": {
            "tables": {
                "transactions": {
                    "file": "transactions.parquet",
                    "sha256": "a" * 64,
                    "read": 1469307,
                    "kept": 1469295,
                    "rejected": 12,
                    "reasons": {"quantity is negative": 5, "date is not a date": 7},
                    "missing_columns": {},
                },
                "products": {
                    "file": "products.parquet",
                    "sha256": "b" * 64,
                    "read": 92331,
                    "kept": 92331,
                    "rejected": 0,
                    "reasons": {},
                    "missing_columns": {"cost": "the margin per department is assumed"},
                },
            },
            "missing_tables": {"promotions": "no exposure to features and displays, discounts rest on the prior alone"},
            "notes": ["weeks 1 and 53 are partial"],
            "currency": "USD",
            "week_origin": "2016-12-26",
            "first_week": 1,
            "last_week": 53,
            "totals": {"customers": 300, "baskets": 155848, "lines": 1469307, "spend": 4.5e6},
            "coupon_values": {"redemptions": 2102, "matched": 1500, "lines": 1700, "quartiles": [0.5, 1.0, 1.5]},
        },
        "customers": customers,
        "policy": table.customers,
        "response": {
            "visit": _fit(rng, 0.826, 1.0),
            "redemption": _fit(rng, 0.79, 0.3),
            "spend": {"deciles": _deciles(rng, 90.0, 600)},
        },
        "agents": [
            _agent("ppo", 0.061, 0.049, 0.012),
            _agent("knapsack", 0.058, 0.048, 0.015),
            _agent("lin_ts", 0.047, 0.050, 0.02),
            _agent("best_single", 0.03, 0.06, 0.005),
            _agent("business_as_usual", 0.004, 0.02, 0.001),
            _agent("random", -0.03, 0.11, 0.002),
            _agent("no_offer", 0.0, 0.0, 0.0),
        ],
        "curve": {
            name: [
                {
                    "price": 1 - c,
                    "cost": c,
                    "uplift": s * c**0.5 - c,
                    "lo": s * c**0.5 - 1.2 * c,
                    "hi": s * c**0.5 - 0.8 * c,
                }
                for c in curve
            ]
            for name, s in (("ppo", 0.5), ("knapsack", 0.47), ("lin_ts", 0.42))
        },
        "chosen": "ppo",
        "budget": manifest["budget"],
        "headline": {
            "customers": 300,
            "with_offer": given,
            "uplift": {"value": 18.3, "lo": 4.1, "hi": 32.5},
            "cost": {"value": 14.7, "lo": 13.2, "hi": 16.2},
            "roi": 1.24,
        },
        "segments": table.segments,
        "provenance": [
            {
                "name": f"visit_lift.{kind}",
                "value": 0.08,
                "error": 0.06,
                "unit": "log-odds",
                "origin": origin,
                "source": "Blattberg & Neslin, Sales Promotion, 1990, table 3; halved for a weekly coupon",
            }
            for kind, origin in (("coupon", "assumed"), ("discount", "learned"), ("gift", "assumed")) * 6
        ],
        "manifest": {**table.manifest, "files": {"policy_by_customer.csv": "f" * 64}},
        "currency": "USD",
        "notes": ["One year of history cannot tell Christmas from a trend."],
    }


@pytest.fixture(scope="session")
def report(plain_report) -> ReportData:
    return ReportData.from_plain(plain_report)
