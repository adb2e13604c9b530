"""Who gets the last money and the last stock: a ledger that never overspends, and stock served in arrival order.

Customers stand along the last dimension; dimensions before it are cohorts, each with its own budget and stock.
Everything is a scan over the batch: no loop over customers and no host round trip.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

import torch
from torch import Tensor

from campaigns.errors import InputError

UNLIMITED: Final = 2**53
"""Budget that never binds [cents]."""


@dataclass(frozen=True, eq=False)
class Ledger:
    """The budgets of cohorts in integer cents: reserved when offered, spent when due, released when it cannot be.

    In each cohort `remaining + reserved.sum() + spent` is the budget for ever, and none of them is ever negative. Each
    operation returns a new ledger. One week of a campaign:

        ledger, granted = ledger.grant(cap + contact, priority)   # the worst case of every new offer
        ledger = ledger.commit(contact * granted)                  # telling the customer is paid at once
        ledger = ledger.commit(promo.cost * redeemed)              # what the redemptions really cost
        ledger = ledger.release(redeemed | expired)                # what is left of their reservations
    """

    remaining: Tensor  # neither spent nor reserved [cents], int64, shape (...)
    reserved: Tensor  # worst case of each customer's live offer [cents], int64, shape (..., n)
    spent: Tensor  # [cents], int64, shape (...)
    excess: Tensor  # asked for beyond a reservation and not paid [cents], int64, (...); not 0 is the caller's bug
    bounded: bool = True  # False where the budget never binds, so that nobody need queue

    @classmethod
    def open(cls, budget_cents: int, shape: int | tuple[int, ...], device: torch.device | str = "cpu") -> Self:
        """Return the ledger of customers of `shape`, (n,) or (cohorts, n), and a whole budget for each cohort [cents].

        Raises:
            InputError: The budget is negative.
        """
        if budget_cents < 0:
            raise InputError(f"budget: budget_cents is {budget_cents}; expected 0 or more cents")
        reserved = torch.zeros(shape, dtype=torch.int64, device=device)
        nothing = torch.zeros(reserved.shape[:-1], dtype=torch.int64, device=device)
        return cls(nothing + budget_cents, reserved, spent=nothing, excess=nothing, bounded=budget_cents < UNLIMITED)

    def grant(self, liability: Tensor, priority: Tensor) -> tuple[Self, Tensor]:
        """Reserve the requests, first come first served, for as long as the budget lasts.

        The first request that does not fit ends the queue, small ones behind it included: skipping it would need a
        loop. A request for nothing is always granted.

        Args:
            liability: Worst case of each new offer, contact included [cents], shape (..., n), int64, >= 0.
            priority: Place in the queue, lowest first, shape (..., n), drawn at random.

        Returns:
            The new ledger, and True where a request was granted, shape (..., n), bool.
        """
        liability = liability.clamp(min=0)
        granted = torch.ones_like(liability, dtype=torch.bool)
        if self.bounded:
            granted = (_running_total(liability, priority) <= self.remaining.unsqueeze(-1)) | (liability == 0)
        amount = liability * granted
        ledger = replace(self, remaining=self.remaining - amount.sum(-1), reserved=self.reserved + amount)
        return ledger, granted

    def commit(self, cost: Tensor) -> Self:
        """Spend from the reservations what has become due.

        Args:
            cost: Due now [cents], shape (..., n), int64, >= 0 and at most the customer's reservation.
        """
        paid = torch.minimum(cost.clamp(min=0), self.reserved)
        return replace(
            self,
            reserved=self.reserved - paid,
            spent=self.spent + paid.sum(-1),
            excess=self.excess + (cost - paid).abs().sum(-1),
        )

    def release(self, closed: Tensor) -> Self:
        """Return to the budget what is reserved for offers that ended, shape (..., n), bool."""
        back = self.reserved * closed
        return replace(self, remaining=self.remaining + back.sum(-1), reserved=self.reserved - back)


def serve(claims: Tensor, priority: Tensor, stock: Tensor | int) -> Tensor:
    """Serve claims in order of arrival until the stock is gone.

    Args:
        claims: True where a customer claims one piece, bool, shape (..., n).
        priority: Time of arrival, lowest first, shape (..., n).
        stock: Pieces left, shape () or (..., 1); negative is no limit. A number spares sorting the whole queue.

    Returns:
        True where a claim is served, of the shape of `claims`, bool.
    """
    if isinstance(stock, Tensor):
        place = _running_total(claims.to(torch.int64), priority)
        return claims & ((place <= stock) | (stock < 0))
    if not 0 <= stock < claims.shape[-1]:
        return claims
    first = torch.where(claims, priority, torch.inf).topk(stock, dim=-1, largest=False, sorted=False).indices
    return claims & torch.zeros_like(claims).scatter(-1, first, True)


def _running_total(amount: Tensor, priority: Tensor) -> Tensor:
    order = torch.argsort(priority, dim=-1, stable=True)
    total = amount.gather(-1, order).cumsum(-1)
    return torch.empty_like(total).scatter(-1, order, total)
