"""The report's headline: what the chosen policy brings in a week, read off the held-out curve at its budget price."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from evaluation.budget import Priced
from experiments.train import Trained
from serving.rules import Segments

POINT = ("cost", "cost_lo", "cost_hi", "uplift", "lo", "hi")


def held_out_at(curve: list[dict[str, float]], price: float) -> dict[str, float]:
    """Interpolate the held-out curve at a budget price; beyond its ends the end stands."""
    at = [point["price"] for point in curve]
    return {name: float(np.interp(price, at, [point[name] for point in curve])) for name in POINT}


def held_out_point(evaluation: Mapping[str, Any], agent: str, price: float) -> dict[str, float]:
    """Return what an agent brings and costs per customer and campaign week on the held-out market at a budget price."""
    curve = evaluation["curve"].get(agent)
    if curve is not None:
        return held_out_at(curve, price)
    judged = next(row for row in evaluation["agents"] if row["agent"] == agent)
    up, cost = judged["uplift"], judged["cost"]  # it spends nothing, or was not among the best: judged at λ = 0 alone
    values = (cost["value"], cost["lo"], cost["hi"], up["value"], up["lo"], up["hi"])
    return dict(zip(POINT, values, strict=True))


def headline(
    evaluation: dict[str, Any], chosen: Trained, priced: Priced, rows: pd.DataFrame, none: str
) -> dict[str, Any]:
    """Return what the policy brings in a week to the customers of these rows together, by the held-out market."""
    point, n = held_out_point(evaluation, chosen.agent, priced.price), len(rows)
    return {
        "customers": n,
        "with_offer": int((rows["offer"] != none).sum()),
        "uplift": {"value": n * point["uplift"], "lo": n * point["lo"], "hi": n * point["hi"]},
        "cost": {"value": n * point["cost"], "lo": n * point["cost_lo"], "hi": n * point["cost_hi"]},
        "roi": point["uplift"] / point["cost"] if point["cost"] > 0 else None,
    }


def distilled(segments: Segments) -> str:
    """Say how well the rules stand for the policy, here and on the held-out market."""
    held = segments.held_out
    kept = "; what share of the uplift they keep on the held-out market cannot be told"
    if held is not None and held.uplift_kept is not None and held.lo is not None and held.hi is not None:
        kept = (
            f" and on the held-out market keep {100 * held.uplift_kept:.0f} % of the uplift "
            f"({100 * held.lo:.0f} to {100 * held.hi:.0f}) at {100 * held.cost / held.policy_cost:.0f} % of the cost"
        )
    short = "" if segments.enough else ": less than was asked, and no more rules are allowed"
    return f"{len(segments.rules)} rules agree with {100 * segments.agreement:.0f} % of the decisions{kept}{short}"
