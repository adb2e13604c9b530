"""The batched market: one week of n customers as a tensor program, with an untouched twin of each under the same luck.

Every customer is carried twice: as they are under the campaign, and as their shadow would be without any offer. Both
live through the same random draws, so their difference is the uplift, and nothing else. The records are those of
`simulators.records`, the parts of a week those of `simulators.week`.
"""

from dataclasses import replace

import torch
from torch import Tensor

from campaigns.budget import UNLIMITED, Ledger
from campaigns.rules import Facts, allowed
from history.features import features
from history.state import State, advance
from simulators.lift import apply_lift, measure_lift
from simulators.promotion import choose_category, open_wallet, to_cents
from simulators.records import Horizon, Market, MarketState, Outcome, Sight
from simulators.shopping import Noise, expected_spend, shop
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
    wallet = open_wallet(market.categories, state.customer, state.promoted)
    contacts = state.customer.recent_contacts[:, : market.rules.contact_window_weeks].sum(dim=1)
    campaign = torch.full_like(state.here, state.week < market.horizon.campaign_weeks)
    facts = Facts(
        basket=to_cents(wallet.basket),
        category_eligible=to_cents(wallet.basket * wallet.share),
        margin_bp=torch.round(wallet.margin * 10_000).to(torch.int64),
        recent_contacts=of_person(contacts, market.shops),
        live=state.weeks_left > 0,
        weeks_since_visit=state.customer.weeks_since_visit,
        reachable=campaign & state.here,
        budget_left=per_customer(state.ledger.remaining, state.n),
        stock_left=market.columns.stock,
    )
    return Sight(features(state.customer), wallet, allowed(market.columns, market.rules, facts))


def step(market: Market, state: MarketState, sight: Sight, action: Tensor, noise: Noise) -> tuple[MarketState, Outcome]:
    """Live through one week.

    Args:
        market: The world.
        state: Before the week.
        sight: What `look` said of it.
        action: Offer asked for, shape (n,), int64 in [0, n_actions); a forbidden one becomes 0 and is a violation.
        noise: The week's luck.

    Returns:
        The state after the week, and what happened.
    """
    wallet, visit = sight.wallet, market.response.visit
    permitted = sight.mask.gather(1, action.unsqueeze(1)).squeeze(1)
    state, made = send(market, state, action * permitted, noise)
    state = shake(market, state, noise)
    lift = measure_lift(market.columns, state, wallet)
    both = apply_lift(baselines(market, state, sight.features), lift)
    (bought, alone), (net, shadow_net) = shop(visit, both, noise).apart(), wallet.margin * expected_spend(visit, both)
    live = state.weeks_left > 0
    price = price_offer(market, state, wallet, bought.spend / bought.baskets)
    intent = bought.visited & live & (noise.redeem < lift.redeem_chance)
    redeemed, fill = serve_claims(market, state, intent & (price.cost > 0), noise)
    contact = market.columns.contact[made].to(torch.float32) / 100.0
    cost = torch.sigmoid(both.visit_logit[0]) * lift.redeem_chance * live * fill * price.cost / 100.0 + contact
    paid, saved = price.cost * redeemed, price.discount * redeemed / 100.0
    appetites = appetite(visit, wallet.taste)
    happened = write_down(visit, state.customer, appetites, bought, noise, Deal(saved, redeemed, made > 0))
    nothing = torch.zeros_like(redeemed)
    shadowed = write_down(visit, state.shadow, appetites, alone, noise, Deal(torch.zeros_like(saved), nothing, nothing))
    outcome = Outcome(
        offer=made,
        violation=~permitted,
        visited=bought.visited,
        redeemed=redeemed,
        spend=happened.spend,
        cost=cost,
        net=net - cost,
        shadow_net=shadow_net,
        realised_cost=paid / 100.0 + contact,
        realised_net=wallet.margin * happened.spend - paid / 100.0 - contact,
        realised_shadow_net=wallet.margin * shadowed.spend,
        happened=happened,
    )
    after = replace(
        settle(state, redeemed, paid),
        customer=advance(state.customer, happened),
        shadow=advance(state.shadow, shadowed),
    )
    return come_and_go(market, state, after, noise), outcome


def terminal_value(market: Market, state: MarketState) -> Tensor:
    """Return what the customers' state is worth beyond the horizon, over their shadows' [USD], shape (n,).

    The expected margin of one more week without offers, held for `Horizon.terminal_weeks`.
    """
    wallet = open_wallet(market.categories, state.customer, state.promoted)
    none = torch.zeros_like(state.offer)
    lift = measure_lift(market.columns, replace(state, offer=none, weeks_left=none), wallet)
    both = apply_lift(baselines(market, state, features(state.customer)), lift)
    own, shadow = expected_spend(market.response.visit, both)
    return market.horizon.terminal_weeks * wallet.margin * (own - shadow)
