"""What an offer does to a customer: never less for a better offer, less for a tired customer, nothing without one."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from campaigns.offers import Catalog, Offer, OfferKind, Scope
from history.state import State
from simulators.lift import Lift, every_saving, expected_saving, live_terms, measure_lift
from simulators.market import MarketState, open_market
from simulators.promotion import Wallet, open_wallet
from simulators.reference import reference_market, reference_pool

DEPTHS = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.9)
VALUES = (25, 50, 100, 200, 500, 1000, 2000)
POOL = reference_pool(256, seed=4)


def ladder() -> Catalog:
    """Return offers of every kind, each kind from the least generous to the most."""
    offers = [Offer("none", OfferKind.NONE, "no offer")]
    for kind, stock in ((OfferKind.DISCOUNT, None), (OfferKind.FLASH_SALE, 10)):
        for i, depth in enumerate(DEPTHS):
            offers.append(Offer(f"{kind.value}_{i}", kind, "x", Scope.CATEGORY, depth, cap_cents=5000, stock=stock))
    for i, value in enumerate(VALUES):
        offers.append(Offer(f"coupon_{i}", OfferKind.COUPON, "x", value_cents=value, cap_cents=value, weeks=4))
        offers.append(
            Offer(f"threshold_{i}", OfferKind.THRESHOLD, "x", value_cents=value, threshold_cents=4000, cap_cents=value)
        )
        offers.append(
            Offer(f"gift_{i}", OfferKind.GIFT, "x", gift_cost_cents=value, threshold_cents=3000, cap_cents=value)
        )
    return Catalog("USD", 0.5, tuple(offers))


MARKET = reference_market(ladder())


def rungs(kind: OfferKind) -> list[int]:
    """Return the ladder's offers of one kind, least generous first."""
    return [i for i, offer in enumerate(MARKET.catalog.offers) if offer.kind is kind]


def holding_every_offer(customer: State, draw: int, age: int = 0) -> tuple[MarketState, Wallet]:
    """Return one customer once per offer of the ladder, each with another one live."""
    n = MARKET.n_actions
    start = customer.take(torch.zeros(n, dtype=torch.int64))
    state = open_market(MARKET, start, torch.full((n,), draw))
    offer = torch.arange(n)
    state = replace(state, offer=offer, weeks_left=(offer > 0).to(torch.int64), age=torch.full((n,), age))
    return state, open_wallet(MARKET.categories, start, state.promoted)


def lifts(customer: State, draw: int, age: int = 0) -> Lift:
    state, wallet = holding_every_offer(customer, draw, age)
    return measure_lift(live_terms(MARKET.columns, state.offer), state, wallet)


@st.composite
def customers(draw: st.DrawFn) -> State:
    """Draw a customer of the pool, poorer or richer, tired or fresh, with more or less in the pantry."""
    customer = POOL.take(torch.tensor([draw(st.integers(0, POOL.n - 1))]))
    wealth = draw(st.floats(0.01, 100.0))
    contacts = torch.tensor([draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=8, max_size=8))])
    return replace(
        customer,
        spend_average=customer.spend_average * wealth,
        category_average=customer.category_average * wealth,
        saving_average=customer.saving_average + draw(st.floats(0.0, 20.0)),
        pantry=customer.pantry + draw(st.floats(0.0, 50.0)),
        recent_contacts=contacts,
    )


draws = st.integers(0, MARKET.effects.n_draws - 1)


def falls(values: Tensor) -> float:
    """Return the most by which a value is lower than one before it."""
    return float((values[:-1] - values[1:]).max())


@settings(max_examples=40, deadline=None)
@given(customers(), draws, st.integers(0, 3), st.sampled_from(list(OfferKind)[1:]))
def test_a_more_generous_offer_of_the_same_kind_never_lowers_the_response(
    customer: State, draw: int, age: int, kind: OfferKind
) -> None:
    lift, ladder_of_kind = lifts(customer, draw, age), rungs(kind)
    for name in ("visit_logit", "spend_log", "redeem_chance"):
        assert falls(getattr(lift, name)[ladder_of_kind]) <= 1e-6, name


@settings(max_examples=40, deadline=None)
@given(customers(), draws)
def test_an_offer_never_lowers_the_response_below_that_without_one(customer: State, draw: int) -> None:
    lift = lifts(customer, draw)
    assert (lift.visit_logit >= 0).all()
    assert (lift.spend_log >= lift.spend_log[0]).all()
    assert lift.visit_logit[0] == 0
    assert lift.redeem_chance[0] == 0
    assert ((lift.redeem_chance >= 0) & (lift.redeem_chance <= 1)).all()


@pytest.mark.parametrize("kind", [OfferKind.DISCOUNT, OfferKind.COUPON, OfferKind.FLASH_SALE])
def test_a_more_generous_offer_does_raise_the_response_of_a_typical_customer(kind: OfferKind) -> None:
    lift = lifts(POOL.take(torch.tensor([7])), draw=0)
    few = rungs(kind)[:4]  # the steepest ones meet the ceiling of the catalog's total discount
    for name in ("visit_logit", "spend_log", "redeem_chance"):
        assert (getattr(lift, name)[few].diff() > 0).all(), name


def test_contact_tires_a_typical_customer() -> None:
    customer = POOL.take(torch.tensor([7]))
    tired = lifts(replace(customer, recent_contacts=torch.ones_like(customer.recent_contacts)), draw=0)
    assert (tired.visit_logit[1:] < lifts(customer, draw=0).visit_logit[1:]).all()


@settings(max_examples=40, deadline=None)
@given(customers(), draws)
def test_one_more_contact_never_raises_what_an_offer_does(customer: State, draw: int) -> None:
    fresh = replace(customer, recent_contacts=torch.zeros_like(customer.recent_contacts))
    tired = replace(fresh, recent_contacts=torch.ones_like(customer.recent_contacts))
    before, after = lifts(fresh, draw), lifts(tired, draw)
    assert (after.visit_logit <= before.visit_logit + 1e-6).all()
    assert (after.spend_log <= before.spend_log + 1e-6).all()


@settings(max_examples=40, deadline=None)
@given(customers(), draws)
def test_an_offer_fades_over_its_life(customer: State, draw: int) -> None:
    pulls = torch.stack([lifts(customer, draw, age).visit_logit for age in range(4)])
    assert falls(-pulls) <= 1e-6


@settings(max_examples=40, deadline=None)
@given(customers(), draws)
def test_past_savings_and_a_full_pantry_never_raise_later_spending(customer: State, draw: int) -> None:
    state, wallet = holding_every_offer(customer, draw)
    saver = replace(
        state.customer, pantry=state.customer.pantry + 10.0, saving_average=state.customer.saving_average + 1.0
    )
    kept = measure_lift(live_terms(MARKET.columns, state.offer), state, wallet).spend_log
    spoilt = measure_lift(live_terms(MARKET.columns, state.offer), replace(state, customer=saver), wallet).spend_log
    assert (spoilt < kept).all()


def test_an_offer_that_is_over_does_nothing() -> None:
    state, wallet = holding_every_offer(POOL.take(torch.tensor([3])), draw=1)
    over = measure_lift(
        live_terms(MARKET.columns, state.offer), replace(state, weeks_left=torch.zeros_like(state.offer)), wallet
    )
    for values in (over.visit_logit, over.spend_log, over.redeem_chance):
        assert (values == 0).all()


def test_the_saving_of_every_offer_is_that_of_each_one() -> None:
    customers = POOL.take(torch.arange(40))
    promoted = torch.zeros(40, dtype=torch.int64)
    wallet = open_wallet(MARKET.categories, customers, promoted)
    table = every_saving(MARKET.columns, wallet)
    for offer in range(MARKET.n_actions):
        assert torch.equal(table[:, offer], expected_saving(MARKET.columns, torch.full((40,), offer), wallet))
    assert (table[:, 0] == 0).all()
