"""Rules played in a policy's place: first match wins, same luck, and what they keep is what they bring."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from evaluation.rollout import AtPrice, Luck, Play, play
from evaluation.ruling import ByRules, Ruling, _Seen, judge_rules, rule_features
from simulators.market import look, open_market, promoted_at
from simulators.profiles.table import profile_customers, score_columns
from tests.evaluation.policies import Anything, First, Nothing
from tests.host import NoHostRoundTrip

COUPON = First((2,))


@pytest.fixture
def many(market, where) -> Play:
    return Play(market, where.observer, where.start, worlds=40, seed=3)


def luck(where):
    half = torch.full((where.start.n,), 0.5)
    return Luck(half, half)


def opened(where):
    state = open_market(where.market, where.start, torch.zeros(where.start.n, dtype=torch.int64))
    return state, look(where.market, state)


def test_rules_that_are_the_policy_keep_all_of_it(many):
    kept = judge_rules([Ruling({}, 2)], AtPrice(COUPON, 0.0), many)
    assert kept.agreement == 1.0
    assert (kept.uplift, kept.cost) == (kept.policy_uplift, kept.policy_cost)
    assert kept.policy_uplift > 0
    assert (kept.uplift_kept, kept.lo, kept.hi) == (1.0, 1.0, 1.0)


def test_rules_without_offers_keep_nothing(many):
    kept = judge_rules([Ruling({}, 0)], AtPrice(COUPON, 0.0), many)
    assert (kept.uplift, kept.cost, kept.uplift_kept) == (0.0, 0.0, 0.0)
    assert kept.agreement < 1.0


def test_no_share_is_told_of_a_policy_that_brings_nothing(where):
    kept = judge_rules([Ruling({}, 3)], AtPrice(Nothing(), 0.0), where)
    assert (kept.uplift_kept, kept.lo, kept.hi) == (None, None, None)


def test_the_policys_own_play_may_be_given(where):
    theirs = play(COUPON, 0.0, where)
    alone = judge_rules([Ruling({}, 3)], AtPrice(COUPON, 0.0), where)
    assert judge_rules([Ruling({}, 3)], AtPrice(COUPON, 0.0), where, theirs) == alone


def test_the_first_rule_that_fits_decides(where):
    state, sight = opened(where)
    weeks = rule_features(state, sight, "USD")["weeks_since_visit"]
    rules = [
        Ruling({"weeks_since_visit": (2.0, None)}, 3),
        Ruling({"weeks_since_visit": (1.0, 4.0)}, 2),
        Ruling({}, 0),
    ]
    action, _ = ByRules(rules, AtPrice(Nothing(), 0.0), _Seen()).choose(where, state, sight, luck(where))
    expected = torch.where(weeks >= 2, 3, torch.where(weeks >= 1, 2, 0))
    allowed = sight.mask.gather(1, expected.unsqueeze(1)).squeeze(1)
    assert len(set(expected.tolist())) == 3
    assert torch.equal(action, expected * allowed)


def test_a_forbidden_offer_becomes_none(where):
    state, sight = opened(where)
    shut = sight.mask.clone()
    shut[::2, 3] = False
    closed = replace(sight, mask=shut)
    action, _ = ByRules([Ruling({}, 3)], AtPrice(Nothing(), 0.0), _Seen()).choose(where, state, closed, luck(where))
    assert torch.equal(action, 3 * shut[:, 3])
    assert 0 < (action == 3).sum() < len(action)


def test_rules_ask_what_the_profiles_say(where):
    """What a rule means of a customer in the market is what it means of a row of the profiles."""
    state, sight = opened(where)
    ids = tuple(f"{i:03d}" for i in range(where.start.n))
    scores = pd.DataFrame({"customer_id": pd.Series(ids, dtype="str"), **dict.fromkeys(score_columns("USD"), 0.0)})
    promoted = promoted_at(where.market, where.start)
    profiles = profile_customers(where.market.categories, where.start, ids, "USD", scores, promoted)
    found = rule_features(state, sight, "USD")
    for name, values in found.items():
        assert values.tolist() == pytest.approx(profiles[name].tolist()), name
    assert set(found) < set(profiles.columns)


def test_deciding_by_rules_makes_no_host_round_trip(where):
    state, sight = opened(where)
    decider = ByRules([Ruling({"promo_share": (0.2, 0.9)}, 3), Ruling({}, 0)], AtPrice(Anything(), 0.0), _Seen())
    with NoHostRoundTrip():
        decider.choose(where, state, sight, luck(where))
