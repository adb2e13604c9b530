"""The report's section on what the policy leans on, what its rules lean on, and whether that is the same."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes

from serving.figures import FAINT, SERIES, Chart, draw
from serving.section import Heading, Note, Section, Table
from serving.words import decimal, percent

NAMES: Final = {
    "rhythm": "Visiting rhythm",
    "value": "Spend and basket",
    "promotion": "Promotion habit",
    "contacts": "Contact history",
    "taste": "Taste",
    "clock": "Week of the campaign",
    "price": "Budget price",
    "allowed": "What is allowed",
    "other": "Other features",
}
"""The groups as readers call them."""
_OUTCOMES: Final = {
    "face_value": ("What the offer may cost at most", "what the offer may cost at most", "{currency}", 2),
    "any_offer": ("Chance of any offer", "the chance of any offer", "share of 1", 3),
}
"""Heading, name within a sentence, unit and decimals of what drivers are measured of."""


def section(data: Mapping[str, Any], currency: str) -> Section:
    """Show the drivers of a policy and of its rules, as the manifest's `drivers` has them."""
    blocks: list[Note | Heading | Table | Chart] = [Note(_how(data))]
    for name, (title, within, unit, digits) in _OUTCOMES.items():
        found, measure = data["outcomes"][name], unit.format(currency=currency)
        said = "" if name == "face_value" else _sentence(verdict(found, data)) + " "
        blocks += [
            Heading(title),
            Note(said + _typical(name, found, currency)),
            _chart(name, found, f"{within} [{measure}]", digits),
            _table(found, measure, digits),
        ]
    return Section(
        "drivers", "What the policy leans on", _sentence(verdict(data["outcomes"]["face_value"], data)), blocks
    )


def verdict(found: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Say whether rules and policy lean on the same, for one outcome."""
    ours, theirs = (listed([NAMES[name].lower() for name in found[side]]) for side in ("policy_leads", "rules_leads"))
    approximate = f"read the rules as an approximation that decides as the policy does for {percent(data['agreement'])}"
    shared = "" if found["shared"] is None else f"{percent(found['shared']['value'])} of what they lean on is common"
    match found["kind"]:
        case "nothing" if not ours and not theirs:
            return "nothing tells customers apart: policy and rules decide for all alike"
        case "nothing":
            who, other, on = ("policy", "rules lean", theirs) if not ours else ("rules", "policy leans", ours)
            return (
                f"the {who} do{'es' if not ours else ''} not tell customers apart, the {other} on {on}; {approximate}"
            )
        case "cannot be told":
            few = f"over {data['customers']:,} customers the intervals of at least one side all overlap"
            return f"what policy and rules lean on cannot be told: {few}"
        case "agree":
            return f"the rules and the policy lean on the same, {_common(found)}; {shared}"
        case "agree in part":
            said = f"the rules and the policy agree in part: they lean {_common(found)}, but {_besides(found)}"
            return f"{said}; {shared}, {approximate}"
        case _:
            return f"they do not agree: the policy leans on {ours}, the rules on {theirs}; {approximate}"


def _common(found: Mapping[str, Any]) -> str:
    both = [name for name in found["policy_leads"] if name in found["rules_leads"]]
    if both:
        return f"most on {listed([NAMES[name].lower() for name in both])}"
    first, other = found["policy_leads"][0], found["rules_leads"][0]
    return f"the policy most on {NAMES[first].lower()}, the rules most on {NAMES[other].lower()}"


def _besides(found: Mapping[str, Any]) -> str:
    """Name the driver beside the common ones whose part differs most between the two."""
    shares = {side: _shares(found[side], found["same_sign"]) for side in ("policy", "rules")}
    common = set(found["policy_leads"]) & set(found["rules_leads"])
    others = [name for name in found["same_sign"] if name not in common]
    most = max(others, key=lambda name: abs(shares["policy"][name] - shares["rules"][name]))
    own, theirs = shares["policy"][most], shares["rules"][most]
    return (
        f"{NAMES[most].lower()} is {percent(own)} of what moves the policy, {percent(theirs)} of what moves the rules"
    )


def _shares(drivers: Mapping[str, Any], compared: Mapping[str, Any]) -> dict[str, float]:
    whole = sum(drivers[name]["value"] for name in compared)
    return {name: drivers[name]["value"] / whole if whole else 0.0 for name in compared}


def listed(names: Sequence[str]) -> str:
    """Return names as in "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _how(data: Mapping[str, Any]) -> str:
    return (
        "A bar says by how much a group of features moves the decision, up or down, in the mean over "
        f"{data['customers']:,} customers: Shapley values against {data['background']} others who stand for the "
        "typical customer, of the policy before budget and lot and, exactly, of the rules, over the same customers. "
        "They say what the decision is computed from, not what causes what. The week of the campaign and the budget "
        "price are the same for everybody this week and move nobody; what is allowed binds both alike and is left out "
        "of the comparison."
    )


def _typical(name: str, found: Mapping[str, Any], currency: str) -> str:
    if name == "any_offer":
        return (
            f"The policy favours some offer for {percent(found['typical'])} of the typical customers; which of them go "
            "without is then up to the budget, which takes customers in the order of the queue."
        )
    return f"What the policy favours may cost {decimal(found['typical'], 2)} {currency} a customer at most, on average."


def _chart(name: str, found: Mapping[str, Any], unit: str, digits: int) -> Chart:
    order = sorted(found["policy"], key=lambda one: found["policy"][one]["value"])
    sides = (("policy", "policy", 0.19), ("rules", "rules", -0.19))

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        for (side, label, shift), color in zip(sides, SERIES, strict=False):
            bars = [found[side][one] for one in order]
            reach = [[one["value"] - one["lo"] for one in bars], [one["hi"] - one["value"] for one in bars]]
            ax.barh(
                [i + shift for i in range(len(bars))], [one["value"] for one in bars], 0.36, xerr=reach, color=color,
                label=label, error_kw={"ecolor": FAINT, "lw": 1.5},
            )  # fmt: skip
        ax.set_yticks(range(len(order)), [NAMES[one] for one in order])
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(f"mean change of {unit}, 95 % interval")
        ax.set_xlim(left=0)
        ax.grid(axis="x")
        handles, labels = ax.get_legend_handles_labels()
        ax.legend(handles, labels, loc="lower right")

    top = order[-1]
    own, theirs = (decimal(found[side][top]["value"], digits) for side in ("policy", "rules"))
    see = (
        f"The longer the bar, the more the group moves the decision. The policy's longest is {NAMES[top].lower()}, "
        f"{own}; the rules' there is {theirs}."
    )
    alt = "; ".join(
        f"{NAMES[one]}: policy {decimal(found['policy'][one]['value'], digits)}, "
        f"rules {decimal(found['rules'][one]['value'], digits)}"
        for one in reversed(order)
    )
    return Chart(draw(f"drivers-{name}", (7.6, 1.0 + 0.46 * len(order)), 1, paint), alt, see)


def _table(found: Mapping[str, Any], unit: str, digits: int) -> Table:
    order = sorted(found["policy"], key=lambda one: -found["policy"][one]["value"])
    rows = [
        (
            NAMES[one],
            _interval(found["policy"][one], digits),
            _interval(found["rules"][one], digits),
            _same_way(found["same_sign"].get(one)),
        )
        for one in order
    ]
    measures = (
        ("rank correlation", found["rank"]),
        ("weighted Kendall's tau", found["weighted"]),
        ("share in common", found["shared"]),
    )
    alike = ", ".join(f"{name} {_interval(one, 2)}" for name, one in measures if one is not None)
    top = f"of the largest drivers of either ({found['top_of']} at most) {len(found['top'])} in common"
    return Table(
        f"Mean change [{unit}] with 95 % intervals over customers and background; {top}"
        + (f"; {alike}." if alike else "; likeness not told: one of the two leans on nothing."),
        ("Group", "Policy", "Rules", "Moved the same way"),
        rows,
    )


def _interval(one: Mapping[str, float], digits: int) -> str:
    if one["value"] == one["lo"] == one["hi"] == 0:
        return "none"
    return f"{decimal(one['value'], digits)} ({decimal(one['lo'], digits)} to {decimal(one['hi'], digits)})"


def _same_way(share: Mapping[str, Any] | None) -> str:
    if share is None:
        return "not compared"
    if share["value"] is None:
        return "–" if share["n"] == 0 else f"too few customers ({share['n']})"
    return f"{percent(share['value'])} ({percent(share['lo'])} to {percent(share['hi'])}) of {share['n']:,}"
