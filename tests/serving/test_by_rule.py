"""A customer whom the table does not know gets what its rules give to one who is alike."""

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.errors import InputError
from serving.arms import GRAIN
from serving.by_rule import weigh
from serving.distillation import distill
from serving.rule_features import feature
from serving.rules import Segments, apply_rules

VALUES = st.fixed_dictionaries(
    {
        "weeks_since_visit": st.one_of(st.none(), st.sampled_from([0.0, 3.0, 3.999, 4.0, 53.0])),
        "promo_share": st.one_of(st.none(), st.floats(0, 1), st.sampled_from([0.3, 0.29999999999999999])),
        "spend_per_week_usd": st.one_of(st.none(), st.floats(0, 1e9)),
    }
)


@pytest.fixture(scope="module")
def segments(decisions, catalog) -> Segments:
    return distill(replace(decisions, floor=0.02), catalog)


@given(values=VALUES)
def test_one_customer_is_served_as_a_batch_is(values, segments, catalog):
    row = pd.DataFrame({name: [float("nan") if value is None else value] for name, value in values.items()})
    rule = segments.rules[apply_rules(segments, row)[0]]
    found = weigh(segments, catalog, values)
    assert found.segment == rule.number
    assert sum(found.weights.values()) == 1.0
    assert all((weight * GRAIN).is_integer() for weight in found.weights.values())
    left_out = {name: value for name, value in values.items() if value is not None}
    assert weigh(segments, catalog, left_out) == found


def test_a_limit_below_is_itself_outside(segments, catalog):
    second = replace(segments.rules[1], number=1)
    only = replace(segments, rules=(second, replace(segments.rules[-1], number=2)))
    assert [c.below for c in second.conditions] == [4.0, None]
    found = [weigh(only, catalog, {"weeks_since_visit": v, "promo_share": 0.3}).segment for v in (3.999, 4.0)]
    assert found == [1, 2]


def test_the_favoured_offer_has_what_the_floor_leaves(segments, catalog):
    found = weigh(segments, catalog, {"weeks_since_visit": 5})
    assert (found.segment, found.offer, list(found.weights)) == (1, "coupon_2", list(catalog.names))
    assert found.weights["coupon_2"] == pytest.approx(0.98 + 0.02 / catalog.n, abs=2 / GRAIN * catalog.n)
    assert min(found.weights.values()) > 0


def test_what_is_forbidden_goes_to_no_offer(segments, catalog):
    whole = weigh(segments, catalog, {"weeks_since_visit": 5})
    found = weigh(segments, catalog, {"weeks_since_visit": 5}, forbidden=["coupon_2"])
    assert (found.offer, found.weights["coupon_2"]) == ("none", 0.0)
    assert found.weights["none"] == whole.weights["none"] + whole.weights["coupon_2"]
    assert weigh(segments, catalog, {}, forbidden=catalog.names).weights["none"] == 1.0


def test_an_offer_for_those_long_away_needs_that_to_be_known(segments, catalog):
    place = catalog.index("coupon_2")
    offers = tuple(replace(o, min_weeks_since_visit=6) if i == place else o for i, o in enumerate(catalog.offers))
    late = replace(catalog, offers=offers)
    assert weigh(segments, late, {"weeks_since_visit": 6}).offer == "coupon_2"
    assert weigh(segments, late, {"weeks_since_visit": 5}).weights["coupon_2"] == 0.0
    assert weigh(segments, late, {}).weights["coupon_2"] == 0.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weeks": 1}, "feature 'weeks' is none of this table's; expected some of weeks_since_visit, promo_share"),
        ({"promo_share": 1.5}, r"promo_share is 1.5; expected 0 to 1 \[share\]"),
        ({"weeks_since_visit": -1}, r"weeks_since_visit is -1; expected 0 to 53 \[weeks\]"),
        ({"spend_per_week_usd": -0.01}, r"is -0.01; expected 0 or more \[USD\]"),
        ({"promo_share": float("nan")}, "promo_share is nan; expected a finite number"),
        ({"spend_per_week_usd": float("inf")}, "is inf; expected a finite number"),
        ({"promo_share": "0.5"}, "promo_share is '0.5'; expected a finite number"),
        ({"promo_share": True}, "promo_share is True; expected a finite number"),
    ],
)
def test_what_cannot_be_is_refused(segments, catalog, values, message):
    with pytest.raises(InputError, match=message):
        weigh(segments, catalog, values)


def test_an_unknown_offer_is_refused(segments, catalog):
    with pytest.raises(InputError, match="forbidden offer 'coupon_9' is not in the catalog"):
        weigh(segments, catalog, {}, forbidden=["coupon_9"])


def test_a_feature_without_an_entry_is_described_by_its_name():
    assert feature("loyalty_points").text == "loyalty points"
    assert feature("loyalty_points").check(-3) == -3.0
    assert feature("basket_eur").unit == "EUR"


def test_rules_that_contradict_themselves_are_refused(segments):
    first = segments.rules[0]
    for change, message in (
        ({"customers": 19}, "rule 1 catches 19 customers; expected 20 or more, merge"),
        ({"weights": {**first.weights, "none": 0.5}}, "weights of rule 1 are"),
        ({"offer": "none"}, "most for none"),
    ):
        with pytest.raises(InputError, match=message):
            replace(segments, rules=(replace(first, **change), *segments.rules[1:]))
    with pytest.raises(InputError, match="rule 1 asks for weeks_since_visit; describe it"):
        replace(segments, features=segments.features[1:])
