"""What the manifest of a scored table says: that of the exported one, with its own customers, money and offers."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np

from evaluation.budget import BudgetMode
from experiments.arms import arms_entry
from experiments.scoring.budgeting import Demand, Ends, arm_budgets
from experiments.scoring.scorer import Scorer
from serving.arms import Arm, split_stock
from serving.by_budget import PUBLISHED


def table_manifest(scorer: Scorer, settled: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `serving.in_parts.publish_in_parts` takes.

    Args:
        scorer: Decided.
        settled: `arms` as `arm_entries` gives them, and `offers`, how many customers get each.
    """
    said, trial, catalog = scorer.manifest, scorer.shop.trial, scorer.shop.catalog
    customers = sum(settled["offers"].values())
    published = {
        **next(one for one in said["budgets"] if one["step"] == PUBLISHED),
        "campaign": scorer.limit.per_customer_week * scorer.weeks * customers,
        "offers": dict(settled["offers"]),
    }
    weeks = max(offer.weeks for offer in catalog.offers if settled["offers"][offer.name] > 0)
    population = {
        "customers": customers,
        "of": "those who were given to be scored; rules, metrics and evaluation are of those of the export",
        "exported": said["model_card"]["population"],
    }
    return {
        **said,
        "data": {**said["data"], "scorer": scorer.hash},
        "budgets": [published],
        "arms": arms_entry(trial, settled["arms"]),
        "model_card": {**said["model_card"], "population": population},
        "valid_from": str(trial.day),
        "valid_to": str(trial.day + timedelta(days=7 * weeks - 1)),
    }


def arm_entries(scorer: Scorer, demand: Demand, ends: Ends) -> list[dict[str, Any]]:
    """Return what the manifest says of each arm, as that of a policy table does, and where its queue ends."""
    trial, offers = scorer.shop.trial, scorer.shop.catalog.offers
    made = demand.up_to(ends)
    worst = np.array([offer.worst_cents for offer in offers]) / 100.0
    stock = {offer.name: split_stock(offer.stock, trial.parts) for offer in offers if offer.stock}
    budgets = arm_budgets(scorer.limit, scorer.weeks, demand)
    rows = []
    for place, arm in enumerate(Arm):
        at_worst, expected = float(made.asked[place].sum(axis=1) @ worst), float(made.expected[place].sum())
        spent = at_worst if scorer.limit.mode is BudgetMode.HARD else expected
        rows.append(
            {
                "name": arm.value,
                "parts": trial.parts[arm],
                "customers": int(demand.customers[place]),
                "offers": int(made.asked[place, 1:].sum()),
                "budget": float(budgets[place]),
                "expected_cost": expected,
                "within_budget": spent <= float(budgets[place]),
                "turned_down": int((demand.asked - made.asked)[place, 1:].sum()),
                "queue_end": ends[place],
                "stock": {name: pieces[arm] for name, pieces in stock.items()},
            }
        )
    return rows
