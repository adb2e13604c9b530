"""The charts of the report: each draws one record and says in a sentence what to see."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from serving.figures import FAINT, INK, SERIES, Chart, draw
from serving.report_data import AgentScore, Budget, CurvePoint, Decile, Response
from serving.words import decimal, percent, signed_money

MARKERS: Final = ("o", "s", "^", "D")


def offers_chart(labels: "pd.Series[str]") -> Chart:
    """Draw how many customers get each offer; `labels` has one entry per customer."""
    counts = labels.value_counts().sort_index().sort_values(kind="stable")

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        ax.barh(np.arange(len(counts)), counts.to_numpy(), color=SERIES[0], height=0.65)
        ax.set_yticks(np.arange(len(counts)), [_short(str(label)) for label in counts.index])
        for i, count in enumerate(counts.to_numpy()):
            ax.annotate(f"{count:,}", (float(count), i), xytext=(5, 0), textcoords="offset points", va="center")
        ax.tick_params(axis="y", length=0)
        ax.set_xticks([])
        ax.set_xlim(0, float(counts.max()) * 1.18)
        ax.set_xlabel("customers this week")
        ax.spines["bottom"].set_visible(False)

    top = counts.index[-1]
    alt = "Customers by offer: " + ", ".join(f"{label} {count:,}" for label, count in counts[::-1].items())
    see = f"{percent(counts.iloc[-1] / counts.sum())} of the customers get the same: {top}."
    return Chart(draw("offers", (5.6, 0.9 + 0.36 * len(counts)), 1, paint), alt, see)


def calibration_chart(response: Response, currency: str) -> Chart | None:
    """Draw predicted against observed by tenths of the rows: visit, redemption, spend; None without any."""
    panels: list[tuple[str, str, Sequence[Decile]]] = []
    for name, fit in (("Visit", response.visit), ("Redemption", response.redemption)):
        if fit is not None:
            panels.append((name, "share of rows", fit.deciles))
    if response.spend:
        panels.append(("Spend with a visit", currency, response.spend))
    if not panels:
        return None

    def paint(axes: list[Axes]) -> None:
        for ax, (title, unit, deciles) in zip(axes, panels, strict=True):
            _calibration(ax, title, unit, deciles)

    rows = [decile for _, _, deciles in panels for decile in deciles]
    hit = sum(d.lo <= d.predicted <= d.hi for d in rows)
    see = (
        f"Dots on the dashed line are right on average; bars are 95 % intervals of what was observed. "
        f"{hit} of {len(rows)} intervals contain the prediction."
    )
    alt = f"Predicted against observed by tenths of the rows: {', '.join(title for title, _, _ in panels)}"
    return Chart(draw("calibration", (3.1 * len(panels) + 0.6, 3.4), len(panels), paint), alt, see)


def _calibration(ax: Axes, title: str, unit: str, deciles: Sequence[Decile]) -> None:
    predicted, observed = np.array([d.predicted for d in deciles]), np.array([d.observed for d in deciles])
    reach = np.array([[d.observed - d.lo for d in deciles], [d.hi - d.observed for d in deciles]])
    most = max(float(predicted.max()), float((observed + reach[1]).max())) * 1.05
    ax.plot([0, most], [0, most], ls="--", lw=1, color=FAINT)
    ax.errorbar(predicted, observed, reach, fmt="o", ms=4, lw=1.5, color=SERIES[0], ecolor=SERIES[0])
    ax.set(title=title, xlim=(0, most), ylim=(0, most), xlabel=f"predicted [{unit}]", ylabel=f"observed [{unit}]")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    ax.grid()


def forest_chart(agents: Sequence[AgentScore], chosen: str, currency: str) -> Chart:
    """Draw each agent's uplift with its interval."""
    ordered = sorted(agents, key=lambda score: score.uplift.value)

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        for i, score in enumerate(ordered):
            mine = score.agent == chosen
            reach = [[score.uplift.value - score.uplift.lo], [score.uplift.hi - score.uplift.value]]
            color, marker = (SERIES[1], "D") if mine else (SERIES[0], "o")
            ax.errorbar(score.uplift.value, i, xerr=reach, fmt=marker, ms=7, color=color, ecolor=color)
        ax.axvline(0, color=FAINT, lw=1)
        names = [f"{named(s.agent)} (chosen)" if s.agent == chosen else named(s.agent) for s in ordered]
        ax.set_yticks(np.arange(len(ordered)), [_short(name) for name in names])
        ax.set_ylim(-0.6, len(ordered) - 0.4)
        ax.set_xlabel(f"uplift against no offer [{currency} per customer and week], 95 % interval")
        ax.grid(axis="x")

    best, clear = ordered[-1], [s for s in ordered if s.uplift.lo > 0]
    see = (
        f"An interval right of the zero line means: better than no offer. That holds for {len(clear)} of "
        f"{len(ordered)} agents; the highest value is that of {named(best.agent)}, "
        f"{signed_money(best.uplift.value, currency, 3)}. "
        f"Where two intervals overlap widely, the order of the two is not certain."
    )
    alt = "Uplift by agent: " + "; ".join(f"{named(s.agent)} {decimal(s.uplift.value, 3)}" for s in reversed(ordered))
    return Chart(draw("forest", (7.6, 1.1 + 0.38 * len(ordered)), 1, paint), alt, see)


def curve_chart(curve: Mapping[str, Sequence[CurvePoint]], budget: Budget, chosen: str, currency: str) -> Chart | None:
    """Draw uplift against cost over budget prices, for at most four agents; None where none spends anything."""
    if not curve:
        return None
    order = sorted(curve, key=lambda agent: (agent != chosen, agent))[: len(SERIES)]

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        for agent, color, marker in zip(order, SERIES, MARKERS, strict=False):
            points = sorted(curve[agent], key=lambda p: p.cost)
            cost = [p.cost for p in points]
            ax.fill_between(cost, [p.lo for p in points], [p.hi for p in points], color=color, alpha=0.15, lw=0)
            ax.plot(cost, [p.uplift for p in points], color=color, marker=marker, ms=5, label=named(agent))
        ax.axhline(0, color=FAINT, lw=1)
        ax.axvline(budget.per_customer_week_usd, color=INK, ls="--", lw=1.2, label="budget")
        ax.set_xlabel(f"expected cost [{currency} per customer and week]")
        ax.set_ylabel(f"uplift [{currency} per\ncustomer and week]")
        ax.grid()
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    best = max(curve[order[0]], key=lambda p: p.uplift)
    see = (
        f"Each line shows what more money brings; bands are 95 % intervals. For {named(order[0])} the uplift is "
        f"highest at a cost of {decimal(best.cost, 3)} {currency} per customer and week; the dashed line is the budget."
    )
    return Chart(draw("curve", (7.6, 3.6), 1, paint), "Uplift against cost for each agent, with the budget", see)


def named(agent: str) -> str:
    """Return an agent's name as people write it."""
    known = {
        "ppo": "PPO",
        "lin_ts": "LinTS",
        "lin_ucb": "LinUCB",
        "square_cb": "SquareCB",
        "neural_linear_ts": "neural-linear TS",
        "knapsack_ahead": "knapsack with foresight",
    }
    return known.get(agent, agent.replace("_", " "))


def _short(text: str, most: int = 36) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
