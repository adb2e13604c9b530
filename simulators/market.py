"""The batched market: one week of n customers as a tensor program, with an untouched twin of each under the same luck.

Every customer is carried twice: as they are under the campaign, and as their shadow would be without any offer. Both
live through the same random draws, so their difference is the uplift, and nothing else.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from campaigns.arithmetic import Promo, eligible_cents, promo_cents
from campaigns.budget import Ledger, serve
from campaigns.errors import InputError
from campaigns.offers import Catalog, OfferColumns
from campaigns.rules import Facts, Rules, allowed
from history.features import features
from history.state import HABIT_HALF_LIFE, State, WeekEvents, advance
from simulators.lift import apply_lift, measure_lift
from simulators.priors import Effects
from simulators.promotion import Categories, Wallet, choose_category, open_wallet, to_cents
from simulators.response import Baseline, ResponseModel
from simulators.shopping import Noise, expected_spend, shop

UNLIMITED = 2**53
"""Budget that never binds [cents]."""


@dataclass
class Horizon:
    """How long a campaign is judged: its weeks, then weeks without offers, then what the customers are worth after."""

    campaign_weeks: int = 8
    washout_weeks: int = 13
    terminal_weeks: float = 4.0
    """Weeks of expected margin at the end that stand for everything after it."""

    def __post_init__(self) -> None:
        if self.campaign_weeks < 1 or self.washout_weeks < 13 or self.terminal_weeks < 0:
            raise InputError(
                f"market.horizon is {self.campaign_weeks} campaign, {self.washout_weeks} wash-out and "
                f"{self.terminal_weeks} terminal weeks; expected at least 1, at least 13 and at least 0"
            )

    @property
    def weeks(self) -> int:
        return self.campaign_weeks + self.washout_weeks


@dataclass(frozen=True, eq=False)
class MarketState:
    """Where n customers in g cohorts of equal size stand; rows of one cohort are contiguous."""

    customer: State
    shadow: State
    offer: Tensor  # live offer, 0 if none, (n,), int64
    weeks_left: Tensor  # of the live offer, (n,), int64
    age: Tensor  # weeks since it was sent, (n,), int64
    ledger: Ledger  # budget of each cohort, (g,) and (g, n / g)
    promoted: Tensor  # category index, (n,), int64
    redeem_hazard: Tensor  # logit of redeeming the logged bundle in a week with a visit, (n,)
    member: Tensor  # ensemble member, (n,), int64
    effects: Effects  # taken per customer
    week: int  # weeks since the campaign began

    @property
    def n(self) -> int:
        return self.offer.shape[0]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a week brought, each shape (n,); money in USD.

    `net` and `shadow_net` are expectations given the state before the week and the offer (visits, redemptions and the
    spread of spend integrated out); the `realised_` pair is what the draws gave. Both have the same mean.
    """

    offer: Tensor  # made this week, after mask, budget and turn, int64
    violation: Tensor  # a forbidden offer was asked for, bool
    visited: Tensor  # bool
    redeemed: Tensor  # bool
    spend: Tensor
    cost: Tensor  # expected promo and contact cost
    net: Tensor
    shadow_net: Tensor
    realised_cost: Tensor
    realised_net: Tensor
    realised_shadow_net: Tensor
    happened: WeekEvents  # the customers' week as the history would have recorded it

    @property
    def uplift(self) -> Tensor:
        return self.net - self.shadow_net


@dataclass(frozen=True, eq=False)
class Market:
    """The rules of one world; all its state is in `MarketState`.

    Attributes:
        stock_share: Part of the catalog's stock that one cohort of this market gets (its size over the shop's).
    """

    response: ResponseModel
    effects: Effects
    catalog: Catalog
    columns: OfferColumns
    rules: Rules
    categories: Categories
    horizon: Horizon
    stock_share: float = 1.0

    @property
    def n_actions(self) -> int:
        return self.catalog.n

    def stock(self, offer: int) -> int | None:
        """Return how many redemptions one cohort may have in a week; at least 1 where the catalog has any."""
        stock = self.catalog.offers[offer].stock
        return None if stock is None else max(round(stock * self.stock_share), min(stock, 1))


def open_market(
    market: Market, start: State, draw: Tensor, *, cohorts: int = 1, budget_cents: int = UNLIMITED
) -> MarketState:
    """Begin a campaign.

    Args:
        market: The world.
        start: Customers at the beginning, n rows.
        draw: Which draw of the effects each customer lives under, shape (n,), int64, < market.effects.n_draws.
        cohorts: How many equal cohorts the rows form; each has its own budget and stock.
        budget_cents: Hard limit on each cohort's committed cost.
    """
    n, device = start.n, start.weeks_seen.device
    zero = torch.zeros(n, dtype=torch.int64, device=device)
    member = draw % market.response.n_members
    return MarketState(
        customer=start,
        shadow=start,
        offer=zero,
        weeks_left=zero,
        age=zero,
        ledger=Ledger.open(budget_cents, (cohorts, n // cohorts), device),
        promoted=choose_category(market.categories, start),
        redeem_hazard=_redeem_hazard(market.response, start, member),
        member=member,
        effects=market.effects.take(draw),
        week=0,
    )


def _redeem_hazard(response: ResponseModel, start: State, member: Tensor) -> Tensor:
    """Turn the chance of redeeming within a six-week bundle into a logit per week with a visit, shape (n,)."""
    chance = torch.sigmoid(response.redemption_logit(features(start), member)).clamp(1e-4, 0.99)
    visits = (6.0 * start.visit_average[:, 2]).clamp(min=1.0)
    return torch.logit(1.0 - (1.0 - chance) ** (1.0 / visits), eps=1e-6)


@dataclass(frozen=True, eq=False)
class Sight:
    """What can be told of n customers before the week's offers: computed once, used by policies and by the week."""

    features: Tensor  # of the customers, (n, n_features)
    wallet: Wallet
    mask: Tensor  # (n, n_actions), bool: which offers each customer may get


def look(market: Market, state: MarketState) -> Sight:
    """Look at the customers before the week."""
    wallet = open_wallet(market.categories, state.customer, state.promoted)
    facts = Facts(
        basket=to_cents(wallet.basket),
        category_eligible=to_cents(wallet.basket * wallet.share),
        margin_bp=torch.round(wallet.margin * 10_000).to(torch.int64),
        recent_contacts=state.customer.recent_contacts[:, : market.rules.contact_window_weeks].sum(dim=1),
        live=state.weeks_left > 0,
        weeks_since_visit=state.customer.weeks_since_visit,
        reachable=torch.full_like(state.offer, state.week < market.horizon.campaign_weeks, dtype=torch.bool),
        budget_left=per_customer(state.ledger.remaining, state.n).unsqueeze(1),
        stock_left=market.columns.stock,
    )
    return Sight(features(state.customer), wallet, allowed(market.columns, market.rules, facts))


def per_customer(of_cohort: Tensor, n: int) -> Tensor:
    """Spread a value of each cohort over its customers, shape (g,) to (n,)."""
    return of_cohort.unsqueeze(1).expand(-1, n // of_cohort.shape[0]).reshape(n)


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
    wallet = sight.wallet
    permitted = sight.mask.gather(1, action.unsqueeze(1)).squeeze(1)
    state, made = _send(market, state, torch.where(permitted, action, torch.zeros_like(action)), noise)
    own, other = _baselines(market, state, sight.features)
    lift = measure_lift(market.columns, state, wallet)
    touched = apply_lift(own, other, lift)
    visited, baskets, spend = shop(touched, noise)
    intent = visited & (state.weeks_left > 0) & (noise.redeem < lift.redeem_chance)
    price = _price(market, state, wallet, spend / baskets)
    promo = price.cost
    redeemed, fill = _serve(market, state, intent & (promo > 0), noise)
    contact = market.columns.contact[made].to(torch.float32) / 100.0
    chance = torch.sigmoid(touched.visit_logit)
    cost = chance * lift.redeem_chance * (state.weeks_left > 0) * fill * promo / 100.0 + contact
    paid = torch.where(redeemed, promo, torch.zeros_like(promo))
    shadow_visited, shadow_baskets, shadow_spend = shop(other, noise)
    saved = torch.where(redeemed, price.discount, torch.zeros_like(promo)) / 100.0
    happened = _events(state.customer, wallet, visited, baskets, spend, saved, redeemed, made)
    outcome = Outcome(
        offer=made,
        violation=~permitted,
        visited=visited,
        redeemed=redeemed,
        spend=spend * visited,
        cost=cost,
        net=wallet.margin * expected_spend(touched) - cost,
        shadow_net=wallet.margin * expected_spend(other),
        realised_cost=paid / 100.0 + contact,
        realised_net=wallet.margin * spend * visited - paid / 100.0 - contact,
        realised_shadow_net=wallet.margin * shadow_spend * shadow_visited,
        happened=happened,
    )
    nothing = torch.zeros_like(saved)
    alone = _events(
        state.shadow, wallet, shadow_visited, shadow_baskets, shadow_spend, nothing, nothing > 0, torch.zeros_like(made)
    )
    settled = _settle(state, redeemed, paid)
    return replace(settled, customer=advance(state.customer, happened), shadow=advance(state.shadow, alone)), outcome


def terminal_value(market: Market, state: MarketState) -> Tensor:
    """Return what the customers' state is worth beyond the horizon, over their shadows' [USD], shape (n,).

    The expected margin of one more week without offers, held for `Horizon.terminal_weeks`.
    """
    wallet = open_wallet(market.categories, state.customer, state.promoted)
    own, other = _baselines(market, state, features(state.customer))
    none = torch.zeros_like(state.offer)
    lift = measure_lift(market.columns, replace(state, offer=none, weeks_left=none), wallet)
    difference = expected_spend(apply_lift(own, other, lift)) - expected_spend(other)
    return market.horizon.terminal_weeks * wallet.margin * difference


def _send(market: Market, state: MarketState, wanted: Tensor, noise: Noise) -> tuple[MarketState, Tensor]:
    """Send the offers that the budget still covers in the worst case; earlier turns are served first."""
    shape = state.ledger.reserved.shape
    worst = market.columns.cap[wanted] + market.columns.contact[wanted]
    ledger, granted = state.ledger.grant(worst.view(shape), noise.turn.view(shape))
    made = torch.where(granted.view(-1), wanted, torch.zeros_like(wanted))
    new = made > 0
    state = replace(
        state,
        offer=torch.where(new, made, state.offer),
        weeks_left=torch.where(new, market.columns.weeks[made], state.weeks_left),
        age=torch.where(new, torch.zeros_like(state.age), state.age),
        ledger=ledger.commit(market.columns.contact[made].view(shape)),
    )
    return state, made


def _settle(state: MarketState, redeemed: Tensor, paid: Tensor) -> MarketState:
    """Age the live offers; give back what a redeemed or expired one no longer owes."""
    shape = state.ledger.reserved.shape
    left = torch.where(redeemed, torch.zeros_like(state.weeks_left), (state.weeks_left - 1).clamp(min=0))
    ended = left == 0
    return replace(
        state,
        offer=torch.where(ended, torch.zeros_like(state.offer), state.offer),
        weeks_left=left,
        age=state.age + 1,
        ledger=state.ledger.commit(paid.view(shape)).release(ended.view(shape)),
        week=state.week + 1,
    )


def _baselines(market: Market, state: MarketState, seen: Tensor) -> tuple[Baseline, Baseline]:
    """Return the learned baseline of the customers as they are (`seen`) and of their shadows, in one pass."""
    both = torch.cat([seen, features(state.shadow)])
    base = market.response.baseline(both, torch.cat([state.member, state.member]))
    n = state.n
    own = Baseline(base.visit_logit[:n], base.extra_baskets[:n], base.spend_log_mean[:n], base.spend_log_sd[:n])
    other = Baseline(base.visit_logit[n:], base.extra_baskets[n:], base.spend_log_mean[n:], base.spend_log_sd[n:])
    return own, other


def _price(market: Market, state: MarketState, wallet: Wallet, basket: Tensor) -> Promo:
    """Return what redeeming the live offer on this basket [USD] saves the customer and costs the shop."""
    whole = to_cents(basket)
    eligible = eligible_cents(market.columns, state.offer, whole, to_cents(basket * wallet.share))
    return promo_cents(market.columns, state.offer, whole, eligible)


def _serve(market: Market, state: MarketState, claims: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
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


def _events(
    state: State, wallet: Wallet, visited: Tensor, baskets: Tensor, spend: Tensor, saved: Tensor, redeemed: Tensor,
    offer: Tensor,
) -> WeekEvents:  # fmt: skip
    """Write down a simulated week as the history would have recorded it."""
    spend = spend * visited
    habit = state.promo_average / state.spend_average[:, 2].clamp(min=1e-3)
    return WeekEvents(
        baskets=baskets * visited,
        spend=spend,
        promo_spend=spend * habit.clamp(max=1.0),
        saving=saved,
        redeemed=redeemed.to(torch.float32),
        contacted=(offer > 0).to(torch.float32),
        exposure=state.exposure_average / (1.0 - 0.5 ** (state.weeks_seen / HABIT_HALF_LIFE)).clamp(min=1e-6),
        category_spend=spend.unsqueeze(1) * wallet.taste,
    )
