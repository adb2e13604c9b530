"""A reference world of assumed numbers: to try the environment without any history, and for tests of its physics.

Its shopper comes to the shop as often and spends as much as the recent average of the same customer, drawn back to a
mean. Nothing in it was learned, and no policy from it is worth publishing.
"""

import torch
from torch import Tensor

from campaigns.offers import Catalog, Offer, OfferKind, Scope
from campaigns.rules import Rules
from history.features import FEATURES, features
from history.state import State, WeekEvents, advance, initial_state
from simulators.market import Horizon, Market
from simulators.observation import Observer
from simulators.priors import EffectPriors
from simulators.promotion import Categories
from simulators.response import BASELINE_FEATURES, HEADS, Family, ResponseModel
from simulators.shocks import no_shocks
from simulators.visit import count_quantile, plain_visit
from simulators.worlds import FittedWorld, MarketTerms, build_market

WEEKS = 20
CATEGORIES = ("bakery", "dairy", "frozen", "household", "rest of the assortment")

CATALOG = Catalog(
    currency="USD",
    max_total_discount=0.5,
    offers=(
        Offer("none", OfferKind.NONE, "no offer"),
        Offer("discount_20", OfferKind.DISCOUNT, "20 % off", Scope.CATEGORY, depth=0.2, cap_cents=600, contact_cents=2),
        Offer("coupon_1", OfferKind.COUPON, "1 USD coupon", value_cents=100, cap_cents=100, weeks=4, contact_cents=2),
        Offer("coupon_2", OfferKind.COUPON, "2 USD coupon", value_cents=200, cap_cents=200, weeks=4, contact_cents=2),
        Offer("flash_sale", OfferKind.FLASH_SALE, "flash sale, 40 % off", Scope.CATEGORY, depth=0.4, cap_cents=1200,
              stock=200, contact_cents=2),
    ),
)  # fmt: skip


def reference_world() -> FittedWorld:
    """Return a response model, an observer and categories of assumed numbers."""
    pool = reference_pool(512, seed=0)
    rows = features(pool)
    mean, scale = rows.mean(dim=0), rows.std(dim=0).clamp(min=1e-3)
    return FittedWorld(_response(mean, scale), Observer(mean, scale), _categories())


def reference_terms(catalog: Catalog = CATALOG) -> MarketTerms:
    """Return the terms of the reference market."""
    return MarketTerms(catalog, Rules(), EffectPriors(), Horizon(), draws=256)


def reference_market(catalog: Catalog = CATALOG) -> Market:
    """Return the market of the reference world on the CPU."""
    return build_market(reference_world(), reference_terms(catalog))


def reference_pool(n: int, seed: int) -> State:
    """Return n customers after `WEEKS` weeks of shopping, each at an own pace and taste."""
    generator = torch.Generator().manual_seed(seed)
    pace = torch.rand(n, generator=generator)
    wealth = torch.exp(3.2 + 0.6 * torch.randn(n, generator=generator))
    taste = torch.rand(n, len(CATEGORIES), generator=generator).square() + 0.02
    taste = taste / taste.sum(dim=1, keepdim=True)
    state = initial_state(n, len(CATEGORIES))
    for _ in range(WEEKS):
        state = advance(state, _week(pace, wealth, taste, generator))
    return state


def _week(pace: Tensor, wealth: Tensor, taste: Tensor, generator: torch.Generator) -> WeekEvents:
    uniform = torch.rand(2, len(pace), generator=generator)
    visited = (uniform[0] < pace).float()
    baskets = visited * (1.0 + count_quantile(pace, torch.tensor(1e5), uniform[1]))
    spend = baskets * wealth * torch.exp(0.4 * torch.randn(len(pace), generator=generator))
    none = torch.zeros_like(spend)
    return WeekEvents(baskets, spend, 0.4 * spend, none, none, none, none + 0.1, spend.unsqueeze(1) * taste)


def _response(mean: Tensor, scale: Tensor) -> ResponseModel:
    members = 5
    weights = torch.zeros(members, 2 * len(BASELINE_FEATURES), len(HEADS))

    def rely(feature: str, head: str, value: float) -> None:
        weights[:, BASELINE_FEATURES.index(FEATURES.index(feature)), HEADS.index(head)] = value

    rely("visit_rate_4w", "visit_logit", 0.5)
    rely("visit_rate_13w", "visit_logit", 0.7)
    rely("weeks_since_visit", "visit_logit", -0.2)
    rely("basket_rate", "extra_baskets_log_rate", 0.3)
    rely("spend_per_active_week", "spend_log_mean", 0.6)
    bias = torch.tensor([0.0, -0.5, 3.5, -0.6]).repeat(members, 1, 1)
    spread = torch.linspace(-0.05, 0.05, members).view(-1, 1, 1)
    redemption = torch.zeros(members, len(FEATURES) + 1)
    redemption[:, -1] = -2.5
    return ResponseModel(
        family=Family.ADDITIVE,
        mean=mean,
        scale=scale,
        weights=(weights,),
        biases=(bias + spread,),
        calibration=torch.tensor([1.0, 0.0, 0.0]),
        redemption=redemption,
        visit=plain_visit(len(CATEGORIES)),
        shocks=no_shocks(),
    )


def _categories() -> Categories:
    k = len(CATEGORIES)
    promotable = torch.ones(k)
    promotable[-1] = 0.0
    return Categories(CATEGORIES, torch.full((k,), 0.28), torch.full((k,), 1.0 / k), promotable)
