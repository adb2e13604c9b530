"""Rules distilled from a policy stand for it, exactly where it is a tree, and catch every customer once."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.errors import InputError
from serving.distillation import Decisions, distill, grow
from serving.rules import Condition, HeldOut, Segments, apply_rules
from serving.thresholds import round_threshold, roundest


def test_a_policy_that_is_a_tree_is_recovered_exactly(decisions, catalog):
    segments = distill(decisions, catalog)
    assert (segments.agreement, segments.uplift_kept, segments.enough) == (1.0, 1.0, True)
    assert [(rule.formula, rule.offer) for rule in segments.rules] == [
        ("weeks_since_visit >= 4", "coupon_2"),
        ("weeks_since_visit < 4 and promo_share >= 0.3", "discount_20"),
        ("", "none"),
    ]
    assert [rule.text for rule in segments.rules] == [
        "no visit for at least 4 weeks",
        "a visit less than 4 weeks ago and at least 30 % of spend on promotion",
        "everyone else",
    ]


def test_the_figures_of_a_rule_are_those_of_its_customers(decisions, catalog):
    segments = distill(decisions, catalog)
    rows = apply_rules(segments, decisions.features) == 0
    gain = decisions.gain[rows, catalog.index("coupon_2")]
    first = segments.rules[0]
    assert first.customers == first.reached == rows.sum()
    assert first.uplift == pytest.approx(gain.mean())
    assert first.uplift_hi - first.uplift == pytest.approx(1.96 * gain.std(ddof=1) / np.sqrt(rows.sum()), rel=1e-3)
    assert first.cost == pytest.approx(0.25)
    assert segments.cost == pytest.approx(segments.policy_cost)


def test_a_forbidden_offer_becomes_no_offer(decisions, catalog, with_gain):
    gain = decisions.gain.copy()
    gain[:100, 1:] = -np.inf
    offer = np.where(np.arange(300) < 100, 0, decisions.offer)
    segments = distill(with_gain(gain=gain, offer=offer), catalog)
    assert (segments.agreement, segments.uplift_kept) == (1.0, 1.0)
    coupon = segments.rules[0]
    away = decisions.features["weeks_since_visit"] >= 4
    assert (coupon.offer, coupon.customers, coupon.reached) == ("coupon_2", away.sum(), away[100:].sum())


def test_a_policy_without_offers_is_one_rule_for_everyone(decisions, catalog, with_gain):
    segments = distill(with_gain(offer=np.zeros(300, dtype=np.int64)), catalog, enough=2.0)
    assert segments.agreement < 1.0  # a leaf may earn more than the policy did
    gain = np.where(np.arange(catalog.n) > 0, -1.0, 0.0) * np.ones((300, 1))
    segments = distill(with_gain(offer=np.zeros(300, dtype=np.int64), gain=gain), catalog)
    assert [(rule.text, rule.offer, rule.share) for rule in segments.rules] == [("everyone", "none", 1.0)]
    assert (segments.uplift_kept, segments.enough) == (None, True)


@pytest.mark.parametrize("lo", [0.0, -0.4])
def test_no_share_of_the_uplift_is_told_where_the_policy_s_is_not_clearly_above_0(decisions, catalog, with_gain, lo):
    assert distill(with_gain(uplift_lo=1e-6), catalog).uplift_kept == 1.0
    unclear = distill(with_gain(uplift_lo=lo), catalog)
    assert (unclear.uplift_kept, unclear.enough) == (None, True)
    assert unclear.rules == distill(decisions, catalog).rules


def test_a_leaf_gets_the_offer_that_earns_more_than_the_majoritys(catalog):
    features = pd.DataFrame({"visits_per_week": np.ones(50)})
    gain = np.zeros((50, catalog.n))
    gain[:, 4], gain[:20, 5] = 0.1, 1.0
    offer = np.where(np.arange(50) < 20, 5, 4).astype(np.int64)
    (rule,) = distill(Decisions(features, offer, gain, np.zeros_like(gain), 0.0), catalog).rules
    assert (rule.offer, rule.by_majority) == ("coupon_2", False)
    assert rule.agreement == 0.4


def test_the_budgets_price_counts_against_an_offer(catalog):
    features = pd.DataFrame({"visits_per_week": np.ones(50)})
    gain = np.zeros((50, catalog.n))
    gain[:, 4], gain[:, 5] = 0.5, 0.6
    cost = np.zeros_like(gain)
    cost[:, 4], cost[:, 5] = 0.2, 1.0
    offer = np.where(np.arange(50) < 20, 4, 5).astype(np.int64)
    free, dear = (distill(Decisions(features, offer, gain, cost, 0.0, price), catalog).rules[0] for price in (0.0, 1.0))
    assert (free.offer, dear.offer) == ("coupon_2", "coupon_1")


def test_leaves_are_few_and_large_enough(catalog):
    rng = np.random.default_rng(3)
    n = 2000
    features = pd.DataFrame(rng.normal(size=(n, 6)), columns=list("abcdef"))
    gain = np.c_[np.zeros(n), rng.normal(size=(n, catalog.n - 1)) + features.to_numpy()[:, :1]]
    offer = gain.argmax(axis=1).astype(np.int64)
    segments = distill(Decisions(features, offer, gain, np.abs(gain), 0.0), catalog)
    assert 1 < len(segments.rules) <= 32
    assert not segments.enough
    assert min(rule.customers for rule in segments.rules) >= 20
    assert (np.bincount(apply_rules(segments, features)) == [rule.customers for rule in segments.rules]).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 32), st.integers(1, 15))
def test_every_customer_falls_in_exactly_one_rule(catalog, seed, n, leaves, least):
    rng = np.random.default_rng(seed)
    features = pd.DataFrame({"a": rng.integers(0, 4, n), "b_usd": rng.gamma(1, 30, n), "promo_share": rng.random(n)})
    gain = np.where(rng.random((n, catalog.n)) < 0.2, -np.inf, rng.normal(size=(n, catalog.n)))
    gain[:, 0] = 0.0
    offer = gain.argmax(axis=1).astype(np.int64)
    segments = distill(Decisions(features, offer, gain, np.ones_like(gain), 0.0), catalog, leaves, least)
    fresh = pd.DataFrame({"a": rng.integers(0, 4, 99), "b_usd": rng.gamma(1, 30, 99), "promo_share": rng.random(99)})
    for data in (features, fresh):
        hits = sum(
            np.all([condition.matches(data) for condition in rule.conditions], axis=0).astype(int)
            for rule in segments.rules[:-1]
        )
        assert np.all(np.asarray(hits) <= 1)
        assert ((apply_rules(segments, data) == len(segments.rules) - 1) == (np.asarray(hits) == 0)).all()
    assert sum(rule.customers for rule in segments.rules) == n
    assert len(segments.rules) <= leaves
    assert all(rule.customers >= least for rule in segments.rules) or len(segments.rules) == 1


def growing(decisions, catalog):
    """Return rules of at most so many leaves of a policy that no small tree repeats."""
    rng = np.random.default_rng(3)
    offer = rng.integers(0, catalog.n, decisions.n)
    gain = np.zeros_like(decisions.gain)
    gain[np.arange(decisions.n), offer] = 1.0
    gain[:, 0] = 0.0
    blurred = Decisions(decisions.features, offer, gain, decisions.cost, uplift_lo=0.5)
    return lambda leaves: distill(blurred, catalog, leaves, min_customers=5, enough=2.0)


def keeping(share, policy=1.0):
    def judge(segments):
        uplift = policy * share(len(segments.rules))
        return HeldOut(9, 2, 0.5, None, None, None, uplift, policy, 0.1, 0.1)

    return judge


def test_rules_grow_until_they_keep_enough_on_the_held_out_market(decisions, catalog):
    distil = growing(decisions, catalog)
    sizes = [len(distil(leaves).rules) for leaves in (4, 8, 16, 32)]
    assert sizes == sorted(set(sizes))
    for wanted in sizes:
        grown = grow(distil, keeping(lambda n, wanted=wanted: 0.97 if n >= wanted else 0.96))
        assert (len(grown.rules), grown.enough, grown.held_out.uplift) == (wanted, True, 0.97)


def test_rules_that_never_keep_enough_say_so_and_are_those_that_keep_most(decisions, catalog):
    distil = growing(decisions, catalog)
    second = len(distil(8).rules)
    grown = grow(distil, keeping(lambda n: 0.9 if n == second else 0.5))
    assert (len(grown.rules), grown.enough, grown.held_out.uplift) == (second, False, 0.9)


@pytest.mark.parametrize("policy", [0.0, -2.0])
def test_rules_of_a_policy_that_brings_nothing_or_harm_are_enough_if_they_do_no_worse(decisions, catalog, policy):
    assert grow(growing(decisions, catalog), keeping(lambda n: 1.0, policy)).enough


def test_rules_tried_on_the_held_out_market_survive_their_plain_data(decisions, catalog):
    grown = grow(growing(decisions, catalog), keeping(lambda n: 1.0))
    assert Segments.from_dict(grown.to_dict()) == grown


def test_an_unknown_value_falls_to_the_catch_all(decisions, catalog):
    segments = distill(decisions, catalog)
    unknown = pd.DataFrame({"weeks_since_visit": [np.nan], "promo_share": [0.9], "spend_per_week_usd": [1.0]})
    assert apply_rules(segments, unknown).tolist() == [2]


def test_rules_survive_their_plain_data(decisions, catalog):
    segments = distill(decisions, catalog)
    assert Segments.from_dict(segments.to_dict()) == segments


def test_rules_without_one_last_catch_all_are_refused(decisions, catalog):
    segments = distill(decisions, catalog)
    plain = segments.to_dict()
    for rules in (plain["rules"][:-1], plain["rules"][::-1]):
        with pytest.raises(InputError, match="expected exactly one, as the last rule"):
            Segments.from_dict(plain | {"rules": rules})


@pytest.mark.parametrize("place", ["rules", "conditions", "features", "segments"])
def test_plain_data_with_a_key_too_many_or_too_few_is_one_error(decisions, catalog, place):
    plain = distill(decisions, catalog).to_dict()
    record = {
        "rules": plain["rules"][0],
        "conditions": plain["rules"][0]["conditions"][0],
        "features": plain["features"][0],
        "segments": plain,
    }[place]
    missing = next(iter(record))
    for change in (lambda: record.update(colour="red"), lambda: record.pop("colour") and record.pop(missing)):
        change()
        with pytest.raises(InputError, match="segment rules: a key is missing, unknown"):
            Segments.from_dict(plain)


def test_rules_that_grow_to_a_size_at_once_judge_nothing_and_warn_of_nothing(decisions, with_gain, catalog):
    segments = distill(with_gain(gain=np.zeros_like(decisions.gain)), catalog, max_leaves=8, enough=None)
    assert not segments.enough and segments.uplift_kept is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offer": np.zeros(3, dtype=np.int64)}, "expected n >= 1 rows in all"),
        ({"offer": np.full(300, 2)}, "forbidden; check the mask"),
        ({"cost": np.full((300, 10), np.nan)}, "a gain or cost that is not finite"),
        ({"features": pd.DataFrame({"x": [np.nan] * 300})}, "feature 'x' has a value that is not finite"),
    ],
)
def test_decisions_that_contradict_themselves_are_refused(decisions, with_gain, changes, message):
    gain = decisions.gain.copy()
    gain[:, 2] = np.where(decisions.offer == 2, gain[:, 2], -np.inf)
    with pytest.raises(InputError, match=message):
        with_gain(**({"gain": gain} | changes))


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_the_roundest_number_lies_in_the_gap(low, width):
    high = low + width
    assert low < roundest(low, high) <= high


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(3, 4, 4), (0.297, 0.304, 0.3), (17.1, 17.6, 17.5), (-1, 2, 0), (44, 46, 45), (90, 1400, 1000)],
)
def test_round_numbers_are_the_ones_people_say(low, high, expected):
    assert roundest(low, high) == expected


def test_a_threshold_is_rounded_without_moving_many(catalog):
    value = np.random.default_rng(1).uniform(0, 100, 5000)
    threshold = round_threshold(value, 37.2263, 20)
    assert threshold == 37.0
    assert abs(np.sum(value < threshold) - np.sum(value <= 37.2263)) <= 0.02 * 5000


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition("weeks_since_visit", 1.0, None), "no visit for at least 1 week"),
        (Condition("weeks_since_visit", 1.0, 4.0), "last visit 1 to under 4 weeks ago"),
        (Condition("spend_per_week_usd", None, 30.0), "weekly spend under 30 USD"),
        (Condition("basket_eur", 12.5, None), "usual basket of at least 12.5 EUR"),
        (Condition("promo_share", 0.1, 0.29), "10 to under 29 % of spend on promotion"),
        (Condition("contacts_8w", 2.0, None), "at least 2 contacts in 8 weeks"),
        (Condition("contacts_8w", None, 1.0), "no contact in 8 weeks"),
        (Condition("odd_{thing}", 2.0, None), "odd {thing} at least 2"),
    ],
)
def test_conditions_are_said_in_words(condition, words):
    assert condition.words() == words
