"""The report's section on fidelity: does the market behave like the customers, and where does it not?"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from serving.figures import INK, SERIES, Chart, draw
from serving.section import Heading, Note, Section, Table
from serving.words import decimal, percent

Block = Note | Heading | Table | Chart
SERIES_WORDS: Final = {
    "active": "Active customers",
    "baskets": "Baskets",
    "spend": "Spend",
    "redemptions": "Redemptions",
}
SHAPE_WORDS: Final = {
    "gap": ("Weeks between visits", "weeks"),
    "basket_value": ("Value of a basket", ""),
    "baskets": ("Baskets, weeks with any", "baskets"),
}
STATUS_WORDS: Final = {"pass": "passed", "fail": "FAILED", "not measured": "not measured"}
FAMILY_WORDS: Final = {
    "visits": "weeks with a visit",
    "baskets": "number of baskets",
    "spend": "spend",
    "promotion": "share bought on promotion",
}
CLASSIFIER_WORDS: Final = {"boosting": "Gradient-boosted trees", "logistic": "Logistic regression"}


def section(data: Mapping[str, Any], currency: str) -> Section:
    """Show the fidelity verdict, what it rests on, and where the market gives itself away."""
    blocks: list[Block] = [
        Note(
            "The market starts from held-out customers as they stood and then runs free, without offers and without "
            f"being told what really happened: {data['customers']:,} customers, {len(data['weeks'])} weeks, "
            f"{data['runs']} simulations. Nothing of these customers or weeks was used to fit it."
        )
    ]
    if data["weekly"]:
        blocks += [_weeks_chart(data, currency), _weeks_table(data["weekly"], currency)]
        blocks += [Note(f"Week {week}: {why}.") for week, why in data["assumed_weeks"].items()]
        blocks += [Heading("Shapes of customers' lives"), *_shape_charts(data, currency), _migration_note(data)]
        blocks += [Heading("Can a classifier tell real from simulated customers?"), *_two_sample(data["two_sample"])]
    if data["offers"]:
        blocks += [Heading("Redemption by type of campaign"), _offers_table(data["offers"])]
    blocks += [Heading("Every check and its threshold"), _metrics_table(data["metrics"])]
    return Section("fidelity", "Does the market behave like the customers?", verdict_words(data), blocks)


def verdict_words(data: Mapping[str, Any]) -> str:
    """Return the verdict in one sentence."""
    metrics = data["metrics"]
    measured = [metric for metric in metrics if metric["status"] != "not measured"]
    missing = len(metrics) - len(measured)
    beside = f" {missing} could not be measured." if missing else ""
    if data["verdict"] == "PASS":
        return f"PASS: the market keeps all {len(measured)} thresholds on customers and weeks it never saw.{beside}"
    if data["verdict"] == "FAIL":
        return (
            f"FAIL: the market misses {len(data['failed'])} of {len(measured)} thresholds on customers and weeks it "
            f"never saw; gains computed in it deserve doubt.{beside}"
        )
    why = next(metric["why_not"] for metric in metrics if metric["name"] in data["missing_required"])
    return f"NOT MEASURED: nothing shows that the market behaves like the customers ({why})."


def _weeks_chart(data: Mapping[str, Any], currency: str) -> Chart:
    weekly, weeks = data["weekly"], data["weeks"]

    def paint(axes: list[Axes]) -> None:
        for ax, (name, series) in zip(axes, weekly.items(), strict=True):
            ax.fill_between(
                weeks, series["lo"], series["hi"], color=SERIES[0], alpha=0.25, lw=0, label="market, 90 % band"
            )
            ax.plot(weeks, series["mean"], color=SERIES[0], ls="--", lw=1.5, label="market, mean")
            ax.plot(weeks, series["truth"], color=INK, marker="o", ms=4, label="recorded")
            low, high = min(*series["lo"], *series["truth"]), max(*series["hi"], *series["truth"])
            ax.set_ylim(max(low - 0.4 * (high - low), 0.0), high + 0.75 * (high - low) + 1e-9)
            unit = currency if name == "spend" else name if name != "active" else "customers"
            ax.set(title=SERIES_WORDS[name], xlabel="week", ylabel=f"{unit} per week")
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            ax.grid(axis="y")
        axes[0].legend(loc="upper left", fontsize=9)

    held = ", ".join(f"{s['weeks_inside']} of {len(weeks)} for {SERIES_WORDS[n].lower()}" for n, s in weekly.items())
    return Chart(
        draw("fidelity-weeks", (3.3 * len(weekly), 3.3), len(weekly), paint),
        "Recorded weekly totals with the 90 % band of the market",
        f"The line is what really happened, the band holds 90 % of what the market expects. Weeks inside: {held}.",
    )


def _weeks_table(weekly: Mapping[str, Any], currency: str) -> Table:
    rows = []
    for name, series in weekly.items():
        digits = 0 if name == "spend" else 1
        references = series["references"]
        rows.append(
            [
                SERIES_WORDS[name] + (f" [{currency}]" if name == "spend" else ""),
                f"{series['weeks_inside']} of {len(series['inside'])}",
                decimal(series["width"], digits)
                + (f" ({percent(series['width_share'])})" if series["width_share"] is not None else ""),
                decimal(series["crps"], digits),
                *(_beside(references[key], digits) for key in ("flat", "flat_with_spread", "household")),
            ]
        )
    return Table(
        "Error of the weekly forecast (CRPS: the smaller the better, in units of the row), and of three forecasts that "
        "need no market. In brackets: what the market saves per week, with its 95 % interval over weeks.",
        ["Weekly total", "Weeks inside the band", "Width of the band", "Error of the market", "Flat recent mean",
         "Recent weeks with their spread", "Each household's own mean"],
        rows,
    )  # fmt: skip


def _beside(reference: Mapping[str, Any], digits: int) -> str:
    lo, hi = decimal(reference["gain_lo"], digits), decimal(reference["gain_hi"], digits)
    return f"{decimal(reference['crps'], digits)} ({decimal(reference['gain'], digits)}: {lo} to {hi})"


def _shape_charts(data: Mapping[str, Any], currency: str) -> list[Chart]:
    shapes = {name: found for name, found in data["shapes"].items() if found}
    charts = []
    if shapes:

        def paint(axes: list[Axes]) -> None:
            for ax, (name, found) in zip(axes, shapes.items(), strict=True):
                title, unit = SHAPE_WORDS[name]
                ax.step(found["at"], found["recorded"], where="post", color=INK, label="recorded")
                ax.step(found["at"], found["simulated"], where="post", color=SERIES[0], ls="--", label="market")
                ax.set(title=title, xlabel=unit or currency, ylabel="share at most this", ylim=(0, 1.02))
                ax.grid(axis="y")
            axes[0].legend(loc="lower right", fontsize=9)

        worst = max(shapes, key=lambda name: shapes[name]["ks"])
        see = (
            f"The closer the two lines, the better. They lie furthest apart for {SHAPE_WORDS[worst][0].lower()}: up to "
            f"{percent(shapes[worst]['ks'])} of the cases, where two halves of the real customers differ by "
            f"{percent(shapes[worst]['ks_floor'])}."
        )
        size = (3.3 * len(shapes), 3.2)
        alt = "Distribution functions, recorded and simulated"
        charts.append(Chart(draw("fidelity-shapes", size, len(shapes), paint), alt, see))
    return [*charts, _memory_chart(data["autocorrelation"])]


def _memory_chart(compared: Mapping[str, Any]) -> Chart:
    lags = np.arange(1, len(compared["visits"]["recorded"]) + 1)

    def paint(axes: list[Axes]) -> None:
        for ax, (name, title) in zip(axes, (("visits", "Visits"), ("log_spend", "Spend (log)")), strict=True):
            ax.plot(lags, compared[name]["recorded"], color=INK, marker="o", ms=5, label="recorded")
            ax.plot(lags, compared[name]["simulated"], color=SERIES[0], marker="s", ms=5, ls="--", label="market")
            values = [*compared[name]["recorded"], *compared[name]["simulated"], 0.0]
            middle = (min(values) + max(values)) / 2
            ax.set(title=title, xlabel="weeks apart", ylabel="autocorrelation", ylim=(middle - 0.15, middle + 0.15))
            ax.grid(axis="y")
        axes[0].legend(loc="upper right", fontsize=9)

    worst = max(compared[name]["difference"] for name in compared)
    see = (
        "How far a week tells of the weeks after it, mean over customers. The lines differ by "
        f"{decimal(worst, 3)} on average at worst; over ten weeks even pure chance lies a little below zero."
    )
    alt = "Autocorrelation of visits and of log spend by lag, recorded and simulated"
    return Chart(draw("fidelity-memory", (6.6, 3.0), 2, paint), alt, see)


def _migration_note(data: Mapping[str, Any]) -> Note:
    found = data["migration"]
    return Note(
        f"Between the first and the last half of these weeks {percent(found['recorded'])} of the customers stay in "
        f"their segment; in the market {percent(found['simulated'])} do."
    )


def _two_sample(found: Mapping[str, Any]) -> list[Block]:
    rows = [
        [CLASSIFIER_WORDS[kind], decimal(one["auc"], 3), f"{decimal(one['lo'], 3)} to {decimal(one['hi'], 3)}",
         decimal(one["floor"], 3)]
        for kind, one in found["classifiers"].items()
    ]  # fmt: skip
    judged = Table(
        f"Chance of picking the simulated one of two whole trajectories ({found['customers']:,} customers, judged on "
        "customers never seen): .5 is guessing, 1 is certainty. Floor: the same between two halves of the real ones.",
        ["Classifier", "AUC", "95 % interval", "Floor"],
        rows,
    )
    families = Table(
        "What gives the market away: AUC of the trees that see one kind of feature alone, and all others without it.",
        ["Feature", "Alone", "Without it"],
        [
            [FAMILY_WORDS[name], decimal(one["alone"], 3), decimal(one["without"], 3)]
            for name, one in found["families"].items()
        ],
    )
    return [judged, families, Note(f"Single features that help most when shuffled away: {_giveaways(found)}.")]


def _giveaways(found: Mapping[str, Any]) -> str:
    telling = [row for row in found["giveaways"] if row["auc_lost"] > 0.002]
    return ", ".join(f"{row['feature']} ({decimal(row['auc_lost'], 3)})" for row in telling) or "none stands out"


def _offers_table(offers: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        "Share of targeted customers who redeem, held-out customers and weeks; 95 % intervals over customers.",
        ["Type of campaign", "Targeted", "Predicted", "Observed", "95 % interval"],
        [
            [row["name"], f"{row['n']:,}", percent(row["predicted"], 1), percent(row["observed"], 1),
             f"{percent(row['lo'], 1)} to {percent(row['hi'], 1)}"]
            for row in offers
        ],
    )  # fmt: skip


def _metrics_table(metrics: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for metric in metrics:
        digits = 2 if metric["threshold"] >= 0.1 else 3
        value = "–" if metric["value"] is None else decimal(metric["value"], 3)
        rows.append(
            [
                metric["label"],
                value,
                f"{'at least' if metric['at_least'] else 'at most'} {decimal(metric['threshold'], digits)}",
                "–" if metric["floor"] is None else decimal(metric["floor"], 3),
                f"not measured: {metric['why_not']}" if metric["value"] is None else STATUS_WORDS[metric["status"]],
            ]
        )
    return Table(
        "Thresholds were set before the market was measured. Floor: the same figure between two halves of the real "
        "customers, the least that chance alone makes.",
        ["Check", "Value", "Threshold", "Floor", "Verdict"],
        rows,
        text=("Verdict", "Threshold"),
    )
