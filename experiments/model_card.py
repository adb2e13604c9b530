"""What a published table says of itself beside its rows: arms, how it was judged, and the model card."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any, Final

from experiments.comparison import verdict
from experiments.config import Config
from experiments.drawing import Trial
from history.quality import Quality
from serving.arms import Arm
from serving.report import LIMITS

HASH: Final = 'HMAC-SHA256(key, "arm" NUL campaign NUL customer_id), eight bytes for each purpose; docs/policy-table.md'
DECISION_DAYS: Final = 7
"""Days from the first one on which the offers of a table may begin."""


def arms_entry(trial: Trial, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the manifest says of the arms; the key's fingerprint stands there, never the key."""
    notes = []
    if trial.parts[Arm.USUAL] == 0:
        notes.append("business as usual: not trained in this run, or given no share; the optimised arm has its share")
    if not all(row["within_budget"] for row in rows):
        notes.append("an arm is expected to cost more than its budget")
    return {
        "campaign": trial.key.campaign,
        "key": {"fingerprint": trial.key.fingerprint, "origin": trial.key.origin},
        "hash": HASH,
        "draw": f"offer {trial.day}",
        "floor": trial.floor,
        "arms": rows,
        "notes": notes,
    }


def arms_sentence(rows: list[dict[str, Any]]) -> str:
    """Say how many customers are in which arm."""
    count = {row["name"]: row["customers"] for row in rows}
    others = (
        (Arm.RANDOM, "get an offer at random"),
        (Arm.USUAL, "what the shop did so far"),
        (Arm.HOLDOUT, "none"),
    )
    beside = ", ".join(f"{count[arm.value]:,} {what}" for arm, what in others if count[arm.value])
    whole = f"The policy decides for {count[Arm.OPTIMISED.value]:,} of {sum(count.values()):,} customers"
    return f"{whole}; to compare it with, {beside}." if beside else f"{whole}."


def last_day(first: date) -> date:
    """Return the last day on which the offers of a table may begin."""
    return first + timedelta(days=DECISION_DAYS - 1)


def evaluation_entry(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was measured on the held-out market, with intervals, agent by agent."""
    kept = ("agent", "uplift", "cost", "roi", "violations", "effect_range", "gap")
    return {
        "market": "held out: other customers, later weeks, another model family",
        "customers": evaluation["test_customers"],
        "worlds": evaluation["worlds"],
        "weeks": evaluation["campaign_weeks"],
        "unit": "currency per customer and week, against no offer",
        "agents": [{name: row[name] for name in kept} for row in evaluation["agents"]],
        "verdict": verdict(evaluation["agents"]),
    }


def model_card(
    config: Config, quality: Quality, judged: Mapping[str, Any], customers: int, expires: date
) -> dict[str, Any]:
    """Return the model card.

    Args:
        config: Names the owner.
        quality: Of the data.
        judged: The chosen agent's row of the evaluation.
        customers: In the table.
        expires: Last day of the model's use.

    Reference:
        Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
    """
    start = date.fromisoformat(quality.week_origin)
    return {
        "name": f"{judged['agent']} of run {config.name}",
        "owner": config.export.owner,
        "use": "chooses one offer or none for each customer for the week from the table's first day on",
        "data_window": {
            "from": str(start + timedelta(days=7 * (quality.first_week - 1))),
            "to": str(start + timedelta(days=7 * quality.last_week - 1)),
            "weeks": quality.last_week - quality.first_week + 1,
        },
        "population": {"customers": customers, "of": "all customers of the history, as they stood after its last week"},
        "metrics": {name: judged[name] for name in ("uplift", "cost", "roi", "gap")},
        "limits": [*LIMITS, *quality.notes],
        "expires": str(expires),
        "market": asdict(config.market.horizon),
    }
