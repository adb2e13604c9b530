"""The batched market: one week of n customers as a tensor program, with an untouched twin of each under the same luck.

Every customer is carried twice: as they are under the campaign, and as their shadow would be without any offer. Both
live through the same random draws, so their difference is the uplift, and nothing else. The records are those of
`simulators.records`, the parts of a week those of `simulators.week`.
"""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from campaigns.budget import UNLIMITED, Ledger
from campaigns.rules import Facts, allowed
from history.features import features
from history.state import State, advance
from simulators.blocks import in_blocks
from simulators.lift import apply_lift, live_terms, measure_lift
from simulators.promotion import choose_category, open_wallet, to_cents
from simulators.records import Answer, Close, Horizon, Market, MarketState, Outcome, Sight, Trip
from simulators.shopping import Noise, expected_spend, shop, visit_chance
from simulators.visit import appetite
from simulators.week import (
    ABSENT,
    Deal,
    baselines,
    come_and_go,
    of_person,
    per_customer,
    price_offer,
    send,
    serve_claims,
    settle,
    shake,
    weather,
    write_down,
)

__all__ = [
    "ABSENT",
    "UNLIMITED",
    "Horizon",
    "Market",
    "MarketState",
    "Outcome",
    "Sight",
    "look",
    "open_market",
    "promoted_at",
    "step",
    "terminal_value",
]


def open_market(
    market: Market, start: State, draw: Tensor, *, cohorts: int = 1, budget_cents: int = UNLIMITED, alike: int = 1
) -> MarketState:
    """Begin a campaign.

    Args:
        market: The world.
        start: Customers at the beginning, n rows.
        draw: Which draw of the effects each customer lives under, shape (n,), int64, < market.effects.n_draws.
        cohorts: How many equal cohorts the rows form; each has its own budget and stock.
        budget_cents: Hard limit on each cohort's committed cost.
        alike: Length of the runs of rows whose draws share an ensemble member, draw % n_members; it divides n.
    """
    n, device, start = start.n, start.weeks_seen.device, start.columnwise()
    zero = torch.zeros(n, dtype=torch.int64, device=device)
    member = draw % market.response.n_members
    seen = features(start)
    return MarketState(
        customer=start,
        shadow=start,
        offer=zero,
        weeks_left=zero,
        age=zero,
        ledger=Ledger.open(budget_cents, (cohorts, n // cohorts), device),
        promoted=promoted_at(market, start),
        redeem_hazard=market.response.redemption_logit(seen, member),
        member=member[::alike],
        shock=torch.zeros(3, cohorts, device=device),
        trait_baskets=torch.zeros(n, device=device),
        trait_spend=torch.zeros(n, device=device),
        here=market.population.here_at_first(draw),
        gone=torch.zeros(n, dtype=torch.bool, device=device),
        effects=market.effects.of_customers(draw, seen),
        week=0,
    )


def promoted_at(market: Market, start: State) -> Tensor:
    """Return the category that is promoted to each customer, shape (n,), int64."""
    if market.cleared is None:
        return choose_category(market.categories, start)
    return torch.full_like(start.weeks_seen, market.cleared, dtype=torch.int64)


def look(market: Market, state: MarketState) -> Sight:
    """Look at the customers before the week."""
    contacts = state.customer.recent_contacts[:, : market.rules.contact_window_weeks].sum(dim=1)
    left = per_customer(state.ledger.remaining, state.n) if state.ledger.bounded else state.ledger.remaining[:1]
    return in_blocks(partial(_look, market), state.offer, (state, of_person(contacts, market.shops), left), state.run)


def _look(market: Market, state: MarketState, contacts: Tensor, budget_left: Tensor) -> Sight:
    seen, wallet = features(state.customer), open_wallet(market.categories, state.customer, state.promoted)
    if state.week >= market.horizon.campaign_weeks:
        return Sight(seen, wallet, (market.columns.kind == 0).expand(state.n, -1))
    facts = Facts(
        basket=to_cents(wallet.basket),
        category_eligible=to_cents(wallet.basket * wallet.share),
        margin_bp=torch.round(wallet.margin * 10_000).to(torch.int64),
        recent_contacts=contacts,
        live=state.weeks_left > 0,
        weeks_since_visit=state.customer.weeks_since_visit,
        reachable=state.here,
        budget_left=budget_left,
        stock_left=market.columns.stock,
    )
    return Sight(seen, wallet, allowed(market.columns, market.rules, facts))


def step(market: Market, state: MarketState, sight: Sight, action: Tensor, noise: Noise) -> tuple[MarketState, Outcome]:
    """Live through one week.

    What customers share, budget and stock, is settled for all of them at once; the rest is done in blocks.

    Args:
        market: The world.
        state: Before the week.
        sight: What `look` said of it.
        action: Offer asked for, shape (n,), int64 in [0, n_actions); a forbidden one becomes 0 and is a violation.
        noise: The week's luck.

    Returns:
        The state after the week, and what happened.
    """
    permitted = sight.mask.gather(1, action.unsqueeze(1)).squeeze(1)
    state, made = send(market, state, action * permitted, noise)
    state = shake(market, state, noise)
    trip = in_blocks(partial(_go, market), state.offer, (state, sight, weather(state), noise), state.run)
    redeemed, fill = serve_claims(market, state, trip.claims, noise)
    known = (state, sight, trip, noise, Answer(made, permitted, redeemed, fill))
    end = in_blocks(partial(_close, market), state.offer, known, state.run)
    after = replace(settle(state, redeemed, trip.price.cost * redeemed), customer=end.customer, shadow=end.shadow)
    return come_and_go(market, state, after, noise), end.outcome


def _go(market: Market, state: MarketState, sight: Sight, shocks: Tensor, noise: Noise) -> Trip:
    """Let customers and shadows shop, and see what their live offers come to."""
    wallet, visit, terms = sight.wallet, market.response.visit, live_terms(market.columns, state.offer)
    lift = measure_lift(terms, state, wallet)
    both = apply_lift(baselines(market, state, sight.features, shocks), lift)
    bought, alone = shop(visit, both, noise).apart()
    net, shadow_net = wallet.margin * expected_spend(visit, both)
    price = price_offer(terms, wallet, bought.spend / bought.baskets)
    claims = bought.visited & (noise.redeem < lift.redeem_chance) & (price.cost > 0)
    return Trip(bought, alone, net, shadow_net, visit_chance(both)[0] * lift.redeem_chance, claims, price)


def _close(market: Market, state: MarketState, sight: Sight, trip: Trip, noise: Noise, answer: Answer) -> Close:
    """Write the week down and move customers and shadows on."""
    visit, margin, redeemed = market.response.visit, sight.wallet.margin, answer.redeemed
    contact = market.columns.contact.index_select(0, answer.made) / 100.0
    cost = torch.addcmul(contact, trip.redemption * answer.fill, trip.price.cost / 100.0)
    paid = trip.price.cost * redeemed / 100.0 + contact
    tastes, none = appetite(visit, sight.wallet.taste), torch.zeros_like(contact)
    deal = Deal(trip.price.discount * redeemed / 100.0, redeemed, answer.made > 0)
    happened = write_down(visit, state.customer, tastes, trip.bought, noise, deal)
    shadowed = write_down(visit, state.shadow, tastes, trip.alone, noise, Deal(none, none, none))
    outcome = Outcome(
        offer=answer.made,
        violation=~answer.permitted,
        visited=trip.bought.visited,
        redeemed=redeemed,
        spend=happened.spend,
        cost=cost,
        net=trip.net - cost,
        shadow_net=trip.shadow_net,
        realised_cost=paid,
        realised_net=margin * happened.spend - paid,
        realised_shadow_net=margin * shadowed.spend,
        happened=happened,
    )
    return Close(advance(state.customer, happened), advance(state.shadow, shadowed), outcome)


def terminal_value(market: Market, state: MarketState) -> Tensor:
    """Return what the customers' state is worth beyond the horizon, over their shadows' [USD], shape (n,).

    The expected margin of one more week without offers, held for `Horizon.terminal_weeks`.
    """
    wallet = open_wallet(market.categories, state.customer, state.promoted)
    none = torch.zeros_like(state.offer)
    lift = measure_lift(live_terms(market.columns, none), replace(state, offer=none, weeks_left=none), wallet)
    both = apply_lift(baselines(market, state, features(state.customer), weather(state)), lift)
    own, shadow = expected_spend(market.response.visit, both).unbind()
    return market.horizon.terminal_weeks * wallet.margin * (own - shadow)
