"""The report's section on whether planning ahead pays in this market, or whether a bandit suffices."""

from collections.abc import Mapping
from typing import Any, Final

from matplotlib.axes import Axes

from serving.figures import FAINT, SERIES, Chart, draw
from serving.section import Note, Section, Table
from serving.words import decimal, percent

NAMES: Final = {
    "greedy": "This week only (greedy)",
    "patient": "One offer and all that follows from it (patient bandit)",
    "planned": "Best plan found",
}


def section(data: Mapping[str, Any], currency: str) -> Section:
    """Show what the policy that sees only this week leaves on the table."""
    verdict = data["verdict"]
    return Section(
        "warrant",
        "Is planning ahead worth it?",
        f"{verdict[:1].upper()}{verdict[1:]}.",
        [
            Note(
                "Before any agent was trained, three policies that know every number of the training market were "
                f"played through {data['weeks']} campaign weeks and the weeks after, under the same luck: "
                f"{data['customers']:,} customers, each under {data['draws']} draws of the assumed effects, budget and "
                "stock left aside. Where looking ahead brings less than "
                f"{percent(data['material'])}, a bandit is enough and reinforcement learning has little to find. The "
                "plans need not be the best there are: what they bring is a lower bound."
            ),
            _chart(data, currency),
            _table(data, currency),
        ],
    )


def _chart(data: Mapping[str, Any], currency: str) -> Chart:
    rows = list(data["over_greedy"].items())[::-1]

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        for i, (_, over) in enumerate(rows):
            reach = [[over["value"] - over["lo"]], [over["hi"] - over["value"]]]
            ax.errorbar(over["value"], i, xerr=reach, fmt="o", ms=7, color=SERIES[0], ecolor=SERIES[0])
        ax.axvline(0, color=FAINT, lw=1)
        ax.set_yticks(range(len(rows)), ["Best plan found" if n == "planned" else "Patient bandit" for n, _ in rows])
        ax.set_ylim(-0.6, len(rows) - 0.4)
        ax.set_xlabel(f"gain over the policy that only sees this week [{currency} per customer], 95 % interval")
        ax.grid(axis="x")

    clear = sum(over["lo"] > 0 for _, over in rows)
    see = f"An interval right of the zero line means that looking ahead pays; that holds for {clear} of {len(rows)}."
    alt = "; ".join(f"{NAMES[name]}: {decimal(over['value'], 3)} {currency} over greedy" for name, over in rows)
    return Chart(draw("warrant", (7.6, 1.9), 1, paint), alt, see)


def _table(data: Mapping[str, Any], currency: str) -> Table:
    rows = []
    for name, found in data["policies"].items():
        gain, share = found["gain"], data["share"].get(name)
        over = "–" if share is None else f"{percent(share['value'], 1)} ({_span(share)})"
        rows.append(
            [
                NAMES[name],
                f"{decimal(gain['value'], 2)} ({decimal(gain['lo'], 2)} to {decimal(gain['hi'], 2)})",
                over,
                decimal(found["offers"], 2),
            ]
        )
    return Table(
        f"Gain against no offer to the end of the horizon [{currency} per customer], over customers and draws; the "
        "share over greedy is paired, hence its narrower interval.",
        ["Policy", "Gain (95 % interval)", "Over greedy, share of its gain", "Offers per customer"],
        rows,
    )


def _span(share: Mapping[str, float]) -> str:
    return f"{percent(share['lo'], 1)} to {percent(share['hi'], 1)}"
