"""What a policy's rules keep of its uplift where neither was learned: measured in one room, told in another."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HeldOut:
    """What rules keep of their policy's uplift in a market that neither has seen, per customer and campaign week.

    Attributes:
        customers, worlds: How many, and copies of each, under the same luck for both.
        agreement: Share of decisions that the policy would have made too.
        uplift_kept, lo, hi: Uplift of the rules over the policy's with its 95 % interval; None if the policy's is not
            clearly above 0.
        uplift, policy_uplift, cost, policy_cost: Expected [currency].
    """

    customers: int
    worlds: int
    agreement: float
    uplift_kept: float | None
    lo: float | None
    hi: float | None
    uplift: float
    policy_uplift: float
    cost: float
    policy_cost: float
