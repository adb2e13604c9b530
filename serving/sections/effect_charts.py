"""Charts of what offers do: estimates beside what should be zero, overlap, balance, the shelf, the Qini curve."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from serving.figures import FAINT, INK, SERIES, Chart, draw
from serving.words import decimal, percent

ORDER: Final = (
    ("naive", "plain difference"),
    ("within_household", "within household, less others"),
    ("difference_in_differences", "difference in differences"),
    ("doubly_robust", "doubly robust"),
    ("doubly_robust_trees", "doubly robust, trees"),
    ("r_learner", "residual on residual"),
    ("placebo_naive", "placebo, plain difference"),
    ("placebo", "placebo, doubly robust"),
)
COVARIATES: Final = 12
"""Most covariates that the balance chart shows, the worst first."""


def forest_chart(group: Mapping[str, Any], currency: str) -> Chart:
    """Draw every method's effect on spend and visits beside the placebos and the negative control."""
    estimates = group["estimates"]
    rows = [(words, estimates[method]) for method, words in ORDER if method in estimates]
    if "control" in estimates["doubly_robust"]:
        control = estimates["doubly_robust"]["control"]
        rows.append(("departments without a coupon", {"spend": control}))
    zero = {"placebo, plain difference", "placebo, doubly robust", "departments without a coupon"}

    def paint(axes: list[Axes]) -> None:
        titles = (("spend", f"Spend [{currency} per week]"), ("visits", "Share of weeks with a visit"))
        for ax, (column, title) in zip(axes, titles, strict=True):
            for i, (words, by_column) in enumerate(reversed(rows)):
                if column not in by_column:
                    continue
                effect = by_column[column]
                color = SERIES[1] if words in zero else SERIES[0]
                marker = "D" if words in zero else "o"
                reach = [[effect["value"] - effect["lo"]], [effect["hi"] - effect["value"]]]
                ax.errorbar(effect["value"], i, xerr=reach, fmt=marker, ms=6, color=color, ecolor=color)
            ax.axvline(0, color=FAINT, lw=1)
            ax.set_ylim(-0.6, len(rows) - 0.4)
            ax.set_xlabel("effect, 95 % interval")
            ax.set_title(title)
            ax.grid(axis="x")
        axes[0].set_yticks(range(len(rows)), [words for words, _ in reversed(rows)])
        axes[1].set_yticks(range(len(rows)), [""] * len(rows))

    naive, robust, placebo = (estimates[name]["spend"] for name in ("naive", "doubly_robust", "placebo_naive"))
    see = (
        f"The plain difference ({decimal(naive['value'], 1)} {currency} a week) is there before the campaigns too "
        f"({decimal(placebo['value'], 1)}): it shows whom the shop chose, not what coupons did. Compared with "
        f"households of equal standing, {decimal(robust['value'], 1)} are left. Diamonds should lie on zero."
    )
    alt = "Effect of coupon campaigns by method: " + "; ".join(
        f"{words} {decimal(effect['spend']['value'], 1)}" for words, effect in rows
    )
    return Chart(draw("effects-forest", (9.2, 1.4 + 0.36 * len(rows)), 2, paint), alt, see)


def overlap_chart(overlap: Mapping[str, Any]) -> Chart:
    """Draw how likely targeted and other households were to be targeted."""
    edges = np.array(overlap["edges"])
    width = edges[1] - edges[0]

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        for name, color, offset in (("targeted", SERIES[1], 0.27), ("others", SERIES[0], 0.73)):
            share = np.array(overlap[name], dtype=float) / max(sum(overlap[name]), 1)
            ax.bar(edges[:-1] + offset * width, share, width=0.42 * width, color=color, label=name)
        for edge in (overlap["kept_from"], overlap["kept_to"]):
            ax.axvline(edge, color=INK, ls="--", lw=1)
        ax.set(xlim=(0, 1), xlabel="estimated chance of being targeted", ylabel="share of household-campaigns")
        ax.legend(loc="upper center")

    see = (
        f"Only between the dashed lines is there somebody to compare with: {percent(overlap['kept_share'])} of the "
        f"household-campaigns, {percent(overlap['kept_share_of_targeted'])} of the targeted ones, are kept."
    )
    alt = "Histogram of the estimated chance of being targeted, of targeted and other household-campaigns"
    return Chart(draw("effects-overlap", (6.4, 3.2), 1, paint), alt, see)


def balance_chart(balance: Sequence[Mapping[str, Any]]) -> Chart:
    """Draw how far apart targeted and others are before and after weighting."""
    worst = balance[:COVARIATES]

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        place = np.arange(len(worst))[::-1]
        ax.axvspan(-0.1, 0.1, color=FAINT, alpha=0.15, lw=0)
        ax.scatter([row["before"] for row in worst], place, marker="o", s=36, color=SERIES[1], label="as they are")
        ax.scatter([row["after"] for row in worst], place, marker="D", s=30, color=SERIES[0], label="weighted")
        ax.axvline(0, color=FAINT, lw=1)
        ax.set_yticks(place, [str(row["name"]).replace("_", " ") for row in worst])
        ax.set_xlabel("targeted less others [standard deviations]")
        ax.grid(axis="x")
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

    most = max((abs(row["after"]) for row in balance), default=0.0)
    see = (
        f"Weighting brings targeted and other households together: the largest difference falls from "
        f"{decimal(max((abs(row['before']) for row in balance), default=0.0), 2)} to {decimal(most, 2)} standard "
        f"deviations; up to 0.1, the grey band, counts as equal."
    )
    alt = "Standardised mean differences of covariates before and after weighting"
    return Chart(draw("effects-balance", (7.4, 1.2 + 0.3 * len(worst)), 1, paint), alt, see)


def shelf_chart(category: Mapping[str, Any]) -> Chart:
    """Draw what showing all usual products of a category does to its purchase now, a week later, and a week before."""
    bought = category["bought"]
    keys = (
        ("shown", "shown this week"),
        ("shown_last_week", "shown last week"),
        ("shown_next_week", "shown next week"),
    )

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        for i, (key, _) in enumerate(keys):
            effect, color = bought[key], SERIES[1] if key == "shown_next_week" else SERIES[0]
            reach = [[100 * (effect["value"] - effect["lo"])], [100 * (effect["hi"] - effect["value"])]]
            ax.errorbar(100 * effect["value"], 2 - i, xerr=reach, fmt="o", ms=7, color=color, ecolor=color)
        ax.axvline(0, color=FAINT, lw=1)
        ax.set_yticks(range(3), [words for _, words in reversed(keys)])
        ax.set_ylim(-0.6, 2.6)
        ax.set_xlabel("category bought [percentage points], 95 % interval")
        ax.grid(axis="x")

    now, later, ahead = (100 * bought[key]["value"] for key, _ in keys)
    see = (
        f"Feature or display of all usual products of a category moves its purchase by {decimal(now, 1)} points the "
        f"same week and by {decimal(later, 1)} the week after (bought ahead); next week's display, which cannot matter "
        f"yet, shows {decimal(ahead, 1)}."
    )
    return Chart(draw("effects-shelf", (7.6, 2.3), 1, paint), "Effect of feature and display on category purchase", see)


def qini_chart(rankings: Mapping[str, Mapping[str, Any]], currency: str) -> Chart:
    """Draw the gain of treating the best-ranked share, with a band, against treating at random."""

    def paint(axes: list[Axes]) -> None:
        for ax, (name, ranking), color in zip(axes, rankings.items(), SERIES, strict=False):
            share = 100 * np.array(ranking["share"])
            ax.fill_between(share, ranking["lo"], ranking["hi"], color=color, alpha=0.2, lw=0, label="95 % band")
            ax.plot(share, ranking["gain"], color=color, label="by uplift")
            ax.plot(share, ranking["random"], color=INK, ls="--", lw=1, label="at random")
            ax.axhline(0, color=FAINT, lw=1)
            ax.set(title=name, xlabel="best-ranked share targeted [%]")
            ax.grid(axis="y")
        axes[0].set_ylabel(f"extra spend [{currency} per week]")
        axes[0].legend(loc="upper left", fontsize=9)

    clear = [name for name, ranking in rankings.items() if ranking["qini"]["lo"] > 0]
    see = (
        f"A curve above the dashed line by more than its band would mean that the ranking finds who answers: "
        f"that holds for {', '.join(clear) if clear else 'none of them'}."
    )
    alt = "Qini curves on held-out customers"
    return Chart(draw("effects-qini", (4.1 * len(rankings), 3.4), len(rankings), paint), alt, see)
