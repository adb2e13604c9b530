"""Finding the budget price λ at which expected cost meets the budget, and what a hard or a risk limit makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from campaigns.decision import Policy
from evaluation.risk import braked_each, play_steered
from evaluation.rollout import Play, Result, play

CHEAPEST, DEAREST = 0.02, 64.0
"""Lowest budget price above 0 that is tried, and the highest."""


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


class PriceSearch:
    """Looks for the budget prices λ at which a policy meets budgets, and plays it at each price once."""

    def __init__(self, policy: Policy[Tensor], where: Play) -> None:
        self._policy, self._where = policy, where
        self._played: dict[float, Result] = {}

    def at(self, price: float, budget: float) -> Priced:
        if price not in self._played:
            self._played[price] = play(self._policy, price, self._where)
        result, weeks = self._played[price], self._where.market.horizon.campaign_weeks
        cost = float(result.cost.mean()) / weeks
        realised = result.realised_cost.mean(axis=1) / weeks
        return Priced(
            price=price,
            cost=cost,
            uplift=float(result.uplift.mean()) / weeks,
            met=cost <= budget,
            overrun_chance=float((realised > budget).mean()),
        )

    def bisect(self, budget: float, steps: int = 9) -> Priced:
        """Bisect λ until the expected cost per customer-week meets the budget from below.

        Args:
            budget: Most that a customer-week may cost in expectation [currency], > 0.
            steps: Bisections on a logarithmic scale.
        """
        ends = self._ends(budget)
        if len(ends) == 1:
            return ends[0]
        best, low, high = ends[1], np.log(CHEAPEST), np.log(DEAREST)
        for _ in tqdm(range(steps), desc="find the budget price", unit="try", disable=None, leave=False):
            middle = (low + high) / 2
            tried = self.at(float(np.exp(middle)), budget)
            if tried.met:
                high, best = middle, tried
            else:
                low = middle
        return best

    def near(self, budget: float, tries: int = 4, within: float = 0.03) -> Priced:
        """Meet a budget from below by what is known of other prices, with few more plays.

        In turns, λ is where a straight line between its nearest known neighbours meets the budget, cost and λ being
        logarithms, and half way between them.

        Args:
            budget: As in `bisect`.
            tries: Most further plays, beside those without a price and at the highest.
            within: The search ends where no more than this share of the budget is left over.
        """
        ends = self._ends(budget)
        if len(ends) == 1:
            return ends[0]
        for turn in range(tries):
            over, best = self._neighbours(budget)
            if best.cost >= (1.0 - within) * budget:
                break
            part = 0.5
            if turn % 2 == 0 and best.cost > 0:
                part = float(np.log(over.cost / ((1.0 - within / 2) * budget)) / np.log(over.cost / best.cost))
            low, high = np.log(max(over.price, CHEAPEST)), np.log(best.price)
            self.at(float(np.exp(low + min(max(part, 0.05), 0.95) * (high - low))), budget)
        return self._neighbours(budget)[1]

    def _ends(self, budget: float) -> list[Priced]:
        """Return what no price and the highest one come to; only one of them where that settles it."""
        free = self.at(0.0, budget)
        if free.met:
            return [free]
        dearest = self.at(DEAREST, budget)
        return [free, dearest] if dearest.met else [dearest]

    def _neighbours(self, budget: float) -> tuple[Priced, Priced]:
        """Return the highest price known to pass the budget, below the lowest known to meet it, and that one."""
        known = [self.at(price, budget) for price in sorted(self._played)]
        first = next(i for i, priced in enumerate(known) if priced.met)
        return known[first - 1], known[first]


def find_price(policy: Policy[Tensor], budget: float, where: Play, steps: int = 9) -> Priced:
    """Bisect λ until the expected cost per customer-week meets the budget from below, as `PriceSearch` does.

    Args:
        policy: Whose cost falls with λ; one that does not react to λ may miss the budget, and `met` says so.
        budget: Most that a customer-week may cost in expectation [currency], > 0.
        where: The market to play in.
        steps: Bisections on a logarithmic scale.
    """
    return PriceSearch(policy, where).bisect(budget, steps)


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
    from scipy.stats import binomtest  # a second that who only reads a budget need not wait

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


def bears(mode: BudgetMode, where: Play, offer: Tensor, turn: Tensor, whole: float) -> Tensor:
    """Say of every offer whether the budget bears it, if those whose turn is earlier ask for `offer`.

    So the chance of an offer, given what those in front asked for, is its weight if it is borne.

    Args:
        mode: What the budget promises.
        where: Market and customers.
        offer: What each customer asks for; 0 where they ask nothing of this budget, shape (n,), int64.
        turn: Place in the queue, lowest first, shape (n,).
        whole: Budget of the campaign [currency].

    Returns:
        Shape (n, n_offers), bool; column 0 is True.
    """
    if mode is BudgetMode.RISK:
        return braked_each(where, offer, turn, whole)
    columns = where.market.columns
    worst = (columns.cap + columns.contact) * (columns.kind > 0)
    order = torch.argsort(turn, stable=True)
    asked = worst[offer][order]
    front = torch.empty_like(asked).scatter(0, order, asked.cumsum(0) - asked)
    borne: Tensor = (front.unsqueeze(1) + worst <= int(whole * 100)) | (worst == 0)
    return borne
