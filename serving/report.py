"""The report: one HTML file that needs nothing else, for a marketer first and a researcher after."""

import json
from pathlib import Path
from typing import Any, Final

import pandas as pd

from history.artifacts import write_text
from serving import charts, summary
from serving.figures import Chart
from serving.page import sections_environment
from serving.report_data import ReportData
from serving.words import decimal, money, percent, signed_money

TEMPLATE: Final = "report.html.j2"

GLOSSARY: Final = (
    ("Offer", "What a customer may get this week: a discount, a coupon, a reward, a gift, a flash sale, or nothing."),
    ("Gain (uplift)", "Margin after the cost of offers and messages, minus the margin had no offer been made."),
    ("95 % interval", "If everything were repeated many times, 95 of 100 such intervals would hold the true value."),
    ("Gain per unit spent (ROI)", "Gain divided by the cost of offers and messages; above 0 the offers pay."),
    ("Budget price λ", "What one unit of budget must bring for the policy to spend it; a smaller budget raises it."),
    ("Violation", "An offer that breaks a rule: contact cap, budget, margin floor, stock or eligibility."),
    ("Gap", "Gain in the market that the agent trained in minus gain in the held-out one; a lower bound on optimism."),
    ("Gain over the assumed effects", "How far the gain moves with what is believed of the effects of offers."),
    ("AUC", "Chance that a case that happened was given a higher probability than one that did not; 0.5 is guessing."),
    ("Log-loss", "How surprised the predicted probabilities were by what happened; lower is better."),
    ("Calibration slope", "1 means that predicted chances are neither too bold (below 1) nor too timid (above 1)."),
    ("Promotion share", "Part of a customer's spend that is bought on promotion."),
)

LIMITS: Final = (
    "Nothing here was measured in an experiment: gains come from a market fitted to history. Start with a part of the "
    "customers and a control group.",
    "The held-out market has other customers and later weeks, but shares the calendar and the assumed numbers with the "
    "one used for training; what both get wrong stays hidden.",
    "What the history cannot tell (margins, effects of offers that were never made) is assumed with a wide spread, by "
    "the literature or, where it says so, without a source; see where the numbers come from.",
)


def write_report(data: ReportData, path: Path) -> None:
    """Write the report as one HTML file; the same data give the same bytes."""
    write_text(path, render(data))


def render(data: ReportData) -> str:
    """Return the report as HTML that loads nothing and runs no script."""
    environment = sections_environment()
    environment.filters |= {
        "money": money,
        "signed_money": signed_money,
        "decimal": decimal,
        "percent": percent,
        "interval": summary.interval,
        "named": charts.named,
    }
    return environment.get_template(TEMPLATE).render(_view(data))


def _view(data: ReportData) -> dict[str, Any]:
    return {
        "data": data,
        "summary": summary,
        "charts": _charts(data),
        "mix": _offer_mix(data),
        "tables": _tables(data),
        "glossary": GLOSSARY,
        "limits": (*LIMITS, *data.notes),
        "manifest": json.dumps(
            {k: v for k, v in data.manifest.items() if k not in ("rules", "catalog")}, indent=1, sort_keys=True
        ),
    }


def _charts(data: ReportData) -> dict[str, Chart | None]:
    currency = data.currency
    return {
        "offers": charts.offers_chart(data.policy["offer_label"]),
        "calibration": charts.calibration_chart(data.response, currency),
        "forest": charts.forest_chart(data.agents, data.chosen, currency),
        "curve": charts.curve_chart(data.curve, data.budget, data.chosen, currency),
    }


def _offer_mix(data: ReportData) -> dict[str, Any]:
    """Return the share of each offer within each segment of the customers, segments by size, offers by frequency."""
    both = data.policy[["customer_id", "offer_label"]].merge(
        data.customers[["customer_id", "segment"]], on="customer_id", how="inner"
    )
    counts = pd.crosstab(both["segment"], both["offer_label"])
    counts = counts[counts.sum().sort_values(ascending=False, kind="stable").index]
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    shares = counts.div(counts.sum(axis=1), axis=0)
    return {
        "offers": list(counts.columns),
        "rows": [(name, int(counts.loc[name].sum()), shares.loc[name].tolist()) for name in counts.index],
    }


def _tables(data: ReportData) -> list[dict[str, Any]]:
    """Return one row per table of the history with its reasons for rejection, the most frequent first."""
    return [
        {
            "name": name,
            "quality": table,
            "reasons": sorted(table.reasons.items(), key=lambda item: (-item[1], item[0])),
        }
        for name, table in data.quality.tables.items()
    ]
