"""Business as usual repeats the logged targeting and says how it translated it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.agent import LoggedTargeting, TrainedPolicy
from agents.business_as_usual import BusinessAsUsualConfig, nearest_coupon
from campaigns.decision import Context
from campaigns.errors import InputError
from campaigns.offers import Catalog, Offer, OfferKind
from tests.agents.market import ExactMonitor, make_world


def learn(logged: LoggedTargeting | None) -> TrainedPolicy:
    world = replace(make_world(4), logged=logged)
    return BusinessAsUsualConfig().build().learn(world, seed=0, monitor=ExactMonitor())


def context(signal: float, price: float, allowed: bool = True) -> Context[torch.Tensor]:
    mask = torch.tensor([[True, True, allowed, True]])
    return Context(torch.tensor([[signal, 0.5, 1.0]]), mask, torch.tensor([price]))


@pytest.mark.parametrize("signal", [-0.8, 0.0, 0.8])
def test_a_coupon_goes_out_as_often_as_it_did(logged: LoggedTargeting, signal: float) -> None:
    dist = learn(logged).action_dist(context(signal, 0.0))[0]
    # 4000 rows give the log-odds of -1 + 2 signal a standard error below 0.08 at these signals
    assert abs(float(torch.logit(dist[2])) - (2 * signal - 1)) < 4 * 0.08
    assert dist[1] == dist[3] == 0


def test_the_price_of_money_changes_nothing_and_a_forbidden_coupon_becomes_no_offer(logged: LoggedTargeting) -> None:
    policy = learn(logged)
    assert torch.equal(policy.action_dist(context(0.3, 0.0)), policy.action_dist(context(0.3, 50.0)))
    assert policy.action_dist(context(0.3, 0.0, allowed=False)).tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_the_mapping_to_the_nearest_coupon_is_recorded(logged: LoggedTargeting) -> None:
    assert learn(logged).meta()["mapping"] == {
        "from": "a coupon campaign starts",
        "median_value_cents": 180.0,
        "offer": "right",
        "offer_value_cents": 200,
    }
    assert [nearest_coupon(logged.catalog, value) for value in (0, 149, 150, 349, 351, 9999)] == [1, 1, 1, 2, 3, 3]


def test_without_a_campaign_or_a_coupon_it_is_no_offer_and_says_so(logged: LoggedTargeting) -> None:
    quiet = replace(logged.feedback, action=np.zeros(logged.feedback.n, np.int64))
    cut = Offer("cut", OfferKind.DISCOUNT, "cut", depth=0.1, cap_cents=100)
    bare = Catalog("USD", 0.5, (logged.catalog.offers[0], cut))
    for log in (None, replace(logged, feedback=quiet)):
        policy = learn(log)
        assert policy.kind == "no_offer" and "no coupon campaign" in policy.meta()["note"]
    assert "catalog has no coupon" in learn(replace(logged, catalog=bare)).meta()["note"]


def test_a_log_in_which_everybody_always_got_a_coupon_is_refused(logged: LoggedTargeting) -> None:
    everybody = replace(logged.feedback, action=np.ones(logged.feedback.n, np.int64))
    with pytest.raises(InputError, match="every row has a coupon"):
        learn(replace(logged, feedback=everybody))
