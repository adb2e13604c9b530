"""What a week of the market is made of, in the order in which it happens: offers go out, shocks fall, baskets fill.

Then coupons are priced and served, the week is written down, offers age, and customers come and go.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from campaigns.arithmetic import Promo, eligible_cents, promo_cents
from campaigns.budget import serve
from campaigns.offers import OfferColumns
from history.features import HABIT, exposure_rate, features
from history.state import State, WeekEvents, where_state
from simulators.promotion import Wallet, to_cents
from simulators.records import Market, MarketState
from simulators.response import Baseline
from simulators.shopping import Bought, Noise, with_traits
from simulators.visit import Appetite, VisitModel, category_shares, promo_share

ABSENT = -30.0
"""Logit of a visit by somebody who is not a customer of the shop."""


def of_person(values: Tensor, shops: int) -> Tensor:
    """Sum a value over the rows of each person, one row per shop, and give it to each of them, shape (n,)."""
    if shops == 1:
        return values
    return values.view(-1, shops).sum(dim=1, keepdim=True).expand(-1, shops).reshape(-1)


def per_customer(of_cohort: Tensor, n: int) -> Tensor:
    """Spread a value of each cohort over its customers, shape (..., g) to (..., n)."""
    return of_cohort.unsqueeze(-1).expand(*of_cohort.shape, n // of_cohort.shape[-1]).flatten(-2)


def send(market: Market, state: MarketState, wanted: Tensor, noise: Noise) -> tuple[MarketState, Tensor]:
    """Send the offers that the budget still covers in the worst case; earlier turns are served first."""
    shape = state.ledger.reserved.shape
    wanted = _one_per_person(wanted, noise, market.shops)
    worst = (market.columns.cap + market.columns.contact)[wanted]
    ledger, granted = state.ledger.grant(worst.view(shape), noise.turn.view(shape))
    made = wanted * granted.view(-1)
    new = made > 0
    state = replace(
        state,
        offer=torch.where(new, made, state.offer),
        weeks_left=torch.where(new, market.columns.weeks[made], state.weeks_left),
        age=state.age * ~new,
        ledger=ledger.commit(market.columns.contact[made].view(shape)),
    )
    return state, made


def _one_per_person(wanted: Tensor, noise: Noise, shops: int) -> Tensor:
    """Keep one new offer per person and week: that of the shop whose turn comes first."""
    if shops == 1:
        return wanted
    turn = torch.where(wanted > 0, noise.turn, torch.full_like(noise.turn, 2.0)).view(-1, shops)
    first = turn == turn.min(dim=1, keepdim=True).values
    return wanted * first.view(-1)


def shake(market: Market, state: MarketState, noise: Noise) -> MarketState:
    """Draw what moves all customers of a cohort this week and, in the first week, what lasts of each."""
    shape = state.ledger.reserved.shape
    luck = torch.stack([noise.week_visit, noise.week_baskets, noise.week_spend]).view(3, *shape)[:, :, 0]
    state = replace(state, shock=market.response.shocks.next(state.shock, luck))
    if state.week == 0:
        state = replace(state, trait_baskets=noise.trait_baskets, trait_spend=noise.trait_spend)
    return state


def weather(state: MarketState) -> Tensor:
    """Return the week's shocks as each customer feels them, shape (n, 3)."""
    return per_customer(state.shock, state.n).T


def baselines(market: Market, state: MarketState, seen: Tensor, weather: Tensor) -> Baseline:
    """Return the learned baselines of the customers as they are (`seen`), and of their shadows beside them."""
    response = market.response
    own = response.baseline(seen, state.member)
    base = own.beside(response.baseline(features(state.shadow), state.member))
    visit, baskets, spend = weather.unbind(dim=1)
    level, season = market.level, market.season.at(state.week)
    base = replace(
        base,
        visit_logit=torch.where(state.here, base.visit_logit + (visit + (level.visit + season[0])), ABSENT),
        extra_baskets=base.extra_baskets * torch.exp(baskets + level.baskets),
        spend_log_mean=base.spend_log_mean + (spend + (level.spend + season[1])),
    )
    return with_traits(response.visit, base, state.trait_baskets, state.trait_spend)


def price_offer(terms: OfferColumns, wallet: Wallet, basket: Tensor) -> Promo:
    """Return what redeeming offers of these terms on this basket [USD] saves the customer and costs the shop."""
    whole, every = to_cents(basket), slice(None)
    return promo_cents(terms, every, whole, eligible_cents(terms, every, whole, to_cents(basket * wallet.share)))


def serve_claims(market: Market, state: MarketState, claims: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
    """Hand out limited stock in order of arrival.

    Returns:
        Served, shape (n,), bool; and each customer's chance that a claim of theirs is served, given the claims of the
        others and before anybody's time of arrival is known, shape (n,).
    """
    fill = torch.ones_like(noise.arrival)
    shape = state.ledger.reserved.shape
    for index in range(1, market.n_actions):
        stock = market.stock(index)
        if stock is None:
            continue
        of_offer = state.offer == index
        mine = (claims & of_offer).view(shape)
        served = serve(mine, noise.arrival.view(shape), stock)
        others = mine.sum(dim=1, keepdim=True) - mine.to(torch.int64)
        chance = (stock / (others + 1)).clamp(max=1.0).view(-1)
        fill = torch.where(of_offer, chance, fill)
        claims = claims & (served.view(-1) | ~of_offer)
    return claims, fill


@dataclass(frozen=True, eq=False)
class Deal:
    """What offers had to do with a week, each shape (n,)."""

    saved: Tensor  # [USD]
    redeemed: Tensor  # bool
    contacted: Tensor  # bool


def write_down(
    visit: VisitModel, state: State, taste: Appetite, bought: Bought, noise: Noise, deal: Deal
) -> WeekEvents:
    """Write down a simulated week as the history would have recorded it."""
    visited = bought.visited.to(torch.float32)
    spend = bought.spend * visited
    habit = (state.promo_average / state.spend_average[:, HABIT].clamp(min=1e-3)).clamp_(max=1.0)
    shares = category_shares(visit, taste, bought.spend, noise.categories)
    return WeekEvents(
        baskets=bought.baskets * visited,
        spend=spend,
        promo_spend=spend * promo_share(visit, habit, bought.spend, noise.promo),
        saving=deal.saved,
        redeemed=deal.redeemed.to(torch.float32),
        contacted=deal.contacted.to(torch.float32),
        exposure=exposure_rate(state),
        category_spend=shares.mul_(spend.unsqueeze(1)),
    )


def settle(state: MarketState, redeemed: Tensor, paid: Tensor) -> MarketState:
    """Age the live offers; give back what a redeemed or expired one no longer owes."""
    shape = state.ledger.reserved.shape
    left = (state.weeks_left - 1).clamp_(min=0) * ~redeemed
    ended = left == 0
    return replace(
        state,
        offer=state.offer * ~ended,
        weeks_left=left,
        age=state.age + 1,
        ledger=state.ledger.commit(paid.view(shape)).release(ended.view(shape)),
        week=state.week + 1,
    )


def come_and_go(market: Market, before: MarketState, after: MarketState, noise: Noise) -> MarketState:
    """Let customers join and leave for good; of those who are not here nothing changes."""
    if not market.population.moves:
        return after
    here, joins = before.here, ~before.here & ~before.gone & (noise.come < market.population.arrival)
    leaves = here & (noise.leave < market.population.churn)
    return replace(
        after,
        customer=where_state(here, after.customer, before.customer),
        shadow=where_state(here, after.shadow, before.shadow),
        here=(here | joins) & ~leaves,
        gone=before.gone | leaves,
    )
