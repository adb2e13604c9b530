"""Online pacing: the price of money follows what is really spent, so that a budget lasts exactly to its end.

Reference:
    Balseiro & Gur, "Learning in Repeated Auctions with Budgets: Regret Minimization and Equilibrium", Management
    Science 65(9), 2019 (adaptive pacing of a dual price).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from campaigns.decision import Context, Policy
from campaigns.errors import InputError

LARGEST_STEP = 4.0
"""Most by which the price is multiplied or divided at once."""
FIRST_PRICE = 0.05
"""Price from which one of 0 rises [USD/USD]."""
SPENT_UP = 1e6
"""Price once nothing is left: only what is free is given."""


class Pacer:
    """Steers λ by feedback of realised cost against a plan.

    After each week the price is multiplied by (pace / needed pace) ** gain: the pace is what was spent over what was
    planned for those weeks, recent ones weighing more; the needed one is what is left of the budget over what is
    planned for the weeks to come. Costs that come late, as those of coupons do, are in the plan where they come.
    """

    def __init__(self, plan: Sequence[float], price: float, gain: float = 1.0, memory: float = 0.5) -> None:
        """Begin a campaign.

        Args:
            plan: Expected cost of each week at `price` [USD], >= 0; their sum is the budget.
            price: λ that the plan was made at [USD/USD], >= 0.
            gain: Exponent; 1 suits costs that halve where the price doubles.
            memory: Weight of earlier weeks against the latest one in the pace, in [0, 1).

        Raises:
            InputError: The plan is empty, or a number is out of range.
        """
        if not plan or min(plan) < 0 or not sum(plan) > 0:
            raise InputError(f"pacing: the plan is {list(plan)}; expected costs of 0 or more, one of them above 0")
        if not price >= 0 or not gain > 0 or not 0 <= memory < 1:
            raise InputError(
                f"pacing: price {price}, gain {gain}, memory {memory}; expected >= 0, above 0 and in [0, 1)"
            )
        self._plan, self._gain, self._memory = list(plan), gain, memory
        self._week, self._spent, self._recent, self._recent_plan = 0, 0.0, 0.0, 0.0
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
        self._recent = self._memory * self._recent + cost
        self._recent_plan = self._memory * self._recent_plan + self._plan[self._week]
        self._week += 1
        ahead = sum(self._plan[self._week :])
        if self.left <= 0:
            self.price = SPENT_UP
        elif ahead > 0 and self._recent_plan > 0:
            self.price = max(self.price, FIRST_PRICE) * self._step(ahead)

    def _step(self, ahead: float) -> float:
        pace, needed = self._recent / self._recent_plan, self.left / ahead
        ratio = (pace / needed) ** self._gain
        return float(min(max(ratio, 1.0 / LARGEST_STEP), LARGEST_STEP))


class PacedPolicy:
    """A policy at the price that a pacer sets, whatever the context says."""

    def __init__(self, policy: Policy[Tensor], pacer: Pacer) -> None:
        self._policy = policy
        self._pacer = pacer

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        price = torch.full_like(context.price, self._pacer.price)
        return self._policy.action_dist(Context(context.features, context.mask, price))
