"""Finding the budget price λ at which expected cost meets the budget, and what a hard or a risk limit makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor
from tqdm import tqdm

from campaigns.budget import Ledger
from campaigns.decision import Policy
from evaluation.risk import braked, play_steered
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


class BudgetMode(Enum):
    """What a budget promises."""

    HARD = "hard"  # what was paid and what all live offers may cost at worst never pass it
    RISK = "risk"  # what a campaign costs passes it in at most 1 % of campaigns, and comes within 1 % in the mean


@dataclass(frozen=True)
class Kept:
    """What simulated campaigns come to under a budget, per customer and campaign week [currency].

    Attributes:
        campaigns: How many, each under its own draw of the effects.
        cost, cost_se: Mean realised cost and its standard error.
        uplift: Expected uplift.
        overrun_chance, overrun_hi: Share of them that cost more than the budget, and the upper end of its exact 95 %
            interval (Clopper & Pearson 1934).
    """

    campaigns: int
    cost: float
    cost_se: float
    uplift: float
    overrun_chance: float
    overrun_hi: float


def whole_budget(budget: float, where: Play) -> float:
    """Return what a campaign of all customers may cost [currency] by what a customer-week may."""
    return budget * where.start.n * where.market.horizon.campaign_weeks


def try_mode(mode: BudgetMode, policy: Policy[Tensor], price: float, budget: float, where: Play) -> Kept:
    """Play campaigns under a budget.

    Args:
        mode: What the budget promises; under a risk limit λ is set anew each week.
        policy: Whose cost falls with λ.
        price: λ under a hard limit.
        budget: Per customer and campaign week [currency].
        where: The market, and how many campaigns.
    """
    whole, weeks = whole_budget(budget, where), where.market.horizon.campaign_weeks
    if mode is BudgetMode.RISK:
        result = play_steered(policy, whole, where)
    else:
        result = play(policy, price, replace(where, budget_cents=int(whole * 100)))
    cost = result.realised_cost.mean(axis=1) / weeks
    over = int((result.realised_cost.sum(axis=1) > whole).sum())
    return Kept(
        campaigns=where.worlds,
        cost=float(cost.mean()),
        cost_se=float(cost.std(ddof=1) / len(cost) ** 0.5) if len(cost) > 1 else 0.0,
        uplift=float(result.uplift.mean()) / weeks,
        overrun_chance=over / where.worlds,
        overrun_hi=float(binomtest(over, where.worlds).proportion_ci(0.95, method="exact").high),
    )


def best_hard_price(policy: Policy[Tensor], prices: Sequence[float], budget: float, where: Play) -> float:
    """Return the λ at which a policy brings most under a hard limit; the lowest of equals."""
    uplift = [try_mode(BudgetMode.HARD, policy, price, budget, where).uplift for price in prices]
    return prices[int(np.argmax(uplift))]


def admit(mode: BudgetMode, where: Play, offer: Tensor, budget: float) -> Tensor:
    """Return which offers of a campaign's first week the budget bears, in the order of luck, shape (n,), bool."""
    generator = torch.Generator().manual_seed(where.seed)
    turn = torch.rand(len(offer), generator=generator).to(offer.device)
    whole = whole_budget(budget, where)
    if mode is BudgetMode.RISK:
        return braked(where, offer, turn, whole)
    columns = where.market.columns
    ledger = Ledger.open(int(whole * 100), len(offer), offer.device)
    return ledger.grant((columns.cap + columns.contact)[offer] * (offer > 0), turn)[1]


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
