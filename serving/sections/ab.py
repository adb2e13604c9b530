"""The report's section on an experiment between the arms: what came of it, and how far that can be trusted."""

from collections.abc import Mapping
from typing import Any, Final

from serving.section import Heading, Note, Section, Table
from serving.words import decimal, percent

NAMES: Final = {
    "optimised": "Optimised",
    "random_control": "Random control",
    "business_as_usual": "Business as usual",
    "holdout": "No offers",
}
DIGITS: Final = 3


def section(data: Mapping[str, Any], currency: str) -> Section:
    """Show the arms, their differences with limits that hold at any look, and what was checked."""
    verdict = data["verdict"]
    blocks: list[Note | Heading | Table] = [_customers(data)]
    for metric in data["metrics"]:
        blocks += [Heading(metric["metric"].capitalize()), _means(metric), _differences(metric, currency)]
        if "novelty" in metric:
            blocks += [Note(_checks(metric)), *_segments(metric)]
    return Section("ab", "What the experiment says", f"{verdict[:1].upper()}{verdict[1:]}.", blocks)


def _customers(data: Mapping[str, Any]) -> Note:
    counts = "; ".join(f"{NAMES[arm]}: {n:,}" for arm, n in data["customers"].items())
    rows = sum(data["without_rows"].values())
    absent = (
        f" {rows:,} of them have no row in the file of outcomes, which counts as nothing bought."
        if data["absent"] == "zero"
        else f" {rows:,} more have no row in the file of outcomes and are left out, as are those who lack a period."
    )
    return Note(
        "Customers were drawn by lot into arms and are compared as they were drawn, whatever they were given. "
        f"{counts}."
        + (absent if rows else "")
        + f" Against the planned shares the split has a p-value of {decimal(data['split']['p_value'], 3)}; below "
        "0.0005 nothing would be said of effects."
    )


def _means(metric: Mapping[str, Any]) -> Table:
    rows = [
        [NAMES[arm], f"{mean['n']:,}", decimal(mean["value"], DIGITS), decimal(mean["error"], DIGITS)]
        for arm, mean in metric["means"].items()
    ]
    adjusted = (
        f"; what was known before explains {percent(metric['explained'])} of the spread" if metric["explained"] else ""
    )
    return Table(f"Mean of each arm{adjusted}.", ["Arm", "Customers", "Mean", "Standard error"], rows)


def _differences(metric: Mapping[str, Any], currency: str) -> Table:
    rows = []
    for one in metric["comparisons"]:
        value, limits, over = one["difference"], one["always_valid"], one["relative"]
        rows.append(
            [
                f"{NAMES[one['arm']]} less {NAMES[one['against']].lower()}",
                f"{decimal(value['value'], DIGITS)} ({_span(value)})",
                _span(limits),
                "–"
                if over is None
                else f"{percent(over['value'], 1)} ({percent(over['lo'], 1)} to {percent(over['hi'], 1)})",
                _chance(one["p_value_of_all"]),
            ]
        )
    unit = "" if "/" in metric["metric"] else f" [{currency} or pieces per customer and period]"
    return Table(
        f"Differences{unit}. The second interval holds however often one looks, for the first two questions together; "
        "the p-value holds for all comparisons together.",
        ["Arms", "Difference (95 % interval)", "At any look", "Relative (95 % interval)", "p of all"],
        rows,
    )


def _span(limits: Mapping[str, float]) -> str:
    return f"{decimal(limits['lo'], DIGITS)} to {decimal(limits['hi'], DIGITS)}"


def _chance(value: float) -> str:
    return "below 0.001" if value < 0.001 else decimal(value, 3)


def _checks(metric: Mapping[str, Any]) -> str:
    slope = metric["novelty"]
    if slope is None:
        told = "Whether the effect wears off cannot be told from fewer than three periods, or for a ratio."
    else:
        word = "wears off" if slope["hi"] < 0 else "grows" if slope["lo"] > 0 else "is not seen to change"
        told = f"Over the periods the effect {word}: {decimal(slope['value'], DIGITS)} per period ({_span(slope)})."
    differ = metric["segments_differ"]
    if differ is None:
        return f"{told} Too few segments have enough customers in both arms to compare them."
    word = "differs" if differ < 0.05 else "is not seen to differ"
    return f"{told} The effect {word} between segments (p = {_chance(differ)})."


def _segments(metric: Mapping[str, Any]) -> list[Table]:
    rows = [
        [
            f"Rule {row['segment']}",
            "too few customers"
            if row["difference"] is None
            else f"{decimal(row['difference']['value'], DIGITS)} ({_span(row['difference'])})",
        ]
        for row in metric["segments"]
    ]
    return [
        Table(
            "The first difference among customers of each rule, with limits that hold for all rules together.",
            ["Customers of", "Difference"],
            rows,
        )
    ]
