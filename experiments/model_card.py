"""What a published table says of itself beside its rows: how it was judged, and the model card."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any, Final

from experiments.comparison import verdict
from experiments.config import Config
from history.quality import Quality
from serving.report import LIMITS

DECISION_DAYS: Final = 7
"""Days from the first one on which the offers of a table may begin."""


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
