"""Online pacing: the price of money follows what is really spent, so that a budget lasts exactly to its end.

Reference:
    Balseiro & Gur, "Learning in Repeated Auctions with Budgets: Regret Minimization and Equilibrium", Management
    Science 65(9), 2019 (adaptive pacing of a dual price).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from campaigns.decision import Context, Policy
from campaigns.errors import InputError

LARGEST_STEP = 1.5
"""Most by which the price is multiplied or divided at once."""
FIRST_PRICE = 0.05
"""Price from which one of 0 rises [USD/USD]."""
LEAST_PACE = 1e-3
"""Share of the plan below which less makes no difference."""
PRIOR = 0.01
"""Weight of the prior elasticity: that of prices a tenth apart in one week."""
SPENT_UP = 1e6
"""Price once nothing is left: only what is free is given."""


class Pacer:
    """Steers λ by feedback of realised cost against a plan.

    The pace of a week is what was spent over what was planned for it. A line of log pace over log λ is fitted to the
    weeks so far, recent ones weighing more, its slope shrunk to a prior elasticity; λ for the coming week is where the
    line reaches the needed pace, what is left of the budget over what is planned for the weeks to come. Costs that come
    late, as those of coupons do, are in the plan where they come.
    """

    def __init__(self, plan: Sequence[float], price: float, elasticity: float = 1.0, memory: float = 0.7) -> None:
        """Begin a campaign.

        Args:
            plan: Expected cost of each week at `price` [USD], >= 0; their sum is the budget.
            price: λ that the plan was made at [USD/USD], >= 0.
            elasticity: By which power of the price costs are expected to fall; 1 halves them where it doubles.
            memory: Weight of all earlier weeks against the latest one, in (0, 1].

        Raises:
            InputError: The plan is empty, or a number is out of range.
        """
        if not plan or min(plan) < 0 or not sum(plan) > 0:
            raise InputError(f"pacing: the plan is {list(plan)}; expected costs of 0 or more, one of them above 0")
        if not price >= 0 or not elasticity > 0 or not 0 < memory <= 1:
            raise InputError(
                f"pacing: price {price}, elasticity {elasticity}, memory {memory}; expected >= 0, above 0 and in (0, 1]"
            )
        self._plan, self._elasticity, self._memory = list(plan), elasticity, memory
        self._spent = 0.0
        self._week = 0
        self._seen: list[tuple[float, float]] = []  # log λ and log pace of each week with a plan
        self.price = price
        """λ for the coming week [USD/USD]."""

    @property
    def budget(self) -> float:
        return sum(self._plan)

    @property
    def left(self) -> float:
        """What is left of the budget [USD]; below 0 once it is overspent."""
        return self.budget - self._spent

    def observe(self, cost: float) -> None:
        """Take in the realised cost of the week that is over [USD], and set the price of the next."""
        if self._week >= len(self._plan):
            raise InputError(f"pacing: week {self._week + 1} was observed; the plan has {len(self._plan)}")
        self._spent += cost
        self.price = max(self.price, FIRST_PRICE)
        if self._plan[self._week] > 0:
            self._seen.append((math.log(self.price), math.log(max(cost / self._plan[self._week], LEAST_PACE))))
        self._week += 1
        ahead = sum(self._plan[self._week :])
        if self.left <= 0:
            self.price = SPENT_UP
        elif ahead > 0 and self._seen:
            self.price = self._reach(math.log(max(self.left / ahead, LEAST_PACE)))

    def _reach(self, needed: float) -> float:
        """Return the price at which the fitted line reaches a log pace, at most `LARGEST_STEP` away."""
        weights = [self._memory**age for age in reversed(range(len(self._seen)))]
        total = sum(weights)
        price = sum(w * p for w, (p, _) in zip(weights, self._seen, strict=True)) / total
        pace = sum(w * s for w, (_, s) in zip(weights, self._seen, strict=True)) / total
        spread = sum(w * (p - price) ** 2 for w, (p, _) in zip(weights, self._seen, strict=True))
        both = sum(w * (p - price) * (s - pace) for w, (p, s) in zip(weights, self._seen, strict=True))
        fall = (PRIOR * self._elasticity - both) / (PRIOR + spread)
        fall = min(max(fall, 0.5 * self._elasticity), 10.0 * self._elasticity)
        step = price + (pace - needed) / fall - math.log(self.price)
        most = math.log(LARGEST_STEP)
        return self.price * math.exp(min(max(step, -most), most))


class PacedPolicy:
    """A policy at the price that a pacer sets, whatever the context says."""

    def __init__(self, policy: Policy[Tensor], pacer: Pacer) -> None:
        self._policy = policy
        self._pacer = pacer

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        price = torch.full_like(context.price, self._pacer.price)
        return self._policy.action_dist(Context(context.features, context.mask, price))
