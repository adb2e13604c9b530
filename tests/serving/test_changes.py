"""What changes between two versions is counted against a table made by hand, and said in words."""

import copy
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.changes import Side, changed_share, compare
from tests.serving.signing import ANA, changed, export, open_store

OFFERS = ["none", "coupon_1", "coupon_2", "discount_10"]


def side(manifest, segments, offers: dict[str, str], categories: dict[str, str] | None = None, **changes) -> Side:
    rows = pd.DataFrame(
        {
            "customer_id": list(offers),
            "offer": list(offers.values()),
            "promoted_category": [(categories or {}).get(name, "") for name in offers],
            "cost": [0.0 if offer == "none" else 0.5 for offer in offers.values()],
            "uplift": [0.0 if offer == "none" else 2.0 for offer in offers.values()],
        }
    )
    return Side.of(rows, {**manifest, "rules": segments.to_dict(), **changes})


@pytest.fixture(scope="session")
def segments(build):
    return build().segments


def test_changes_are_those_that_a_hand_counts(manifest, segments):
    before = side(manifest, segments, {"a": "none", "b": "coupon_1", "c": "coupon_2", "d": "discount_10", "e": "none"},
                  {"d": "SOUP"})  # fmt: skip
    after = side(manifest, segments, {"b": "coupon_1", "c": "none", "d": "discount_10", "e": "coupon_1", "f": "none",
                                      "g": "coupon_2"}, {"d": "TEA"})  # fmt: skip
    diff = compare(before, after, (3, 4))
    assert (diff.customers, diff.added, diff.removed, diff.changed, diff.promoted) == (7, 2, 1, 3, 1)
    assert [(move.before, move.after, move.customers) for move in diff.moves] == [
        ("", "coupon_2", 1),
        ("coupon_2", "none", 1),
        ("none", "coupon_1", 1),
    ]
    assert diff.share == changed_share(before, after) == 3 / 7
    figures = {figure.name: (figure.before, figure.after) for figure in diff.figures}
    assert figures["Customers with an offer"] == (3, 4)
    assert figures["Expected cost of these offers [USD]"] == (1.5, 2.0)
    assert figures["What they may cost at worst [USD]"] == (6.06, 7.08)
    assert figures["Budget of arm optimised [USD]"] == (100.0, 100.0)
    assert json.loads(json.dumps(diff.to_dict(), allow_nan=False))["share"] == 3 / 7
    assert diff.text().splitlines()[:3] == [
        "From v000003 to v000004, the decision for 3 of 7 customers (42.9 %) changes.",
        "2 customers are new in the table.",
        "1 customers are no longer in it.",
    ]
    assert "  coupon_2 -> none" in diff.text()
    assert "Expected cost of these offers [USD]: 1.50 -> 2 (+0.50, +33.3 %)" in diff.text()


def test_the_same_name_on_other_terms_is_another_offer(manifest, segments):
    dearer = copy.deepcopy(manifest["catalog"])
    coupon = next(offer for offer in dearer["offers"] if offer["name"] == "coupon_2")
    coupon.update(value_cents=2000, cap_cents=2000)
    renamed = copy.deepcopy(manifest["catalog"])
    next(offer for offer in renamed["offers"] if offer["name"] == "coupon_2")["label"] = "two dollars"
    given = {"a": "coupon_2", "b": "coupon_1"}
    before = side(manifest, segments, given)
    diff = compare(before, side(manifest, segments, given, catalog=dearer), (1, 2))
    assert (diff.changed, diff.moves[0].before, diff.moves[0].after) == (1, "coupon_2", "coupon_2")
    assert "coupon_2 -> coupon_2, on other terms" in diff.text()
    assert "Catalog: 'coupon_2' has value_cents 2000 instead of 200" in diff.text()
    assert compare(before, side(manifest, segments, given, catalog=renamed), (1, 2)).changed == 0


def test_rules_offers_and_settings_that_come_and_go_are_named(manifest, segments):
    fewer = copy.deepcopy(manifest["catalog"])
    gone = fewer["offers"].pop()
    plain = segments.to_dict()
    last = plain["rules"][-1]
    last.update(offer="gift", offer_label="a gift", weights={**last["weights"], last["offer"]: 0.0, "gift": 1.0})
    budget = {**manifest["budget"], "mode": "hard"}
    before = side(manifest, segments, {"a": "none"})
    after = Side(before.pieces, {**manifest, "rules": plain, "catalog": fewer, "budget": budget})
    text = compare(before, after, (1, 2)).text()
    assert f"Catalog: {gone['name']!r} ({gone['label']}) is gone" in text
    assert "Rules that are new:\n  everyone else: a gift" in text
    assert "Rules that are gone:\n  everyone else: " in text
    assert "Setting: budget.mode is hard instead of risk" in text
    assert f"{gone['name']!r} ({gone['label']}) is new" in compare(after, before, (2, 1)).text()


TABLES = st.dictionaries(st.text("abc", min_size=1, max_size=2), st.sampled_from(OFFERS), min_size=1)


@settings(max_examples=30, deadline=None)
@given(TABLES, TABLES)
def test_changes_add_up_and_run_both_ways(manifest, segments, old, new):
    before, after = side(manifest, segments, old), side(manifest, segments, new)
    there, back = compare(before, after, (1, 2)), compare(after, before, (2, 1))
    expected = sum(old.get(name, "none") != new.get(name, "none") for name in {*old, *new})
    assert there.changed == back.changed == expected == sum(move.customers for move in there.moves)
    assert (there.added, there.removed) == (back.removed, back.added)
    assert there.customers == len({*old, *new})
    assert {(m.before, m.after, m.customers) for m in there.moves} == {
        (m.after, m.before, m.customers) for m in back.moves
    }


@settings(max_examples=30, deadline=None)
@given(TABLES, st.randoms(use_true_random=False))
def test_the_order_of_customers_changes_nothing(manifest, segments, table, random):
    mixed = list(table.items())
    random.shuffle(mixed)
    assert compare(side(manifest, segments, table), side(manifest, segments, dict(mixed)), (1, 2)).changed == 0


def test_a_store_tells_what_changes_between_its_versions(build, tmp_path):
    store = open_store(tmp_path / "store")
    store.publish(export(build(), tmp_path / "a"), ANA)
    store.publish(changed(build, tmp_path / "b", 12), ANA)
    diff = store.diff(1, 2)
    assert (diff.changed, diff.share) == (12, 0.04)
    assert store.history()[-1].changed == 0.04
    assert np.sum([move.customers for move in diff.moves if move.after == "none"]) == 12
