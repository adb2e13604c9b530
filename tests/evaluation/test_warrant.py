"""Planning is found worthless where nothing carries over, and worth something where offers are paid for later."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from campaigns.errors import InputError
from campaigns.rules import Rules
from evaluation.planning import greedy, no_offer, play_out, take_rows, with_ample_stock
from evaluation.warrant import MATERIAL, WarrantConfig, judge_gains, judge_warrant
from simulators.market import Horizon, Market, look, open_market
from simulators.priors import EffectPriors
from simulators.reference import CATALOG, reference_pool, reference_world
from simulators.worlds import MarketTerms, build_market

SMALL = WarrantConfig(customers=40, draws=12, lessons=200)
ONE_WEEK = replace(CATALOG, offers=tuple(replace(offer, weeks=1) for offer in CATALOG.offers))


def world(priors: EffectPriors, weeks: int = 6) -> Market:
    """Return a market of offers that live for a week, every week of the campaign allowed."""
    terms = MarketTerms(ONE_WEEK, Rules(contact_cap=9), priors, Horizon(campaign_weeks=weeks), draws=256)
    return build_market(reference_world(), terms)


@pytest.mark.slow
def test_where_nothing_carries_over_a_bandit_suffices() -> None:
    flat = EffectPriors(fatigue=0.0, reference_price=0.0, stockpiling=0.0, carryover=1e-3, relative_spread=0.05)
    found = judge_warrant(world(flat), reference_pool(400, 1), SMALL, 3)
    assert abs(found["share"]["planned"]["value"]) < MATERIAL
    assert not found["verdict"].startswith("planning ahead")


@pytest.mark.slow
def test_where_offers_are_paid_for_in_later_weeks_planning_is_worth_its_trouble() -> None:
    harsh = EffectPriors(fatigue=0.0, reference_price=5.0, stockpiling=1.0, tiring_scale=5.0, relative_spread=0.05)
    found = judge_warrant(world(harsh), reference_pool(400, 1), SMALL, 3)
    assert found["over_greedy"]["planned"]["lo"] > 0
    assert found["verdict"].startswith("planning ahead is worth")
    assert found["policies"]["planned"]["offers"] < found["policies"]["greedy"]["offers"]


def test_the_same_seed_gives_the_same_judgement() -> None:
    market, pool = world(EffectPriors(), weeks=1), reference_pool(60, 1)
    tiny = WarrantConfig(customers=20, draws=2, lessons=20)
    first, again = (judge_warrant(market, pool, tiny, 1) for _ in range(2))
    assert first == again
    json.dumps(first, allow_nan=False)


def gains(over: float, usual: float = 2.0, noise: float = 0.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    greedy_gain = usual + rng.normal(0, 0.1, (8, 300))
    planned = greedy_gain + over + noise * rng.normal(size=(8, 300))
    return {"greedy": greedy_gain, "patient": greedy_gain - 0.01, "planned": planned}


def test_the_verdict_says_worth_suffices_or_cannot_tell_by_the_paired_interval() -> None:
    assert judge_gains(gains(0.5, noise=0.1))["verdict"].startswith("planning ahead is worth 25.1 % [24.8")
    assert "suffices: no plan that was found is worth more than" in judge_gains(gains(0.02, noise=0.1))["verdict"]
    assert "suffices: no plan that was found does better" in judge_gains(gains(-0.5))["verdict"]
    assert judge_gains(gains(0.05, noise=9.0))["verdict"].startswith("cannot tell")
    patient = gains(0.5) | {"patient": gains(0.6)["planned"]}
    assert "already gets it" in judge_gains(patient)["verdict"]


def test_a_greedy_policy_that_gains_nothing_is_no_denominator() -> None:
    nothing = dict.fromkeys(("greedy", "patient", "planned"), np.zeros((4, 50)))
    assert judge_gains(nothing)["verdict"].startswith("no policy gains anything")
    assert judge_gains(nothing)["share"] == {"patient": None, "planned": None}
    assert "0.5 USD per customer" in judge_gains({**nothing, "planned": np.full((4, 50), 0.5)})["verdict"]


def test_rows_of_a_market_state_live_on_as_the_whole_does(market: Market) -> None:
    ample = with_ample_stock(market)
    pool = reference_pool(40, 2)
    state = open_market(ample, pool, torch.arange(40))
    index = torch.tensor([5, 5, 39, 0])
    some = take_rows(state, index, state.n)
    assert torch.equal(some.ledger.reserved, torch.zeros(1, 4, dtype=torch.int64))
    assert torch.equal(look(ample, some).mask, look(ample, state).mask[index])
    assert torch.equal(some.customer.spend_average, state.customer.spend_average[index])


def test_greedy_gains_over_no_offer_and_no_offer_gains_nothing(market: Market) -> None:
    ample, pool, draw = with_ample_stock(market), reference_pool(200, 2), torch.arange(200)
    nothing, offers = play_out(ample, pool, draw, no_offer, 1)
    assert float(nothing.abs().max()) == float(offers.sum()) == 0.0
    gain, offers = play_out(ample, pool, draw, greedy, 1)
    assert float(gain.mean()) > 0 and float(offers.sum()) > 0


def test_too_small_a_sample_is_refused() -> None:
    with pytest.raises(InputError, match="customers 1"):
        WarrantConfig(customers=1)
