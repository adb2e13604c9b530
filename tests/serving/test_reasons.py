"""Every customer's offer has a reason that a person can read."""

import numpy as np
import pandas as pd
import pytest

from campaigns.errors import InputError
from serving.arms import Arm
from serving.distillation import distill
from serving.reasons import (
    BOUND_WORDS,
    CHANCES,
    Bound,
    Choice,
    Code,
    Expectation,
    basket_thirds,
    binding,
    describe,
    disclosures,
    reason_codes,
    reasons,
)
from serving.rules import apply_rules


@pytest.fixture
def people():
    return pd.DataFrame(
        {
            "weeks_since_visit": [0, 1, 12],
            "visits_per_week": [1.0, 2.0, 0.1],
            "basket_usd": [90.0, 40.0, 10.0],
            "promo_share": [0.1, 0.7, 0.2],
        }
    )


def test_customers_are_described_by_rhythm_basket_and_habit(people):
    assert describe(people, basket_thirds(people)).tolist() == [
        "weekly visits, big baskets",
        "visits several times a week, medium baskets, buys mostly on promotion",
        "away for 12 weeks, small baskets",
    ]


def test_features_without_a_basket_are_refused(people):
    with pytest.raises(InputError, match="expected one usual basket, as in basket_usd"):
        basket_thirds(people.drop(columns="basket_usd"))


def test_the_first_constraint_that_binds_is_named():
    offer = np.array([2, 0, 0, 0])
    live = np.array([False, True, False, False])
    capped = np.array([True, True, True, False])
    bound = binding(offer, {Bound.LIVE_OFFER: live, Bound.CONTACT_CAP: capped})
    assert [list(Bound)[place] for place in bound] == [Bound.NOTHING, Bound.LIVE_OFFER, Bound.CONTACT_CAP, Bound.PRICE]


def test_a_reason_says_who_what_and_why(catalog, decisions, people):
    segments = distill(decisions, catalog)
    features = people.assign(spend_per_week_usd=1.0)
    offer = np.array([catalog.index("coupon_2"), 0, catalog.index("coupon_2")])
    expected = Expectation(np.array([0.41, 0.0, -0.004]), np.array([0.1, 0.0, -0.2]), np.array([0.8, 0.0, 1234.5]))
    bound = binding(offer, {Bound.CONTACT_CAP: np.array([False, True, False])})
    chance = np.array([CHANCES.index(code) for code in (Code.EXPLORED, Code.HELD_OUT, Code.FAVOURED)])
    said = reasons(
        catalog,
        offer,
        describe(people, basket_thirds(people)),
        expected,
        bound,
        chance,
        (segments, apply_rules(segments, features)),
    )
    assert said.tolist() == [
        "weekly visits, big baskets; 2 USD coupon is expected to bring 0.41 USD (0.10 to 0.80) net, "
        "other than rule 3 (no offer), tried out: drawn by lot where another offer is favoured",
        "visits several times a week, medium baskets, buys mostly on promotion; no offer: contact cap reached",
        "away for 12 weeks, small baskets; 2 USD coupon is expected to bring 0.00 USD (−0.20 to 1,234.50) net, "
        "as rule 1 says",
    ]


def test_every_constraint_but_nothing_has_words():
    assert set(BOUND_WORDS) == set(Bound) - {Bound.NOTHING}


def arms(*names):
    return np.array([list(Arm).index(arm) for arm in names])


def test_codes_say_what_chance_and_rule_had_to_do_with_it(people):
    choice = Choice(np.array([2, 1, 0]), arms(Arm.OPTIMISED, Arm.RANDOM, Arm.HOLDOUT), np.array([False, True, True]))
    assert reason_codes(choice, np.array([True, False, True]), people).tolist() == [
        "explored; as_rule",
        "drawn_evenly; unlike_rule; buys_on_promotion",
        "held_out; as_rule; away",
    ]


def test_what_may_have_to_be_told(catalog):
    offers = np.array([catalog.index(name) for name in ("coupon_2", "gift", "none", "coupon_2", "none")])
    who = arms(Arm.OPTIMISED, Arm.USUAL, Arm.HOLDOUT, Arm.RANDOM, Arm.OPTIMISED)
    choice = Choice(offers, who, np.array([True, True, True, True, False]))
    assert disclosures(choice, catalog).tolist() == [
        "personalised; personalised_price",
        "personalised",
        "experiment",
        "personalised_price; experiment",
        "personalised; experiment",
    ]
