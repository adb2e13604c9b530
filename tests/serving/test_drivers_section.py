"""The section on drivers says in words whether policy and rules lean on the same, or that it cannot tell."""

from typing import Any

import pytest

from serving.figures import Chart
from serving.section import Table
from serving.sections.drivers import NAMES, listed, section, verdict

GROUPS = ("rhythm", "value", "promotion", "contacts", "taste")


def bars(**values: float) -> dict[str, dict[str, float]]:
    return {
        name: {"value": values.get(name, 0.0), "lo": 0.9 * values.get(name, 0.0), "hi": 1.1 * values.get(name, 0.0)}
        for name in GROUPS
    }


def outcome(kind: str, **changes: Any) -> dict[str, Any]:
    one = {"value": 0.7, "lo": 0.5, "hi": 0.9}
    share = {"value": 0.8, "lo": 0.7, "hi": 0.9, "n": 400}
    return {
        "typical": 0.4, "policy": bars(value=2.0, rhythm=1.0, promotion=1.0), "rules": bars(value=3.0, rhythm=1.0),
        "rank": one, "weighted": one, "shared": one, "top": ["value", "rhythm"], "top_of": 2, "kind": kind,
        "same_sign": dict.fromkeys(GROUPS, share), "policy_leads": ["value"], "rules_leads": ["value"], **changes,
    }  # fmt: skip


def data(**outcomes: dict[str, Any]) -> dict[str, Any]:
    every = {"face_value": outcome("agree"), "any_offer": outcome("agree"), **outcomes}
    return {"customers": 512, "background": 64, "agreement": 0.83, "outcomes": every}


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (outcome("agree"), "lean on the same, most on spend and basket; 70 % of what they lean on is common"),
        (
            outcome("agree in part"),
            "agree in part: they lean most on spend and basket, but promotion habit is 25 % of what moves the policy, "
            "0 % of what moves the rules; 70 % of what they lean on is common, read the rules as an approximation "
            "that decides as the policy does for 83 %",
        ),
        (
            outcome("disagree", rules_leads=["taste"]),
            "they do not agree: the policy leans on spend and basket, the rules on taste; read the rules as an",
        ),
        (outcome("cannot be told"), "cannot be told: over 512 customers the intervals"),
        (
            outcome("nothing", policy_leads=[], shared=None, rank=None, weighted=None),
            "the policy does not tell customers apart, the rules lean on spend and basket",
        ),
        (
            outcome("nothing", rules_leads=[], shared=None),
            "the rules do not tell customers apart, the policy leans on spend and basket",
        ),
        (outcome("nothing", policy_leads=[], rules_leads=[], shared=None), "policy and rules decide for all alike"),
    ],
)
def test_the_verdict_names_what_both_lean_on_and_what_they_do_not(found: dict[str, Any], says: str) -> None:
    assert says in verdict(found, data())


def test_bars_intervals_and_likeness_of_both_outcomes_are_shown() -> None:
    shown = section(data(), "EUR")
    charts = [block for block in shown.blocks if isinstance(block, Chart)]
    tables = [block for block in shown.blocks if isinstance(block, Table)]
    assert len(charts) == len(tables) == 2 and "[EUR], 95 % interval" in charts[0].svg
    assert "Spend and basket: policy 2.00, rules 3.00" in charts[0].alt
    assert tables[0].rows[0] == (
        "Spend and basket", "2.00 (1.80 to 2.20)", "3.00 (2.70 to 3.30)", "80 % (70 % to 90 %) of 400",
    )  # fmt: skip
    assert tables[0].rows[-1][1:3] == ("none", "none") and "rank correlation 0.70" in tables[0].caption
    assert shown.verdict.startswith("The rules and the policy lean on the same")


def test_what_was_not_measured_is_said_so() -> None:
    share = {"value": None, "lo": None, "hi": None}
    signs = {**{name: {**share, "n": 0} for name in GROUPS}, "value": {**share, "n": 7}}
    found = outcome("nothing", rank=None, weighted=None, shared=None, same_sign=signs, rules_leads=[])
    found["policy"]["allowed"] = found["rules"]["allowed"] = {"value": 5.0, "lo": 4.0, "hi": 6.0}
    table = next(block for block in section(data(face_value=found), "USD").blocks if isinstance(block, Table))
    cells = {row[0]: row[3] for row in table.rows}
    assert cells["What is allowed"] == "not compared" and cells["Taste"] == "–"
    assert cells["Spend and basket"] == "too few customers (7)" and "likeness not told" in table.caption


def test_every_group_has_a_name_and_lists_read_well() -> None:
    from serving.explanations import DRIVERS

    assert set(NAMES) == set(DRIVERS)
    assert (listed([]), listed(["a"]), listed(["a", "b", "c"])) == ("", "a", "a, b and c")
