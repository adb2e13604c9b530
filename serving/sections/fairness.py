"""The report's section on fairness: who gets what, by attributes that no decision reads."""

from collections.abc import Mapping
from typing import Any, Final

from serving.section import Heading, Note, Section, Table
from serving.words import decimal, percent

FINDINGS: Final = {
    "pass": "pass",
    "fail": "fail",
    "inconclusive": "inconclusive",
    "not estimable": "not estimable",
}
MEASURES: Final = {"offer_rate": "Gets an offer", "spent": "Spent on a customer"}
FEW: Final = "fewer than 20"


def section(data: Mapping[str, Any], currency: str) -> Section:
    """Show each attribute's groups, the worst ratio, and what decisions tell of it."""
    verdict = data["verdict"]
    blocks: list[Note | Heading | Table] = [Note(_note(data))]
    if data["attributes"]:
        blocks.append(_ratios(data))
    for row in data["attributes"]:
        blocks += [Heading(_name(row["attribute"])), _groups(row, currency), Note(_proxy(row))]
    if data["twins"]:
        blocks.append(_twins(data))
    return Section("fairness", "Is it fair?", f"{verdict[:1].upper()}{verdict[1:]}.", blocks)


def _note(data: Mapping[str, Any]) -> str:
    return (
        "No policy, rule or score reads any of these attributes; they are looked at here alone. Chances of an offer "
        f"and what is expected to be spent are those of the {data['customers']:,} customers of this week's table for "
        f"whom the policy decides, the gain that of {data['held_out']:,} held-out customers. An attribute passes only "
        "where the whole 95 % interval of the worst ratio between two groups lies above "
        f"{decimal(data['limit'], 2)} (four fifths is the rule of thumb of 29 CFR 1607.4(D)); the interval takes in "
        "that the worst two groups were looked for. Groups of fewer than 20 are not judged. A ratio says that groups "
        "are treated differently, not why: who buys more often is offered more."
    )


def _ratios(data: Mapping[str, Any]) -> Table:
    rows = []
    for row in data["attributes"]:
        cells = [_name(row["attribute"]), f"{row['stated']:,}"]
        for measure in MEASURES:
            worst = row["worst"][measure]
            cells.append(
                "not estimable"
                if worst is None
                else f"{decimal(worst['value'], 2)} ({decimal(worst['lo'], 2)} to {decimal(worst['hi'], 2)}): "
                f"{worst['group']} over {worst['against']}"
            )
        rows.append([*cells, FINDINGS[row["finding"]]])
    return Table(
        "Worst ratio between two groups, with its 95 % interval.",
        ["Attribute", "Stated by", *MEASURES.values(), "Finding"],
        rows,
        text=[*MEASURES.values(), "Finding"],
    )


def _groups(row: Mapping[str, Any], currency: str) -> Table:
    rows = [
        [
            group["group"],
            FEW if group["offer_rate"] is None else f"{group['customers']:,}",
            _share(group["offer_rate"]),
            _money(group["spent"]),
            _money(group["uplift"]),
        ]
        for group in row["groups"]
    ]
    return Table(
        f"By group, with 95 % intervals; spent and gain in {currency}, the gain per customer and week.",
        ["Group", "Customers", "Gets an offer", "Spent on a customer", "Gain"],
        rows,
    )


def _share(found: Mapping[str, float] | None) -> str:
    if found is None:
        return FEW
    return f"{percent(found['value'])} ({percent(max(found['lo'], 0.0))} to {percent(min(found['hi'], 1.0))})"


def _money(found: Mapping[str, float] | None) -> str:
    if found is None:
        return FEW
    return f"{decimal(found['value'], 3)} ({decimal(found['lo'], 3)} to {decimal(found['hi'], 3)})"


def _proxy(row: Mapping[str, Any]) -> str:
    if not row["proxy"]:
        return "Whether offers tell the groups apart is not estimable."
    seen = [
        f"{one['group']} (AUC {decimal(one['auc'], 2)}, {decimal(one['lo'], 2)} to {decimal(one['hi'], 2)})"
        for one in row["proxy"]
        if one["p_value"] < 0.05
    ]
    if not seen:
        return "Offers are not seen to tell any group from the others (cross-validated, all groups together 95 %)."
    return f"Offers alone tell better than guessing who is: {', '.join(seen)}; 0.5 is guessing, 1 is certainty."


def _twins(data: Mapping[str, Any]) -> Table:
    rows = [
        [
            twin["feature"],
            decimal(twin["distance"], 4),
            "yes" if twin["in_rules"] else "no",
            "pass" if twin["passes"] else "fail",
        ]
        for twin in data["twins"]
    ]
    return Table(
        "Twins: how far the chances of the offers move, at most, when this alone is another customer's.",
        ["Feature that must not matter", "Largest distance", "In a rule", "Finding"],
        rows,
        text=["In a rule", "Finding"],
    )


def _name(attribute: str) -> str:
    return attribute.replace("_", " ").capitalize()
