"""What a policy and its rules lean on over all customers, and what is known of these before the decision."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from agents.agent import TrainedPolicy
from campaigns.decision import Context
from campaigns.offers import Catalog
from evaluation.explaining.drivers import compare
from evaluation.explaining.flips import CONTACTS, WEEKS
from evaluation.explaining.players import Table, take
from evaluation.explaining.rule_shapley import RuleGame
from evaluation.explaining.shapley import Game, exact
from evaluation.rollout import Play
from evaluation.ruling import Ruling
from serving.rules import Segments
from simulators.market import MarketState, Sight, look, open_market

SEED: Final = 41_017
EXPLAINED: Final = 512
"""Customers over whom drivers are measured."""
BACKGROUND: Final = 64
"""Customers whom everybody is held against."""
OUTCOMES: Final = ("face_value", "any_offer")
"""What drivers are measured of: what the offer may cost at most [currency], and the chance of any offer."""


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of n customers before the decision.

    Attributes:
        where: Market and customers.
        state, sight: How they stand, and what is seen of it.
        context: What the policy sees, at the budget's price.
        numbers: What the rules may ask, in units that people read, shape (n,) each.
    """

    where: Play
    state: MarketState
    sight: Sight
    context: Context[Tensor]
    numbers: dict[str, Tensor]

    @classmethod
    def of(cls, where: Play, price: float, profiles: pd.DataFrame, segments: Segments) -> "Known":
        n, device = where.start.n, where.start.weeks_seen.device
        state = open_market(where.market, where.start, torch.zeros(n, dtype=torch.int64, device=device))
        sight = look(where.market, state)
        context = where.observer.observe(where.market, state, sight, torch.full((n,), price, device=device))
        asked = {WEEKS, CONTACTS, *(one.name for one in segments.features)}
        numbers = {name: torch.tensor(profiles[name].to_numpy(np.float64), device=device) for name in sorted(asked)}
        return cls(where, state, sight, context, numbers)

    @property
    def catalog(self) -> Catalog:
        return self.where.market.catalog

    @property
    def table(self) -> Table:
        return Table.of(self.where.observer.layout(self.where.market).feature_names)

    def some(self, most: int, seed: int) -> Tensor:
        """Return the rows of customers drawn without replacement, at most so many, shape (m,)."""
        drawn = torch.randperm(len(self.context.price), generator=torch.Generator().manual_seed(seed))
        return drawn[:most].sort().values.to(self.context.price.device)


@torch.no_grad()
def measure_drivers(policy: TrainedPolicy, known: Known, segments: Segments) -> dict[str, Any]:
    """Return what the manifest says of what policy and rules lean on, for each of `OUTCOMES`."""
    catalog, device = known.catalog, known.context.price.device
    at_most = [0.0, *(offer.worst_cents / 100.0 for offer in catalog.offers[1:])]
    given = [float(place > 0) for place in range(catalog.n)]
    worth = torch.tensor([at_most, given], dtype=torch.float64, device=device).T
    theirs, background = known.some(EXPLAINED, SEED), known.some(BACKGROUND, SEED + 1)

    def outcome(row: Context[Tensor], _: Tensor) -> Tensor:
        return policy.action_dist(row).double() @ worth

    of_policy = exact(Game(outcome, known.table, take(known.context, theirs), take(known.context, background)))
    numbers = [({name: one[rows] for name, one in known.numbers.items()}, known.sight.mask[rows])
               for rows in (theirs, background)]  # fmt: skip
    of_rules = RuleGame(rulings_of(segments, catalog), worth).values(*numbers)
    mean = outcome(take(known.context, background), background).mean(dim=0)
    pair = [part.cpu().numpy() for part in (of_policy, of_rules)]
    return {
        "customers": len(theirs),
        "background": len(background),
        "agreement": segments.agreement,
        "outcomes": {
            name: {"typical": float(mean[k]), **compare(pair[0][..., k], pair[1][..., k], SEED).to_dict()}
            for k, name in enumerate(OUTCOMES)
        },
    }


def rulings_of(segments: Segments, catalog: Catalog) -> list[Ruling]:
    """Return rules as the market asks them."""
    return [
        Ruling({c.feature: (c.at_least, c.below) for c in rule.conditions}, catalog.index(rule.offer))
        for rule in segments.rules
    ]
