"""The batched market: one week of n customers as a tensor program, with an untouched twin of each under the same luck.

Every customer is carried twice: as they are under the campaign, and as their shadow would be without any offer. Both
live through the same random draws, so their difference is the uplift, and nothing else.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from campaigns.arithmetic import Promo, eligible_cents, promo_cents
from campaigns.budget import Ledger, serve
from campaigns.errors import InputError
from campaigns.offers import Catalog, OfferColumns
from campaigns.rules import Facts, Rules, allowed
from history.features import exposure_rate, features
from history.state import State, WeekEvents, advance, where_state
from simulators.lift import apply_lift, measure_lift
from simulators.priors import Effects
from simulators.promotion import Categories, Wallet, choose_category, open_wallet, to_cents
from simulators.response import Baseline, ResponseModel
from simulators.scenario import Population, Season
from simulators.shocks import NO_LEVEL, Level
from simulators.shopping import Bought, Noise, expected_spend, shop, with_traits
from simulators.visit import VisitModel, category_shares, promo_share

ABSENT = -30.0
"""Logit of a visit by somebody who is not a customer of the shop."""
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
    shock: Tensor  # common to a cohort this week: logit of a visit, log extra baskets, log spend, (3, g)
    trait_baskets: Tensor  # what lasts of a customer beyond what is known, standard normal, (n,)
    trait_spend: Tensor  # the same, (n,)
    here: Tensor  # is a customer of the shop, (n,), bool
    gone: Tensor  # left for good, (n,), bool
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
        level: What its customers lately did beyond what the response model predicts of them.
        population: Who comes and goes.
        season: What the campaign's weeks bring beyond what the history shows.
        cleared: The category whose stock is cleared, and which is therefore promoted to everybody; None for none.
        shops: On how many shops each person buys; their rows are contiguous, and share consent and contact cap.
    """

    response: ResponseModel
    effects: Effects
    catalog: Catalog
    columns: OfferColumns
    rules: Rules
    categories: Categories
    horizon: Horizon
    stock_share: float = 1.0
    level: Level = NO_LEVEL
    population: Population = field(default_factory=Population)
    season: Season = field(default_factory=Season)
    cleared: int | None = None
    shops: int = 1

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
        promoted=promoted_at(market, start),
        redeem_hazard=market.response.redemption_logit(features(start), member),
        member=member,
        shock=torch.zeros(3, cohorts, device=device),
        trait_baskets=torch.zeros(n, device=device),
        trait_spend=torch.zeros(n, device=device),
        here=market.population.here_at_first(draw),
        gone=torch.zeros(n, dtype=torch.bool, device=device),
        effects=market.effects.take(draw),
        week=0,
    )


def promoted_at(market: Market, start: State) -> Tensor:
    """Return the category that is promoted to each customer, shape (n,), int64."""
    if market.cleared is None:
        return choose_category(market.categories, start)
    return torch.full_like(start.weeks_seen, market.cleared, dtype=torch.int64)


@dataclass(frozen=True, eq=False)
class Sight:
    """What can be told of n customers before the week's offers: computed once, used by policies and by the week."""

    features: Tensor  # of the customers, (n, n_features)
    wallet: Wallet
    mask: Tensor  # (n, n_actions), bool: which offers each customer may get


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
        budget_left=per_customer(state.ledger.remaining, state.n).unsqueeze(1),
        stock_left=market.columns.stock,
    )
    return Sight(features(state.customer), wallet, allowed(market.columns, market.rules, facts))


def of_person(values: Tensor, shops: int) -> Tensor:
    """Sum a value over the rows of each person, one row per shop, and give it to each of them, shape (n,)."""
    if shops == 1:
        return values
    return values.view(-1, shops).sum(dim=1, keepdim=True).expand(-1, shops).reshape(-1)


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
    wallet, visit = sight.wallet, market.response.visit
    permitted = sight.mask.gather(1, action.unsqueeze(1)).squeeze(1)
    state, made = _send(market, state, torch.where(permitted, action, torch.zeros_like(action)), noise)
    state = _shake(market, state, noise)
    own, other = _baselines(market, state, sight.features)
    lift = measure_lift(market.columns, state, wallet)
    touched = apply_lift(own, other, lift)
    bought, alone = shop(visit, touched, noise), shop(visit, other, noise)
    live = state.weeks_left > 0
    price = _price(market, state, wallet, bought.spend / bought.baskets)
    intent = bought.visited & live & (noise.redeem < lift.redeem_chance)
    redeemed, fill = _serve(market, state, intent & (price.cost > 0), noise)
    contact = market.columns.contact[made].to(torch.float32) / 100.0
    cost = torch.sigmoid(touched.visit_logit) * lift.redeem_chance * live * fill * price.cost / 100.0 + contact
    paid = torch.where(redeemed, price.cost, torch.zeros_like(price.cost))
    saved = torch.where(redeemed, price.discount, torch.zeros_like(price.cost)) / 100.0
    happened = _events(visit, state.customer, wallet, bought, noise, Deal(saved, redeemed, made > 0))
    nothing = torch.zeros_like(redeemed)
    shadowed = _events(visit, state.shadow, wallet, alone, noise, Deal(torch.zeros_like(saved), nothing, nothing))
    outcome = Outcome(
        offer=made,
        violation=~permitted,
        visited=bought.visited,
        redeemed=redeemed,
        spend=happened.spend,
        cost=cost,
        net=wallet.margin * expected_spend(visit, touched) - cost,
        shadow_net=wallet.margin * expected_spend(visit, other),
        realised_cost=paid / 100.0 + contact,
        realised_net=wallet.margin * happened.spend - paid / 100.0 - contact,
        realised_shadow_net=wallet.margin * shadowed.spend,
        happened=happened,
    )
    after = replace(
        _settle(state, redeemed, paid),
        customer=advance(state.customer, happened),
        shadow=advance(state.shadow, shadowed),
    )
    return _come_and_go(market, state, after, noise), outcome


def terminal_value(market: Market, state: MarketState) -> Tensor:
    """Return what the customers' state is worth beyond the horizon, over their shadows' [USD], shape (n,).

    The expected margin of one more week without offers, held for `Horizon.terminal_weeks`.
    """
    wallet = open_wallet(market.categories, state.customer, state.promoted)
    own, other = _baselines(market, state, features(state.customer))
    none = torch.zeros_like(state.offer)
    lift = measure_lift(market.columns, replace(state, offer=none, weeks_left=none), wallet)
    visit = market.response.visit
    difference = expected_spend(visit, apply_lift(own, other, lift)) - expected_spend(visit, other)
    return market.horizon.terminal_weeks * wallet.margin * difference


def _send(market: Market, state: MarketState, wanted: Tensor, noise: Noise) -> tuple[MarketState, Tensor]:
    """Send the offers that the budget still covers in the worst case; earlier turns are served first."""
    shape = state.ledger.reserved.shape
    wanted = _one_per_person(wanted, noise, market.shops)
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


def _one_per_person(wanted: Tensor, noise: Noise, shops: int) -> Tensor:
    """Keep one new offer per person and week: that of the shop whose turn comes first."""
    if shops == 1:
        return wanted
    turn = torch.where(wanted > 0, noise.turn, torch.full_like(noise.turn, 2.0)).view(-1, shops)
    first = turn == turn.min(dim=1, keepdim=True).values
    return torch.where(first.view(-1), wanted, torch.zeros_like(wanted))


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


def _come_and_go(market: Market, before: MarketState, after: MarketState, noise: Noise) -> MarketState:
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


def _shake(market: Market, state: MarketState, noise: Noise) -> MarketState:
    """Draw what moves all customers of a cohort this week and, in the first week, what lasts of each."""
    shape = state.ledger.reserved.shape
    luck = torch.stack([noise.week_visit, noise.week_baskets, noise.week_spend]).view(3, *shape)[:, :, 0]
    state = replace(state, shock=market.response.shocks.next(state.shock, luck))
    if state.week == 0:
        state = replace(state, trait_baskets=noise.trait_baskets, trait_spend=noise.trait_spend)
    return state


def _baselines(market: Market, state: MarketState, seen: Tensor) -> tuple[Baseline, Baseline]:
    """Return the learned baseline of the customers as they are (`seen`) and of their shadows, in one pass."""
    both = torch.cat([seen, features(state.shadow)])
    base = market.response.baseline(both, torch.cat([state.member, state.member]))
    visit, baskets, spend = (_twice(per_customer(shock, state.n)) for shock in state.shock.unbind(dim=0))
    level, season = market.level, market.season.at(state.week)
    logit = base.visit_logit + visit + (level.visit + season[0])
    base = replace(
        base,
        visit_logit=torch.where(_twice(state.here), logit, torch.full_like(logit, ABSENT)),
        extra_baskets=base.extra_baskets * torch.exp(baskets + level.baskets),
        spend_log_mean=base.spend_log_mean + spend + (level.spend + season[1]),
    )
    base = with_traits(market.response.visit, base, _twice(state.trait_baskets), _twice(state.trait_spend))
    return base.rows(slice(None, state.n)), base.rows(slice(state.n, None))


def _twice(values: Tensor) -> Tensor:
    return torch.cat([values, values])


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


@dataclass(frozen=True, eq=False)
class Deal:
    """What offers had to do with a week, each shape (n,)."""

    saved: Tensor  # [USD]
    redeemed: Tensor  # bool
    contacted: Tensor  # bool


def _events(visit: VisitModel, state: State, wallet: Wallet, bought: Bought, noise: Noise, deal: Deal) -> WeekEvents:
    """Write down a simulated week as the history would have recorded it."""
    spend = bought.spend * bought.visited
    habit = state.promo_average / state.spend_average[:, 2].clamp(min=1e-3)
    shares = category_shares(visit, wallet.taste, bought.spend, noise.categories)
    return WeekEvents(
        baskets=bought.baskets * bought.visited,
        spend=spend,
        promo_spend=spend * promo_share(visit, habit.clamp(max=1.0), bought.spend, noise.promo),
        saving=deal.saved,
        redeemed=deal.redeemed.to(torch.float32),
        contacted=deal.contacted.to(torch.float32),
        exposure=exposure_rate(state),
        category_spend=spend.unsqueeze(1) * shares,
    )
