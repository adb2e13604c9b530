"""No limit of a campaign is ever broken: ten million customer-weeks of policies that try to break them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from agents.decide import best_allowed, certain, masked_softmax
from campaigns.catalog import load_catalog
from campaigns.offers import Catalog, Offer, OfferKind
from campaigns.rules import Rules
from simulators.market import Horizon, Market, look, open_market, step
from simulators.reference import reference_pool, reference_terms, reference_world
from simulators.scenario import Population
from simulators.shopping import draw_noise
from simulators.worlds import build_market
from tests.simulators.adversaries import (
    Spoilt,
    ask_at_the_edge,
    ask_by,
    ask_dearest_of_all,
    ask_forbidden,
    oscillate,
)
from tests.simulators.conftest import DEFAULT_OFFERS
from tests.simulators.inspector import Inspector
from tests.simulators.play import Choose, ask_always, ask_anything, ask_dearest

WEEKS = 12
BATCH = 65_536
FLASH = 9


def catalog() -> Catalog:
    """Return the demo's catalog with an offer for those who stayed away."""
    demo = load_catalog(DEFAULT_OFFERS)
    back = Offer("win_back", OfferKind.COUPON, "come back", value_cents=700, cap_cents=700, weeks=3, contact_cents=5,
                 min_weeks_since_visit=3)  # fmt: skip
    return replace(demo, offers=(*demo.offers, back))


OBSERVER = reference_world().observer


def spoilt(decide: Callable[..., Any]) -> Choose:
    return ask_by(Spoilt(decide, seed=3), OBSERVER)


@dataclass(frozen=True)
class Siege:
    """One way to try it: who asks for what, in which market, with which budget per customer."""

    name: str
    choose: Callable[[], Choose]
    budget_cents: int = 40  # per customer
    rules: Rules = field(default_factory=Rules)
    terms: dict[str, Any] = field(default_factory=dict)
    eager: bool = False  # everybody redeems at once
    barren: bool = False  # no offer may come of it
    cohort: int = 256


SIEGES = (
    Siege("random", lambda: ask_anything(1)),
    Siege("random, little budget", lambda: ask_anything(2), budget_cents=3, cohort=64),
    Siege("random, no budget", lambda: ask_anything(3), budget_cents=0, cohort=64, barren=True),
    Siege("dearest allowed", lambda: ask_dearest, eager=True),
    Siege("dearest of all", lambda: ask_dearest_of_all, rules=Rules(contact_cap=1, contact_window_weeks=2)),
    Siege("forbidden", lambda: ask_forbidden, rules=Rules(margin_floor=0.25), budget_cents=10_000, barren=True),
    Siege("scarce stock", lambda: ask_always(FLASH), terms={"stock_share": 0.02}, rules=Rules(contact_cap=8),
          budget_cents=100_000, eager=True),
    Siege("edge of the cap", lambda: ask_at_the_edge, cohort=32, eager=True),
    Siege("oscillate", lambda: oscillate, rules=Rules(contact_cap=6, contact_window_weeks=8), budget_cents=10_000,
          eager=True),
    Siege("two shops", lambda: ask_anything(4), terms={"shops": 2}, rules=Rules(contact_cap=2), budget_cents=10_000),
    Siege("coming and going", lambda: ask_anything(5), budget_cents=10_000, eager=True,
          terms={"population": Population(newcomers=0.3, arrival=0.2, churn=0.1)}),
    Siege("spoilt scores", lambda: spoilt(lambda s, mask: certain(best_allowed(s, mask), mask.shape[1])),
          budget_cents=200),
    Siege("spoilt logits", lambda: spoilt(masked_softmax), budget_cents=200),
)  # fmt: skip


def market_of(siege: Siege) -> Market:
    terms = replace(reference_terms(catalog()), rules=siege.rules, horizon=Horizon(9, 13), **siege.terms)
    market = build_market(reference_world(), terms)
    if not siege.eager:
        return market
    return replace(market, effects=replace(market.effects, redeem_shift=market.effects.redeem_shift + 12.0))


def besiege(siege: Siege, n: int) -> Inspector:
    """Return what an inspector saw of n customers under siege for `WEEKS` weeks."""
    market, cohort = market_of(siege), min(siege.cohort, n)
    people = reference_pool(2048, seed=21)
    person = torch.arange(n // market.shops) % people.n
    start = people.take(person.repeat_interleave(market.shops))
    budget = siege.budget_cents * cohort
    cohorts = n // cohort
    state = open_market(market, start, torch.arange(n) % market.effects.n_draws, cohorts=cohorts, budget_cents=budget)
    inspector, choose = Inspector(market, start, cohorts, budget), siege.choose()
    generator = torch.Generator().manual_seed(7)
    for _ in range(WEEKS):
        sight = look(market, state)
        wanted = choose(market, state, sight)
        noise = draw_noise(n, state.customer.n_categories, generator)
        after, outcome = step(market, state, sight, wanted, noise)
        inspector.see(state, outcome, wanted)
        state = after
    return inspector


def no_limit_is_broken(siege: Siege, n: int) -> int:
    seen = besiege(siege, n)
    assert not seen.broken, f"{siege.name}: {dict(seen.broken)}"
    assert (seen.offers == 0) if siege.barren else (0 < seen.redeemed < seen.offers)
    return seen.steps


@pytest.mark.parametrize("siege", SIEGES, ids=lambda siege: siege.name)
def test_no_limit_is_ever_broken(siege: Siege) -> None:
    no_limit_is_broken(siege, 1024)


@pytest.mark.slow
def test_no_limit_is_broken_in_ten_million_customer_weeks() -> None:
    assert sum(no_limit_is_broken(siege, BATCH) for siege in SIEGES) >= 10_000_000
