"""A market whose truth is known: every number of it is set here, none was learned.

It lives by the same physics as a fitted market (`simulators.market`), with a response, effects and customers of its
own; so what is learned from a history that it wrote can be scored against what is true. Truth and learner share the
form of the physics; what the learner has to find are the customers' rhythm, the sizes of the effects and who answers.
"""

from dataclasses import dataclass, field, replace
from typing import Final

import torch
from torch import Tensor

from campaigns.errors import InputError
from campaigns.offers import Catalog, Offer, OfferKind
from campaigns.rules import Rules
from history.features import FEATURES, features
from history.state import State, WeekEvents, advance, initial_state
from simulators.market import Horizon, Market
from simulators.priors import EffectPriors, Effects, draw_effects
from simulators.promotion import Categories
from simulators.response import BASELINE_FEATURES, HEADS, Family, ResponseModel
from simulators.scenario import Population, Season
from simulators.shocks import WeekShocks
from simulators.visit import VisitModel, plain_visit

TYPES: Final = 64
"""Kinds of customers that answer offers differently."""
WARMUP: Final = 26
"""Weeks that customers live before their history begins."""
DEPARTMENTS: Final = ("GROCERY", "PRODUCE", "MEAT", "DRUG GM")

CATALOG: Final = Catalog(
    currency="USD",
    max_total_discount=0.5,
    offers=(
        Offer("none", OfferKind.NONE, "no offer"),
        Offer("coupon_1", OfferKind.COUPON, "1 USD coupon", value_cents=100, cap_cents=100, contact_cents=2),
        Offer("coupon_2", OfferKind.COUPON, "2 USD coupon", value_cents=200, cap_cents=200, contact_cents=2),
        Offer("coupon_5", OfferKind.COUPON, "5 USD coupon", value_cents=500, cap_cents=500, contact_cents=2),
    ),
)  # fmt: skip
"""What the synthetic shop offers: coupons on the whole basket, good for a week."""


@dataclass
class SyntheticTruth:
    """A synthetic shop: who its customers are, what offers do to them, and how it aims its campaigns."""

    seed: int = 0
    customers: int = 2_500
    weeks: int = 52
    categories: int = 6
    effects: EffectPriors = field(
        default_factory=lambda: EffectPriors(
            visit_coupon=0.5, redeem_coupon=2.0, relative_spread=0.05, salience=0.6, carryover=0.5
        )
    )
    """Means of the true effects, offers lifting more than the defaults so that a small shop can tell them from none."""
    heterogeneity: float = 0.6  # spread of what customers answer around the mean effect, a share of it
    predictable: float = 0.7  # share of that spread that their promotion habit gives away
    targeting_bias: float = 1.0  # how strongly the shop aims at the lately busy, in standard deviations of chance
    campaign_share: float = 0.15  # of the customers, reached by each campaign
    campaign_every: int = 2  # weeks from one campaign to the next
    randomised: bool = False  # draw whom a campaign reaches by known chances, and log all decisions
    seasonality: float = 0.1  # height of the yearly wave in the logit of a visit
    holiday: float = 0.3  # added to the logit of a visit in the last full week but one
    drift: float = 0.0  # added to the logit of a visit per week
    shock: float = 0.05  # standard deviation of what all customers of a week share, logit of a visit
    arrivals: float = 0.0  # share of the customers that joins in the course of the history
    churn: float = 0.0  # weekly chance to leave for good

    def __post_init__(self) -> None:
        if self.customers < 10 or self.weeks < 12 or not 2 <= self.categories <= 40:
            raise InputError(
                f"synthetic: customers {self.customers}, weeks {self.weeks}, categories {self.categories}; expected at "
                "least 10, at least 12, and 2 to 40"
            )
        if not 0 <= self.campaign_share <= 1 or self.campaign_every < 1:
            raise InputError(
                f"synthetic: campaign_share {self.campaign_share}, campaign_every {self.campaign_every}; expected a "
                "share in [0, 1] and at least 1 week"
            )
        for name in ("heterogeneity", "shock", "targeting_bias"):
            if not 0 <= getattr(self, name) <= 5:
                raise InputError(f"synthetic.{name} is {getattr(self, name)}; expected a number in [0, 5]")
        if not 0 <= self.predictable <= 1:
            raise InputError(f"synthetic.predictable is {self.predictable}; expected a share in [0, 1]")


@dataclass(frozen=True, eq=False)
class TrueShop:
    """The shop that a truth describes, before its history begins.

    Attributes:
        market: The true market; its effects have one row per type of customer.
        start: The customers' states, n rows.
        kind: Type of each customer, shape (n,), int64: the draw of the effects that they live under.
        habit: Share of spend that each buys on promotion, which gives the type away in part, shape (n,).
    """

    truth: SyntheticTruth
    market: Market
    start: State
    kind: Tensor
    habit: Tensor


def open_shop(truth: SyntheticTruth, catalog: Catalog = CATALOG) -> TrueShop:
    """Make the shop of a truth."""
    generator = torch.Generator().manual_seed(truth.seed)
    habit = torch.rand(truth.customers, generator=generator)
    start = _customers(truth, habit, generator)
    kind = kind_of(truth, habit, torch.rand(truth.customers, generator=generator))
    rows = features(start)
    response = _response(truth, rows.mean(dim=0), rows.std(dim=0).clamp(min=1e-3))
    market = Market(
        response=response,
        effects=true_effects(truth),
        catalog=catalog,
        columns=catalog.columns().to(torch.from_numpy),
        rules=Rules(contact_cap=8),
        categories=_categories(truth),
        horizon=Horizon(campaign_weeks=truth.weeks),
        population=Population(newcomers=truth.arrivals, arrival=2.0 / truth.weeks, churn=truth.churn),
        season=Season([max(truth.weeks - 3, 0)], visit=truth.holiday) if truth.holiday else Season(),
    )
    return TrueShop(truth, market, start, kind, habit)


def kind_of(truth: SyntheticTruth, habit: Tensor, hidden: Tensor) -> Tensor:
    """Return customers' types, shape (n,), int64.

    Args:
        truth: Says how much of a type shows.
        habit: Share of spend that a customer buys on promotion, shape (n,), in [0, 1].
        hidden: What shows in no feature, uniform on [0, 1], shape (n,).
    """
    place = truth.predictable * habit + (1.0 - truth.predictable) * hidden
    return (place * TYPES).long().clamp(max=TYPES - 1)


def true_effects(truth: SyntheticTruth) -> Effects:
    """Return the true effects, one row per type: the lift rises with the type, its mean over types being the mean."""
    mean = draw_effects(replace(truth.effects, relative_spread=1e-6), TYPES, truth.seed)
    rank = (torch.arange(TYPES) + 0.5) / TYPES
    factor = (1.0 + truth.heterogeneity * 2.0 * 3.0**0.5 * (rank - 0.5)).clamp(min=0.0)
    factor = (factor / factor.mean()).unsqueeze(1)
    shift = truth.effects.redeem_coupon
    return replace(mean, visit=mean.visit * factor, redeem_shift=torch.full_like(mean.redeem_shift, shift))


def _customers(truth: SyntheticTruth, habit: Tensor, generator: torch.Generator) -> State:
    """Let customers live `WARMUP` weeks at a pace, purse and taste of their own."""
    n, k = truth.customers, truth.categories
    pace = 0.1 + 0.85 * torch.rand(n, generator=generator)
    purse = torch.exp(3.3 + 0.5 * torch.randn(n, generator=generator))
    taste = torch.rand(n, k, generator=generator).square() + 0.02
    taste = taste / taste.sum(dim=1, keepdim=True)
    state = initial_state(n, k)
    for _ in range(WARMUP):
        visited = (torch.rand(n, generator=generator) < pace).float()
        baskets = visited * (1.0 + torch.poisson(pace, generator=generator))
        spend = baskets * purse * torch.exp(0.5 * torch.randn(n, generator=generator) - 0.125)
        none = torch.zeros(n)
        events = WeekEvents(baskets, spend, habit * spend, none, none, none, none + 0.1, spend.unsqueeze(1) * taste)
        state = advance(state, events)
    return state


def _response(truth: SyntheticTruth, mean: Tensor, scale: Tensor) -> ResponseModel:
    """Return the true response: additive, on the customers' long-run and recent rhythm, curved in the latter."""
    members = 5
    weights = torch.zeros(members, 2 * len(BASELINE_FEATURES), len(HEADS))

    def rely(feature: str, head: str, value: float, curve: float = 0.0) -> None:
        column = BASELINE_FEATURES.index(FEATURES.index(feature))
        weights[:, column, HEADS.index(head)] = value
        weights[:, len(BASELINE_FEATURES) + column, HEADS.index(head)] = curve

    rely("visit_rate_4w", "visit_logit", 0.35, -0.05)
    rely("visit_rate_52w", "visit_logit", 1.0)
    rely("weeks_since_visit", "visit_logit", -0.1)
    rely("basket_rate", "extra_baskets_log_rate", 0.35)
    rely("spend_per_active_week", "spend_log_mean", 0.45)
    bias = torch.tensor([0.2, -0.4, 3.4, -0.7]).repeat(members, 1, 1)
    redemption = torch.zeros(members, len(FEATURES) + 1)
    redemption[:, -1] = -2.0
    shocks = WeekShocks(*(torch.tensor(value) for value in (truth.shock, 0.0, truth.shock / 2, 0.3)))
    return ResponseModel(
        family=Family.ADDITIVE,
        mean=mean,
        scale=scale,
        weights=(weights,),
        biases=(bias,),
        calibration=torch.tensor([1.0, 0.0, 0.0]),
        redemption=redemption,
        visit=_visit(truth.categories),
        shocks=shocks,
    )


def _visit(categories: int) -> VisitModel:
    """Return how visits spread: overdispersed baskets, spend that rises with them, promotion by habit."""
    return replace(
        plain_visit(categories),
        size=torch.tensor(4.0),
        basket_slope=torch.tensor(0.8),
        promo=torch.tensor([0.0, 1.0, 0.0, -1.2, -0.1]),
    )


def _categories(truth: SyntheticTruth) -> Categories:
    k = truth.categories
    promotable = torch.ones(k)
    promotable[-1] = 0.0
    names = (*(f"category {i + 1}" for i in range(k - 1)), "other")
    return Categories(names, torch.full((k,), 0.28), torch.full((k,), 1.0 / k), promotable)
