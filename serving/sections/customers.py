"""The section of the report on customers: segments, value, risk, migration, and who they are."""

from collections.abc import Mapping
from typing import Any

from serving.figures import Chart
from serving.section import Heading, Note, Section, Table
from serving.sections.customer_charts import (
    count_chart,
    lettered,
    map_chart,
    migration_chart,
    segments_chart,
    value_chart,
)
from serving.words import decimal, percent

Block = Note | Heading | Table | Chart
SENSITIVITY = (
    "Price sensitivity ranks customers by how much more they buy on promotion, and redeem, than others who meet as "
    "many promotions. It does not say what they would do at another price; only a test with a control group shows that."
)
DESCRIPTION = (
    "For description and fairness checks alone: no policy, segment or score reads a demographic. Shares are of the "
    "customers whose value is known; cells below 20 customers are hidden."
)


def section(data: Mapping[str, Any], currency: str) -> Section:
    """Return the section from what `experiments.customers.write_customers` wrote."""
    segmentation = data["segmentation"]
    blocks: list[Block] = [
        _segment_table(segmentation["rows"], currency),
        segments_chart(segmentation["rows"], currency),
        map_chart(data["map"], currency),
        *_value(data["value"], currency),
        *_scores(data),
        *_migration(data["migration"]),
        *_count(segmentation),
        *_demographics(data["demographics"]),
    ]
    return Section("customers", "Customers", segmentation["verdict"], blocks)


def _segment_table(rows: list[dict[str, Any]], currency: str) -> Table:
    names = lettered([row["segment"] for row in rows])
    return Table(
        f"Segments of customers as they stand after the last week; value is the expected spend of the next 26 weeks "
        f"[{currency} per customer], with the 95 % interval of the segment's mean.",
        ("Segment", "Customers", "Weeks since the last visit, median", f"Spend per week [{currency}]",
         f"Spend in a week with a visit [{currency}]", "Ever redeemed", "Value of 26 weeks", "Share of value",
         "Chance of no visit in 13 weeks", "Buys more than others of"),
        [
            (
                name,
                f"{decimal(row['customers'], 0)} ({percent(row['share'])})",
                decimal(row["weeks_since_visit"], 0),
                decimal(row["spend"], 2),
                decimal(row["basket"], 2),
                percent(row["redeemed"]),
                f"{decimal(row['value'], 0)} ({decimal(row['value_lo'], 0)} to {decimal(row['value_hi'], 0)})",
                percent(row["value_share"]),
                percent(row["churn_risk"]),
                ", ".join(f"{t['category']} (×{decimal(t['lift'], 1)})" for t in row["tastes"]) or "–",
            )
            for name, row in zip(names, rows, strict=True)
        ],
        text=("Buys more than others of",),
    )  # fmt: skip


def _value(value: Mapping[str, Any], currency: str) -> list[Block]:
    blocks: list[Block] = [Heading("What customers will be worth"), Note(value["verdict"])]
    if not value["estimable"]:
        return blocks
    end, judged = value["end"], value["held_out"]
    held = judged["coverage"]
    return [
        *blocks,
        value_chart(value, currency),
        _models(value, currency),
        Note(
            f"The intervals shown for single customers are meant to hold 95 %; they held {percent(held['value'], 1)} "
            f"({percent(held['lo'], 1)} to {percent(held['hi'], 1)}) of the test customers. The whole forecast scores "
            f"{decimal(judged['crps'], 0)} {currency} (CRPS, less is better), {_spread(judged['crps_gain'], 0)} less "
            f"than the plain figure of last half-year. The error above is that of the forecast's median; its mean, "
            f"which adds up to the total, errs by {decimal(judged['mean']['mae'], 0)} {currency}."
        ),
        Note(
            f"From the end of the history a customer is expected to spend {decimal(end['mean_26w'], 0)} {currency} in "
            f"26 weeks and {decimal(end['mean_52w'], 0)} in 52; the most valuable tenth makes up "
            f"{percent(end['top_tenth_share'])}. {decimal(end['p_alive_below_half'], 0)} customers have more likely "
            f"left than not (BG/BB). Value is spend at shelf prices, not margin, and counts no effect of offers."
        ),
    ]


def _models(value: Mapping[str, Any], currency: str) -> Table:
    rows = [
        (
            model["model"],
            decimal(model["validation_mae"], 1),
            decimal(model["mae"], 1),
            _spread(model["gain"], 1) if model["gain"]["error"] > 0 else "–",
            decimal(model["bias"], 1),
            decimal(model["rank_correlation"], 3),
        )
        for model in value["models"]
    ]
    headings = ("Model", "Error, validation customers", "Error, test customers", "Less error than last half-year",
                "Forecast less observed", "Rank correlation")  # fmt: skip
    return Table(
        f"Forecasts of {value['weeks']} weeks of {decimal(value['customers'], 0)} test customers, fitted to other "
        f"customers in the weeks before; mean absolute error [{currency} per customer], 95 % intervals over customers.",
        headings,
        rows,
    )


def _spread(estimate: Mapping[str, Any], digits: int) -> str:
    """Return an estimate with its interval."""
    value, lo, hi = (decimal(estimate[name], digits) for name in ("value", "lo", "hi"))
    return f"{value} ({lo} to {hi})"


def _scores(data: Mapping[str, Any]) -> list[Block]:
    churn, sensitivity = data["churn"], data["sensitivity"]
    blocks: list[Block] = [Heading("Who may stay away"), Note(churn["verdict"])]
    if churn.get("held_out"):
        blocks.append(_churn_table(churn))
    blocks += [Heading("Who leans on price cuts"), Note(sensitivity["verdict"]), Note(SENSITIVITY)]
    if sensitivity["estimable"]:
        blocks.append(_redeemers(sensitivity))
    return blocks


def _redeemers(sensitivity: Mapping[str, Any]) -> Note:
    """Say how the score tells apart who redeems, where some do and some do not."""
    alone = (
        f"The promotion share alone goes with later promotion share by {decimal(sensitivity['promo_share_alone'], 2)}"
    )
    if sensitivity["score_auc"] is None:
        who = "all" if max(sensitivity["redeemed_by_third"]) > 0 else "none"
        return Note(f"Whether it tells apart who redeems is not judged: {who} did in the test weeks. {alone}.")
    low, middle, high = (percent(share) for share in sensitivity["redeemed_by_third"])
    return Note(
        f"In the test weeks {low} of the least sensitive third redeemed a coupon, {middle} of the middle and {high} of "
        f"the most (AUC {decimal(sensitivity['score_auc'], 2)}). {alone} and tells redemption apart with an AUC of "
        f"{decimal(sensitivity['promo_auc'], 2)}."
    )


def _churn_table(churn: Mapping[str, Any]) -> Table:
    judged = churn["held_out"]
    gain = [decimal(judged[f"log_loss_gain{end}"], 3) for end in ("", "_lo", "_hi")]
    return Table(
        f"No visit in 13 weeks: {churn['silent']} of {churn['of']} test customers. The survival model (BG/BB) ranks by "
        "visits since the first week; 95 % intervals over customers.",
        ("Model", "AUC", "Log-loss", "Log-loss saved", "Calibration slope"),
        (
            (
                "churn score",
                f"{decimal(judged['auc'], 3)} ({decimal(judged['auc_lo'], 3)} to {decimal(judged['auc_hi'], 3)})",
                decimal(judged["log_loss"], 3),
                f"{gain[0]} ({gain[1]} to {gain[2]})",
                decimal(judged["slope"], 2),
            ),
            ("survival model", decimal(judged["reference_auc"], 3), decimal(judged["reference_log_loss"], 3), "–", "–"),
        ),
    )


def _migration(figures: Mapping[str, Any]) -> list[Block]:
    if len(figures["weeks"]) < 2 or len(figures["segments"]) < 2:
        return []
    return [Heading("Moves between segments"), migration_chart(figures)]


def _count(segmentation: Mapping[str, Any]) -> list[Block]:
    if not segmentation["trials"]:
        return []
    return [Heading("Why this many segments"), Note(segmentation["rule"]), count_chart(segmentation)]


def _demographics(rows: list[dict[str, Any]]) -> list[Block]:
    shown = [row for row in rows if row["share"] is not None]
    if not shown:
        return []
    cells = [
        (
            f"{row['column'].replace('_', ' ')}: {row['value']}",
            row["segment"],
            f"{decimal(row['customers'], 0)} of {decimal(row['of'], 0)}",
            f"{percent(row['share'])} ({percent(row['lo'])} to {percent(row['hi'])})",
        )
        for row in shown
    ]
    headings = ("Demographic", "Segment", "Customers", "Share of the segment")
    table = Table("Who the customers of a segment are, with 95 % intervals.", headings, cells, text=("Segment",))
    return [Heading("Who they are"), Note(DESCRIPTION), table]
