"""The report's section on what the shop's own record says of the policies, beside what the held-out market says."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from serving.figures import FAINT, SERIES, Chart, draw
from serving.section import Heading, Note, Section, Table
from serving.words import decimal, percent

Row = Mapping[str, Any]


def section(data: Mapping[str, Any], currency: str) -> Section:
    """Show every agent on the held-out market and on the log side by side, with verdicts and what the log supports."""
    said = data["said"]
    blocks: list[Note | Heading | Table | Chart] = [_question(data), _side_by_side(data, currency)]
    told = [row for row in data["agents"] if _number(row) and row["offers"] > 0]
    if told:
        blocks.append(_chart(told, data, currency))
    if "campaign" in data:
        blocks += [Heading("A campaign, or none"), _campaign(data, currency)]
    judged = [row for row in data["agents"] if "value" in row] + ([data["campaign"]] if "campaign" in data else [])
    if judged:
        blocks += [Heading("What the log supports"), _support(judged), _weekly(judged)]
        blocks.append(_estimators(judged, data, currency))
    return Section("off-policy", "What the log says", f"{said[:1].upper()}{said[1:]}.", blocks)


def _question(data: Mapping[str, Any]) -> Note:
    left = "; ".join(f"{count:,} because {why}" for why, count in data.get("left_out", {}).items() if count)
    return Note(
        "Two different questions. The held-out market is a model: a policy decides in it week after week, and its "
        "uplift is per customer-week. The log is what happened: it is asked what one decision of the policy would have "
        f"brought in the {data['weeks']} weeks from it on, the shop going on as it did. Only customers and weeks of "
        "the test split are used. Where the log never did what a policy does, there is no number."
        + (f" Left out were {left}." if left else "")
    )


def _side_by_side(data: Mapping[str, Any], currency: str) -> Table:
    rows = [
        [
            row["agent"],
            _span(row["market"]),
            decimal(row["gap"], 3),
            _span(row["uplift"]) if _number(row) else "–",
            *_verdict(row, data),
        ]
        for row in data["agents"]
    ]
    if "as_logged" in data:
        shown = data["as_logged"]
        told = shown["overlap"]
        as_logged = _span(shown) if shown["value"] is not None else "–"
        rows.append(["as the shop decided", "–", "–", as_logged, told["verdict"], told["why"]])
    return Table(
        f"Uplift over no offer with 95 % intervals [{currency}]: on the held-out market per customer-week, with the "
        f"optimism gap (training less held-out market); by the log per decision and the {data['weeks']} weeks from it "
        "on (doubly robust, bootstrap over customers).",
        ["Agent", "Held-out market", "Optimism gap", "Log", "Verdict", "Why"],
        rows,
        text=("Verdict", "Why"),
    )


def _verdict(row: Row, data: Mapping[str, Any]) -> tuple[str, str]:
    if "uplift" in row:
        return row["uplift"]["overlap"]["verdict"], row["uplift"]["overlap"]["why"]
    return row.get("verdict", "not estimable"), row.get("why", data["said"].removeprefix("not estimable: "))


def _chart(rows: list[Row], data: Mapping[str, Any], currency: str) -> Chart:
    backwards = rows[::-1]

    def paint(axes: list[Axes]) -> None:
        titles = (("market", "Held-out market, per customer-week"), ("uplift", "Log, per decision"))
        for ax, (which, title) in zip(axes, titles, strict=True):
            for place, row in enumerate(backwards):
                found = row[which]
                sure = row["uplift"]["overlap"]["verdict"] == "estimable"
                color = SERIES[0] if which == "market" or sure else SERIES[1]
                reach = [[found["value"] - found["lo"]], [found["hi"] - found["value"]]]
                marker = "o" if which == "market" or sure else "D"
                ax.errorbar(found["value"], place, xerr=reach, fmt=marker, ms=6, color=color, ecolor=color)
            ax.axvline(0, color=FAINT, lw=1)
            ax.set_ylim(-0.6, len(rows) - 0.4)
            ax.set_xlabel(f"uplift over no offer [{currency}], 95 % interval")
            ax.set_title(title)
            ax.grid(axis="x")
        axes[0].set_yticks(range(len(rows)), [row["agent"] for row in backwards])
        axes[1].set_yticks(range(len(rows)), [""] * len(rows))

    above = sum(row["uplift"]["lo"] > 0 for row in rows)
    see = (
        f"Intervals right of the zero line are surely better than no offer; by the log that holds for {above} of "
        f"{len(rows)}. Diamonds are weakly supported. The scales differ: compare sides of zero and order, not lengths."
    )
    alt = f"Uplift by the log over {data['weeks']} weeks: " + "; ".join(
        f"{row['agent']} {_span(row['uplift'])}" for row in rows
    )
    return Chart(draw("off-policy", (9.2, 1.4 + 0.36 * len(rows)), 2, paint), alt, see)


def _campaign(data: Mapping[str, Any], currency: str) -> Note:
    campaign = data["campaign"]["uplift"]
    everyone = (
        f"A campaign for everyone instead of for nobody: {_span(campaign)} {currency} per choice, "
        f"{campaign['overlap']['verdict']} ({campaign['overlap']['why']})."
        if campaign["value"] is not None
        else f"What a campaign for everyone would bring is not estimable: {campaign['overlap']['why']}."
    )
    return Note(
        f"The record holds {data['rounds']:,} choices for {data['customers']:,} test customers, {data['with_offer']:,} "
        "of them a campaign. Whom the shop reached it chose by rules of its own: the chances are estimated from what "
        f"was known of the customers, and the numbers are right only if nothing else guided the shop. {everyone} The "
        "section on effects shows, with placebos, how far such comparisons can be trusted."
    )


def _support(rows: list[Row]) -> Table:
    cells = [
        [
            row["agent"],
            percent(row["offers"]),
            f"{found['effective_n']:,.0f}",
            decimal(found["largest_weight"], 1),
            percent(found["unsupported"], 1),
            found["verdict"],
        ]
        for row in rows
        for found in [row["uplift"]["overlap"]]
    ]
    return Table(
        "How far the log covers a policy, or no offer where that is covered less: effective rounds (Kish), largest "
        "weight of one round, and the share of decisions that the log never or too rarely took.",
        ["Agent", "Decisions with an offer", "Effective rounds", "Largest weight", "Unsupported", "Verdict"],
        cells,
        text=("Verdict",),
    )


def _weekly(rows: list[Row]) -> Note:
    sizes = ", ".join(f"{row['agent']} {row['weekly']['effective']:,.0f}" for row in rows)
    return Note(
        "Had a policy decided in all of these weeks, the weights of a customer's weeks would multiply. Of "
        f"{rows[0]['weekly']['customers']:,} customers would effectively be left: {sizes}. Below 10 nothing could be "
        "said of a policy's consequences from week to week, below 100 little; so decisions are judged one by one."
    )


def _estimators(rows: list[Row], data: Mapping[str, Any], currency: str) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row["value"]))
    cells = [[row["agent"], *(_value(row["value"].get(name)) for name in names)] for row in rows]
    return Table(
        f"Net margin of a decision and the {data['weeks']} weeks from it on, as each estimator has it, ± half of the "
        f"95 % interval [{currency}]. All look at the same rounds; where they disagree, a model or a few weights "
        "decide.",
        ["Agent", *names],
        cells,
    )


def _number(row: Row) -> bool:
    return "uplift" in row and row["uplift"]["value"] is not None


def _value(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "–"
    return f"{decimal(found['value'], 2)} ± {decimal((found['hi'] - found['lo']) / 2, 2)}"


def _span(found: Mapping[str, Any]) -> str:
    return f"{decimal(found['value'], 3)} ({decimal(found['lo'], 3)} to {decimal(found['hi'], 3)})"
