"""What a market is made of: its rules, where its customers stand, what is seen of them, and what a week brought."""

from dataclasses import dataclass, field, fields, replace

from torch import Tensor

from campaigns.arithmetic import Promo
from campaigns.budget import Ledger
from campaigns.errors import InputError
from campaigns.offers import Catalog, OfferColumns
from campaigns.rules import Rules
from history.state import State, WeekEvents
from simulators.blocks import rows
from simulators.priors import Effects
from simulators.promotion import Categories, Wallet
from simulators.response import ResponseModel
from simulators.scenario import Population, Season
from simulators.shocks import NO_LEVEL, Level
from simulators.shopping import Bought


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
    member: Tensor  # ensemble member of each run of n / b rows, (b,), int64
    effects: Effects  # taken per customer
    week: int  # weeks since the campaign began

    @property
    def n(self) -> int:
        return self.offer.shape[0]

    @property
    def run(self) -> int:
        """Length of the runs of rows that share an ensemble member."""
        return self.n // self.member.shape[0]

    def rows(self, part: slice) -> "MarketState":
        """Return a stretch of whole runs; what belongs to cohorts stays as it is."""
        of_customers = (f.name for f in fields(self) if f.name not in ("ledger", "shock", "member", "week"))
        taken = {name: rows(getattr(self, name), part, self.n) for name in of_customers}
        return replace(self, **taken, member=self.member[part.start // self.run : -(-part.stop // self.run)])


@dataclass(frozen=True, eq=False)
class Sight:
    """What can be told of n customers before the week's offers: computed once, used by policies and by the week."""

    features: Tensor  # of the customers, (n, n_features)
    wallet: Wallet
    mask: Tensor  # (n, n_actions), bool: which offers each customer may get


@dataclass(frozen=True, eq=False)
class Trip:
    """What the week's shopping would hold for customers and shadows; money in USD, shape (n,) each."""

    bought: Bought
    alone: Bought  # what the shadow bought
    net: Tensor  # expected margin, offers not yet paid
    shadow_net: Tensor
    redemption: Tensor  # chance of a visit at which the live offer is redeemed
    claims: Tensor  # came, and would redeem an offer that is worth something, bool
    price: Promo  # of the live offer on this basket


@dataclass(frozen=True, eq=False)
class Answer:
    """What the shop answered, shape (n,) each."""

    made: Tensor  # offer sent this week, int64
    permitted: Tensor  # the offer asked for was allowed, bool
    redeemed: Tensor  # bool
    fill: Tensor  # chance that a claim is served


@dataclass(frozen=True, eq=False)
class Close:
    """How a week ends for n customers."""

    customer: State
    shadow: State
    outcome: "Outcome"


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
