"""Finding the budget price λ at which a policy's expected cost meets the budget, and what a hard limit would do."""

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor
from tqdm import tqdm

from campaigns.decision import Policy
from evaluation.rollout import Play, play

DEAREST = 64.0
"""Highest budget price that is tried."""


@dataclass(frozen=True)
class Priced:
    """A budget price and what a policy costs there.

    Attributes:
        price: λ.
        cost: Expected promo and contact cost per customer and campaign week [currency].
        uplift: Expected uplift likewise.
        met: The cost is within the budget.
        overrun_chance: Share of worlds whose realised cost passes the budget.
    """

    price: float
    cost: float
    uplift: float
    met: bool
    overrun_chance: float


def find_price(policy: Policy[Tensor], budget: float, where: Play, steps: int = 9) -> Priced:
    """Bisect λ until the expected cost per customer-week meets the budget from below.

    Args:
        policy: Whose cost falls with λ; one that does not react to λ may miss the budget, and `met` says so.
        budget: Most that a customer-week may cost in expectation [currency], > 0.
        where: The market to play in.
        steps: Bisections on a logarithmic scale.
    """
    free = _at(policy, 0.0, budget, where)
    if free.met:
        return free
    best = _at(policy, DEAREST, budget, where)
    if not best.met:
        return best
    low, high = np.log(0.02), np.log(DEAREST)
    for _ in tqdm(range(steps), desc="find the budget price", unit="try", disable=None, leave=False):
        middle = (low + high) / 2
        tried = _at(policy, float(np.exp(middle)), budget, where)
        if tried.met:
            high, best = middle, tried
        else:
            low = middle
    return best


def under_hard_limit(policy: Policy[Tensor], price: float, budget: float, where: Play) -> Priced:
    """Play with the budget as a hard limit on each world's worst-case committed cost."""
    weeks = where.market.horizon.campaign_weeks
    cents = int(budget * where.start.n * weeks * 100)
    return _at(policy, price, budget, replace(where, budget_cents=cents))


def _at(policy: Policy[Tensor], price: float, budget: float, where: Play) -> Priced:
    weeks = where.market.horizon.campaign_weeks
    result = play(policy, price, where)
    cost = float(result.cost.mean()) / weeks
    realised = result.realised_cost.mean(axis=1) / weeks
    return Priced(
        price=price,
        cost=cost,
        uplift=float(result.uplift.mean()) / weeks,
        met=cost <= budget,
        overrun_chance=float((realised > budget).mean()),
    )
