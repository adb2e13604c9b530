"""What may be claimed of agents from the runs that were collected: means over seeds, comparisons, profiles."""

from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from evaluation.claims import claim, interquartile_mean, performance_profile, probability_of_improvement, profile_band
from serving.figures import FAINT, SERIES, Chart, draw
from serving.section import Heading, Note, Section, Table

MOST: Final = len(SERIES)
"""Agents that one chart of profiles shows."""
UNIT: Final = "USD per customer-week"
NOTE: Final = (
    "The interquartile mean is the mean of the middle half of all seeds of all runs; intervals are 95 % percentile "
    "intervals of a bootstrap that draws seeds anew within each run. They say what other seeds might give, not "
    "what other customers would: those intervals are in each run's report. One seed gives no interval, and "
    "with fewer than five it is too narrow. Runs count as "
    "they are, so collect runs of one currency together."
)


def figure_of(table: pd.DataFrame) -> str:
    """Return the column that claims are made of: held-out uplift where every policy has it, else validation."""
    policies = _policies(table)
    return "held_out_uplift" if len(policies) and policies["held_out_uplift"].notna().all() else "validation"


def scores_of(table: pd.DataFrame) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return each agent's scores by run, best agents first; shape (n_seeds,) each."""
    figure = figure_of(table)
    scores: dict[str, dict[str, NDArray[np.float64]]] = {}
    for (agent, run), group in _policies(table).groupby(["agent", "run"]):
        scores.setdefault(str(agent), {})[str(run)] = group.sort_values("seed")[figure].to_numpy(np.float64)
    return dict(sorted(scores.items(), key=lambda item: -interquartile_mean(list(item[1].values()))))


def claims_table(table: pd.DataFrame) -> str:
    """Return the means with their intervals as a text table."""
    head = f"{'agent':<20} {'seeds':>5} {'interquartile mean':>19} {'95 % interval':>20}  [{figure_of(table)}, {UNIT}]"
    lines = [head]
    for agent, tasks in scores_of(table).items():
        found = claim(interquartile_mean, list(tasks.values()))
        seeds = sum(len(task) for task in tasks.values())
        lines.append(f"{agent:<20} {seeds:>5} {found.value:>+19.4f} [{found.lo:>+8.4f}, {found.hi:>+8.4f}]")
    return "\n".join(lines)


def claims_section(table: pd.DataFrame) -> Section:
    """Show what may be claimed."""
    scores = scores_of(table)
    what = figure_of(table).replace("_", " ")
    if not scores:
        return Section("claims", "Nothing finished", "No training of any run was finished.", [_failures(table)])
    blocks: list[Note | Heading | Table | Chart] = [Note(NOTE), _means(scores, what), _profiles(scores, what)]
    blocks += [_comparisons(scores), _failures(table)]
    best = next(iter(scores))
    verdict = f"{best} has the highest interquartile mean of {what} on what was collected."
    return Section("claims", "What may be claimed", verdict, blocks)


def _policies(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["state"] == "finished") & (table["place"] == "train")]


def _means(scores: dict[str, dict[str, NDArray[np.float64]]], what: str) -> Chart:
    agents = list(scores)[::-1]
    found = [claim(interquartile_mean, list(scores[agent].values())) for agent in agents]

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        for i, (agent, one) in enumerate(zip(agents, found, strict=True)):
            points = np.concatenate(list(scores[agent].values()))
            ax.plot(points, [i] * len(points), "|", color=FAINT, ms=12)
            reach = [[one.value - one.lo], [one.hi - one.value]]
            ax.errorbar(one.value, i, xerr=np.maximum(reach, 0), fmt="o", ms=7, color=SERIES[0])
        ax.axvline(0, color=FAINT, lw=1)
        ax.set_yticks(range(len(agents)), agents)
        ax.set_ylim(-0.6, len(agents) - 0.4)
        ax.set_xlabel(f"interquartile mean of {what} [{UNIT}], 95 % interval")
        ax.grid(axis="x")

    see = "Dots are means over seeds with their intervals; each small stroke is one seed."
    alt = "; ".join(f"{agent} {one.value:+.4f}" for agent, one in zip(agents, found, strict=True))
    return Chart(draw("claims-means", (8.6, 1.2 + 0.42 * len(agents)), 1, paint), alt, see)


def _profiles(scores: dict[str, dict[str, NDArray[np.float64]]], what: str) -> Chart:
    shown = list(scores)[:MOST]
    values = np.concatenate([task for agent in shown for task in scores[agent].values()])
    room = 0.05 * (np.ptp(values) or 1.0)
    thresholds = np.linspace(values.min() - room, values.max() + room, 200)

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        for color, agent in zip(SERIES, shown, strict=False):
            tasks = list(scores[agent].values())
            ax.plot(thresholds, 100 * performance_profile(tasks, thresholds), color=color, label=agent)
            lo, hi = profile_band(tasks, thresholds, resamples=500)
            ax.fill_between(thresholds, 100 * lo, 100 * hi, color=color, alpha=0.15, lw=0)
        ax.set_xlabel(f"{what} [{UNIT}]")
        ax.set_ylabel("runs that score above it [%]")
        ax.grid(axis="both")
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

    see = "A line further right is better at every level; where lines cross, neither agent is better throughout."
    return Chart(draw("claims-profiles", (9.6, 3.6), 1, paint), f"Performance profiles of {', '.join(shown)}.", see)


def _comparisons(scores: dict[str, dict[str, NDArray[np.float64]]]) -> Table:
    """Compare each agent with the next best, on the runs that both have."""
    rows = []
    for ours, theirs in pairwise(scores):
        common = sorted(set(scores[ours]) & set(scores[theirs]))
        if not common:
            continue
        found = claim(probability_of_improvement, *([scores[agent][run] for run in common] for agent in (ours, theirs)))
        rows.append([f"{ours} over {theirs}", f"{found.value:.0%}", f"{found.lo:.0%} to {found.hi:.0%}"])
    caption = "How likely a seed of one agent beats a seed of the next best, on the same run."
    return Table(caption, ["comparison", "probability of improvement", "95 % interval"], rows)


def _failures(table: pd.DataFrame) -> Table | Note:
    failed = table[table["state"] == "failed"]
    if failed.empty:
        return Note("No member of a sweep failed.")
    rows = [[str(row["folder"]), str(row["run"]), str(row["reason"])] for _, row in failed.iterrows()]
    return Table("Members of sweeps that failed.", ["member", "run", "reason"], rows, text=("run", "reason"))
