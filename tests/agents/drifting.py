"""The reference campaign over and over, while the response drifts from one campaign to the next."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.agent import LearningWorld
from campaigns.offers import Catalog, Offer, OfferKind, Scope
from campaigns.rules import Rules
from envs.campaign import CampaignVectorEnv, Rows
from envs.sb3 import Sb3VecEnv
from envs.world import PriceRange, World
from simulators.drift import Drift
from simulators.priors import EffectPriors
from simulators.reference import reference_pool, reference_terms, reference_world
from simulators.worlds import build_market

OFFERS = Catalog(
    "USD",
    0.5,
    (
        Offer("none", OfferKind.NONE, "no offer"),
        Offer("discount_20", OfferKind.DISCOUNT, "20 % off", Scope.BASKET, depth=0.2, cap_cents=600, contact_cents=2),
        Offer("coupon_3", OfferKind.COUPON, "3 USD coupon", value_cents=300, cap_cents=300, contact_cents=2),
    ),
)
PRIORS = EffectPriors(visit_coupon=0.9, visit_discount=0.3, relative_spread=0.1, fatigue=0.0)
TURN = {"coupon": -2.0, "discount": 1.1}
"""Logs by which the pull of offers changes: the best one becomes the worst."""
PRICES = PriceRange(low=0.05, high=1.0, free=0.5)


class Campaigns(CampaignVectorEnv):
    """A customer-week after another; each reset with a seed is the next campaign on the drift's clock."""

    def __init__(self, n: int, drift: Drift) -> None:
        self.terms = replace(reference_terms(OFFERS), priors=PRIORS, rules=Rules(contact_cap=8, margin_floor=-1.0))
        self._drift, self._campaign = drift, 0
        self.net: list[float] = []
        super().__init__(n, self._world(), seed=0)

    def _world(self) -> World:
        clock = self._campaign * self.terms.horizon.campaign_weeks
        market = build_market(reference_world(), replace(self.terms, drift=replace(self._drift, clock=clock, span=0)))
        return World(market, reference_world().observer, reference_pool(512, seed=1), PRICES)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Rows, dict[str, Any]]:
        self.core.world = self._world()
        self._campaign += 1
        self.net.append(0.0)
        return super().reset(seed=seed, options=options)

    def step(self, actions: NDArray[np.int64]) -> Any:
        """Live through one week, and add what it brought per customer less λ times what it cost to `net`."""
        *rest, info = super().step(actions)
        self.net[-1] += float(rest[1].mean())
        return *rest, info


def learning_world(n: int, drift: Drift) -> LearningWorld:
    vector = Campaigns(n, drift)
    return LearningWorld(vector, Sb3VecEnv(vector), vector.layout, vector.horizon)
