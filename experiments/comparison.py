"""Agents side by side: what each brought and cost, whether PPO earns its place, whether margins decide their rank."""

from typing import Any

import numpy as np

from evaluation.estimate import estimate_mean, middle_95, ratio_of_means
from evaluation.rollout import Play, Result
from experiments.train import Trained
from simulators.worlds import MarginConfig

BASELINE = "knapsack"
"""The strongest agent that does not look ahead: what a learned policy has to beat, customer by customer."""


def agent_row(
    agent: str, group: list[Trained], results: list[Result], home: float, weeks: int, test: Play
) -> dict[str, Any]:
    uplift = np.stack([r.uplift for r in results]) / weeks
    cost = np.stack([r.cost for r in results]) / weeks
    value, spent = estimate_mean(uplift), estimate_mean(cost)
    roi = ratio_of_means(uplift.mean(axis=(0, 1)), cost.mean(axis=(0, 1)))
    offers = np.sum([r.offers for r in results], axis=0)
    sent = offers[1:].sum()
    shares = offers / max(int(offers.sum()), 1)
    return {
        "agent": agent,
        "seeds": [one.seed for one in group],
        "by_seed": [_of_seed(one.seed, result, weeks) for one, result in zip(group, results, strict=True)],
        "uplift": value.to_dict(),
        "effect_range": list(middle_95(uplift.mean(axis=(0, 2)))),
        "cost": spent.to_dict(),
        "roi": None if roi is None else roi.to_dict(),
        "violations": sum(r.violations for r in results),
        "validation": float(np.mean([one.validation for one in group])),
        "training": home,
        "gap": home - value.value,
        "realised_uplift": float(np.mean([r.realised_uplift.mean() for r in results])) / weeks,
        "redemption_rate": sum(r.redeemed for r in results) / max(int(sent), 1),
        "offers_per_customer": float(sent) / (test.start.n * test.worlds * len(results)),
        "offer_share": dict(zip(test.market.catalog.names, shares.tolist(), strict=True)),
    }


def _of_seed(seed: int, result: Result, weeks: int) -> dict[str, float]:
    """Return what one seed's policy brought and cost [currency per customer-week]."""
    return {"seed": seed, "uplift": float(result.uplift.mean()) / weeks, "cost": float(result.cost.mean()) / weeks}


def at_margins(margin: MarginConfig, row: dict[str, Any]) -> dict[str, float]:
    """Return the uplift if all gross margins were low or high: what offers bring scales with it, their cost not."""
    gross = row["uplift"]["value"] + row["cost"]["value"]
    return {name: gross * getattr(margin, name) / margin.default - row["cost"]["value"] for name in ("low", "high")} | {
        "default": row["uplift"]["value"]
    }


def margin_note(agents: list[dict[str, Any]], margin: MarginConfig) -> str:
    """Say whether the ranking of agents survives a low and a high gross margin."""
    ranked = {
        name: [row["agent"] for row in sorted(agents, key=lambda row: -row["at_margin"][name])]
        for name in ("low", "default", "high")
    }
    span = f"gross margins of {margin.low:.0%} instead of {margin.default:.0%}, or {margin.high:.0%}"
    if ranked["low"] == ranked["default"] == ranked["high"]:
        return f"The ranking of the agents is the same at {span}."
    best = ", ".join(f"{ranked[name][0]} at {name}" for name in ("low", "default", "high"))
    return f"The ranking of the agents changes at {span}: best are {best}."


def table_of(agents: list[dict[str, Any]]) -> str:
    """Return the comparison as a text table [currency per customer-week]."""
    lines = [f"{'agent':<18} {'uplift':>8} {'95 % interval':>19} {'cost':>7} {'ROI':>6} {'violations':>10} {'gap':>7}"]
    for row in agents:
        up, roi = row["uplift"], row["roi"]
        shown = "-" if roi is None else f"{roi['value']:.2f}"
        lines.append(
            f"{row['agent']:<18} {up['value']:>+8.4f} [{up['lo']:>+8.4f}, {up['hi']:>+7.4f}] "
            f"{row['cost']['value']:>7.4f} {shown:>6} {row['violations']:>10d} {row['gap']:>+7.4f}"
        )
    return "\n".join(lines)


def verdict(agents: list[dict[str, Any]]) -> str:
    """Say in a sentence whether PPO earns its place against the knapsack, customers and luck being the same."""
    row = next((row for row in agents if row["agent"] == "ppo" and "over_baseline" in row), None)
    if row is None:
        return "PPO and the knapsack were not both judged, so nothing is said of one against the other."
    over = row["over_baseline"]
    word = "beats" if over["lo"] > 0 else "loses to" if over["hi"] < 0 else "is not shown to differ from"
    return (
        f"PPO {word} the knapsack on held-out customers: {over['value']:+.4f} [{over['lo']:+.4f}, {over['hi']:+.4f}] "
        "per customer-week, the same customers and luck, without a budget price."
    )
