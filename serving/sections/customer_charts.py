"""The charts of the section on customers."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from serving.figures import FAINT, INK, SERIES, Chart, draw
from serving.words import decimal, percent

Row = Mapping[str, Any]
ENDS = ("", "_lo", "_hi")
"""What a value's name and those of the ends of its interval end in."""


def lettered(names: Sequence[str]) -> list[str]:
    """Return the names with the letters that the charts call them by."""
    return [f"{chr(ord('A') + i)}  {name}" for i, name in enumerate(names)]


def segments_chart(rows: Sequence[Row], currency: str) -> Chart:
    """Draw the size of each segment, what its customers are worth, and their promotion share."""
    at = np.arange(len(rows))[::-1]
    panels = (
        ("Customers", "share of customers [%]", [tuple(100 * r[f"share{end}"] for end in ENDS) for r in rows]),
        ("Value", f"next 26 weeks [{currency} each]", [tuple(r[f"value{end}"] for end in ENDS) for r in rows]),
        ("Weekly visits", "weeks with a visit [%]", [(100 * r["visit_weeks"],) * 3 for r in rows]),
        ("Promotion", "spend on promotion [%]", [(100 * r["promo_share"],) * 3 for r in rows]),
    )  # fmt: skip

    def paint(axes: list[Axes]) -> None:
        for i, (ax, (title, unit, values)) in enumerate(zip(axes, panels, strict=True)):
            middle, lo, hi = (np.array(column) for column in zip(*values, strict=True))
            ax.barh(at, middle, color=SERIES[0], height=0.6, alpha=0.75)
            ax.errorbar(middle, at, xerr=[middle - lo, hi - middle], fmt="none", ecolor=INK, lw=1.2)
            labels = [_wrap(name) for name in lettered([r["segment"] for r in rows])]
            ax.set_yticks(at, labels if i == 0 else [""] * len(rows))
            ax.tick_params(axis="y", length=0)
            ax.xaxis.set_major_locator(MaxNLocator(3))
            ax.set(title=title, xlabel=unit)
            ax.grid(axis="x")

    best = max(rows, key=lambda r: float(r["value_share"]))
    see = (
        f"Bars are means, thin lines 95 % intervals of shares and values. “{best['segment']}” is "
        f"{percent(best['share'])} of the customers and {percent(best['value_share'])} of the expected value."
    )
    alt = "Segments by size: " + "; ".join(f"{r['segment']} {r['customers']:,}" for r in rows)
    return Chart(draw("segments", (11.0, 1.1 + 0.52 * len(rows)), len(panels), paint), alt, see)


def map_chart(figures: Row, currency: str) -> Chart:
    """Draw customers by recency and frequency; the darker, the more they spend."""
    count, mean = np.array(figures["customers"]), np.array(figures["spend"])
    recency, frequency = _bins(figures["recency"]), _shares(figures["frequency"])

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        for i, j in zip(*np.nonzero(count), strict=True):
            shade = 0.06 + 0.5 * float(mean[i, j] / max(mean.max(), 1e-9))
            ax.fill([j, j + 1, j + 1, j], [i, i, i + 1, i + 1], color=SERIES[0], alpha=shade, lw=0)
            ax.text(j + 0.5, i + 0.5, f"{int(count[i, j]):,}\n{mean[i, j]:,.0f} {currency}", ha="center", va="center")
        ax.set_xticks(np.arange(len(frequency)) + 0.5, frequency)
        ax.set_yticks(np.arange(len(recency)) + 0.5, recency)
        ax.set(xlim=(0, len(frequency)), ylim=(len(recency), 0), ylabel="weeks since the last visit")
        ax.set_xlabel("share of weeks with a visit, half-life 13 weeks [%]")
        ax.tick_params(length=0)

    total = count * mean
    i, j = np.unravel_index(int(total.argmax()), total.shape)
    see = (
        f"In each cell: customers, and their mean spend per week; the stronger the colour, the more they spend. "
        f"{percent(count[i, j] / max(count.sum(), 1))} of the customers make up "
        f"{percent(total[i, j] / max(total.sum(), 1e-9))} of the spend: those who visit in {frequency[j]} % of weeks "
        f"and whose last visit is {recency[i]} {'week' if recency[i] == '1' else 'weeks'} ago."
    )
    return Chart(draw("rfm", (7.6, 4.2), 1, paint), "Map of customers by recency and frequency of visits", see)


def value_chart(figures: Row, currency: str) -> Chart:
    """Draw forecast against observed value by decile, and the value that added up over the held-out weeks."""
    rows, weeks = figures["held_out"]["deciles"], figures["cumulative"]

    def paint(axes: list[Axes]) -> None:
        ax, run = axes
        predicted, observed = (np.array([r[name] for r in rows]) for name in ("predicted", "observed"))
        reach = [[r["observed"] - r["lo"] for r in rows], [r["hi"] - r["observed"] for r in rows]]
        most = 1.05 * max(predicted.max(), max(r["hi"] for r in rows))
        ax.plot([0, most], [0, most], ls="--", lw=1, color=FAINT)
        ax.errorbar(predicted, observed, reach, fmt="o", ms=4, lw=1.5, color=SERIES[0])
        ax.set(title="By tenths of customers", xlim=(0, most), ylim=(0, most))
        ax.set(xlabel=f"forecast [{currency} each]", ylabel=f"observed [{currency} each]")
        x = np.arange(len(weeks) + 1)
        observed, lo, hi = (np.array([0.0, *[w[name] for w in weeks]]) for name in ("observed", "lo", "hi"))
        run.fill_between(x, lo, hi, color=INK, alpha=0.15, lw=0)
        run.plot(x, observed, color=INK, label="observed, 95 %")
        run.plot(x, figures["forecast_mean"] * x / len(weeks), color=SERIES[0], ls="--", label="forecast")
        run.plot(x, figures["naive_mean"] * x / len(weeks), color=SERIES[1], ls=":", label="as last half-year")
        run.set(title="Added up over the weeks", xlabel="held-out weeks", ylabel=f"spend [{currency} each]")
        run.legend(loc="upper left", fontsize=9)
        for one in axes:
            one.grid()

    last = weeks[-1]
    see = (
        f"Dots on the dashed line are right on average: the bars, 95 % intervals, hold the forecast in "
        f"{figures['held_out']['deciles_inside']} of {len(rows)} tenths. After {len(weeks)} weeks customers had spent "
        f"{decimal(last['observed'], 0)} {currency} each ({decimal(last['lo'], 0)} to {decimal(last['hi'], 0)}); "
        f"{decimal(figures['forecast_mean'], 0)} {currency} were forecast."
    )
    return Chart(draw("lifetime", (9.0, 3.7), 2, paint), "Forecast and observed value of test customers", see)


def migration_chart(figures: Row) -> Chart:
    """Draw the share of each segment's customers that is in each segment at the end."""
    moves = np.array(figures["overall"], dtype=float)
    share = moves / np.maximum(moves.sum(axis=1, keepdims=True), 1)
    k, names = len(moves), lettered(figures["segments"])
    first, last = figures["weeks"][0], figures["weeks"][-1]

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        for i in range(k):
            for j in range(k):
                shade = 0.03 + 0.6 * float(share[i, j])
                ax.fill([j, j + 1, j + 1, j], [i, i, i + 1, i + 1], color=SERIES[0], alpha=shade, lw=0)
                ax.text(j + 0.5, i + 0.5, f"{100 * share[i, j]:.0f} %", ha="center", va="center")
        ax.set_xticks(np.arange(k) + 0.5, [name[0] for name in names])
        ax.set_yticks(
            np.arange(k) + 0.5, [f"{_wrap(n)} ({int(c):,})" for n, c in zip(names, moves.sum(1), strict=True)]
        )
        ax.set(xlim=(0, k), ylim=(k, 0), xlabel=f"segment after week {last}", ylabel=f"segment after week {first}")
        ax.tick_params(length=0)

    stayed = ", ".join(percent(value) for value in figures["stayed"])
    see = (
        f"Each row adds up to 100 %: where its customers of week {first} are after week {last}. "
        f"{percent(figures['stayed_overall'])} are in the same segment as then; from quarter to quarter {stayed} stay."
    )
    return Chart(draw("migration", (9.0, 1.1 + 0.55 * k), 1, paint), "Moves between segments over the year", see)


def count_chart(figures: Row) -> Chart:
    """Draw how well each number of segments is separated and how stable it is."""
    trials, k = figures["trials"], figures["k"]
    counts = [t["k"] for t in trials]

    def paint(axes: list[Axes]) -> None:
        apart, stable = axes
        apart.plot(counts, [t["silhouette"] for t in trials], color=SERIES[0], marker="o")
        apart.set(title="Separation", ylabel="silhouette (1 is apart)", ylim=(0, None))
        middle = np.array([t["stability"] for t in trials])
        reach = [[t["stability"] - t["lo"] for t in trials], [t["hi"] - t["stability"] for t in trials]]
        stable.errorbar(counts, middle, reach, fmt="o-", color=SERIES[0], ecolor=FAINT)
        stable.axhline(0.8, color=FAINT, ls="--", lw=1)
        stable.set(title="Stability", ylabel="adjusted Rand index (1 is the same)", ylim=(0, 1.05))
        for ax in axes:
            ax.axvline(k, color=SERIES[1], lw=1.2, ls=":")
            ax.set_xlabel("number of segments")
            ax.set_xticks(counts)
            ax.grid(axis="y")

    see = (
        f"The dotted line marks the {k} segments taken. Bars hold 80 % of the agreements with fits on resampled "
        "customers; above the dashed line a number of segments counts as stable."
    )
    return Chart(draw("segment-count", (8.2, 3.2), 2, paint), "Silhouette and stability by number of segments", see)


def _bins(edges: Sequence[float]) -> list[str]:
    """Return labels of the bins of whole weeks that begin at the edges."""
    inner = [f"{low:g}" if high - low == 1 else f"{low:g} to {high - 1:g}" for low, high in pairwise(edges)]
    return [*inner, f"{edges[-1]:g} or more"]


def _shares(edges: Sequence[float]) -> list[str]:
    return [f"{100 * low:g} to {100 * high:g}" for low, high in pairwise([*edges, 1.0])]


def _wrap(name: str, most: int = 34) -> str:
    """Break a long name at the comma nearest before the limit."""
    if len(name) <= most or ", " not in name[:most]:
        return name
    at = name[:most].rindex(", ") + 1
    return f"{name[:at]}\n     {name[at + 1 :]}"
