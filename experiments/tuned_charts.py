"""The charts of a search: how it went, which settings did well, which of them matter."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from serving.figures import FAINT, INK, SERIES, Chart, draw

TOP = 0.25
"""Share of the finished trials that the parallel coordinates show in colour."""

FEW = 4
"""Whole numbers of so few values are marked each."""


def history_chart(table: pd.DataFrame) -> Chart:
    """Draw the score of each trial in order, the best so far, and those that were ended early or failed."""
    done, cut, failed = (table[table["state"] == state] for state in ("complete", "pruned", "fail"))
    best = done["validation"].cummax()

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        ax.step(done["trial"], best, where="post", color=FAINT, lw=1.5, label="best so far")
        ax.plot(done["trial"], done["validation"], "o", color=SERIES[0], label="finished")
        ax.plot(cut["trial"], cut["best_on_the_way"], "x", color=SERIES[1], label="ended early, best until then")
        if len(failed):
            low = min([*done["validation"], *cut["best_on_the_way"]])
            ax.plot(failed["trial"], [low] * len(failed), "v", color=SERIES[3], label="failed")
        ax.set_xlabel("trial")
        ax.set_ylabel("score on validation\n[USD per customer-week]")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(axis="y")
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

    see = f"The line rises whenever a trial beats all before it; it rose last at trial {done['validation'].idxmax()}."
    alt = f"Scores of {len(done)} finished and {len(cut)} early ended trials in order; {len(failed)} failed."
    return Chart(draw("tune-history", (9.6, 3.2), 1, paint), alt, see)


def parallel_chart(table: pd.DataFrame) -> Chart | None:
    """Draw each finished trial as a line through its settings to its score; None for fewer than two."""
    done = table[table["state"] == "complete"]
    if len(done) < 2:
        return None
    names = [name for name in done.columns if name.startswith("agent.")]
    places, marks = zip(*(_axis(done[name]) for name in [*names, "validation"]), strict=True)
    lines = np.stack(places, axis=1)
    best = done["validation"].rank(ascending=False, method="first").to_numpy() <= max(1, round(TOP * len(done)))

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        for line, good in sorted(zip(lines, best, strict=True), key=lambda pair: bool(pair[1])):
            ax.plot(line, color=SERIES[0] if good else FAINT, lw=2.2 if good else 1.0, alpha=1.0 if good else 0.55)
        for i, ticks in enumerate(marks):
            ax.axvline(i, color=INK, lw=1)
            for place, text in ticks:
                last = i == len(marks) - 1
                ax.annotate(
                    text, (i, place), xytext=(5 if last else -5, 0), textcoords="offset points",
                    va="center", ha="left" if last else "right", fontsize=10,
                )  # fmt: skip
        ax.set_xticks(range(len(marks)), [*(name.removeprefix("agent.") for name in names), "score"])
        ax.set_xlim(-0.45, len(marks) - 0.6)
        ax.set_ylim(-0.06, 1.06)
        ax.set_yticks([])
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.tick_params(axis="x", length=0)

    see = (
        f"Each line is a finished trial; the best {int(best.sum())} of {len(done)} are in colour. Where these lines "
        "meet on an axis, that setting does well there; where they fan out, it does not matter much."
    )
    alt = f"Parallel coordinates of {len(done)} trials over {', '.join(names)} and the score."
    return Chart(draw("tune-parallel", (max(7.0, 1.9 * (len(names) + 1)), 4.2), 1, paint), alt, see)


def importance_chart(important: Mapping[str, float]) -> Chart | None:
    """Draw the share of the score's variance that each setting explains; None without any."""
    if not important:
        return None
    names = list(important)[::-1]

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        shares = [100 * important[name] for name in names]
        ax.barh(range(len(names)), shares, color=SERIES[0], height=0.6)
        for i, share in enumerate(shares):
            ax.annotate(f"{share:.0f} %", (share, i), xytext=(5, 0), textcoords="offset points", va="center")
        ax.set_yticks(range(len(names)), names)
        ax.set_xlim(0, max(shares) * 1.15)
        ax.set_xlabel("share of the score's variance over the searched ranges [%]")

    top = next(iter(important))
    see = f"{top} explains most of the differences between trials. With few trials these shares are rough."
    alt = ", ".join(f"{name} {share:.0%}" for name, share in important.items())
    return Chart(draw("tune-importance", (7.0, 1.2 + 0.4 * len(names)), 1, paint), alt, see)


def _axis(values: "pd.Series[Any]") -> tuple[NDArray[np.float64], Sequence[tuple[float, str]]]:
    """Return where each value stands on an axis from 0 to 1, and the axis's marks; logarithmic if apt."""
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        words = sorted(values.astype(str).unique())
        where = {word: i / max(len(words) - 1, 1) for i, word in enumerate(words)}
        return values.astype(str).map(where).to_numpy(np.float64), [(where[word], word) for word in words]
    numbers = values.to_numpy(np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        return np.full(len(numbers), 0.5), [(0.5, f"{low:.3g}")]
    if len(kinds := np.unique(numbers)) <= FEW and pd.api.types.is_integer_dtype(values):
        return (numbers - low) / (high - low), [((kind - low) / (high - low), f"{kind:.0f}") for kind in kinds]
    if low > 0 and high / low > 8:
        places = np.log(numbers / low) / np.log(high / low)
        middle = float(np.sqrt(low * high))
    else:
        places, middle = (numbers - low) / (high - low), (low + high) / 2
    return places, [(0.0, f"{low:.3g}"), (0.5, f"{middle:.3g}"), (1.0, f"{high:.3g}")]
