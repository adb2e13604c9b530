"""One budget spread over customers: the multiple-choice knapsack by its Lagrangian dual, as one tensor program."""

from dataclasses import dataclass

import torch
from torch import Tensor

HALVINGS = 60
"""Of the logarithm of the price, from a range of 41 to below the rounding of float64."""
STRETCHES = (0.97, 0.9, 0.8, 1.03, 1.1, 1.25, 1.6, 2.5)
"""Multiples of the price at which an allocation is begun anew: one from further away may end better."""
CLOSEST = 64
"""Customers nearest to another choice, and their nearest changes, among which the money that is left is spent."""
EXCHANGES = 6
"""Changes of one or two customers that are made among them."""


@dataclass(frozen=True, eq=False)
class Allocation:
    """Who gets what for a budget.

    Attributes:
        choice: Offer of each customer, shape (n_customers,), int64.
        price: What one more unit of money would bring, λ [USD/USD], shape (), float64.
        bound: No allocation within the budget is worth more [USD], shape (), float64.
    """

    choice: Tensor
    price: Tensor
    bound: Tensor


def knapsack_dual(value: Tensor, cost: Tensor, budget: float) -> Allocation:
    """Choose one offer per customer so that the expected cost stays within the budget.

    Raises:
        ValueError: `budget` is negative, "no offer" is forbidden to a customer, or a cost is negative.

    See `allocate` for arguments and source; this one looks at the data first, which waits for the device.
    """
    if not budget >= 0:
        raise ValueError(f"budget is {budget} USD; it must be 0 or more")
    if not value[:, 0].isfinite().all() or cost[:, 0].any() or not (cost >= 0).all():
        raise ValueError("column 0 (no offer) must be allowed and cost 0 for every customer, and no cost be negative")
    return allocate(value, cost, torch.tensor(budget, dtype=torch.float64, device=value.device))


def allocate(value: Tensor, cost: Tensor, budget: Tensor) -> Allocation:
    """Choose one offer per customer; nothing here waits for the device.

    Relaxes the multiple-choice knapsack by a price on money and bisects that price. Just below it the choices cost too
    much, just above it they leave money over: it goes to customers who choose differently below, and then to the best
    changes of one or two customers that it still buys. The same is begun anew from some other prices, and the best is
    kept. The dual at the price bounds every allocation from above.

    Args:
        value: Expected margin of each offer [USD], shape (n_customers, n_offers); -inf where forbidden.
        cost: Expected promo cost of each offer [USD], same shape, >= 0 and finite; column 0 ("no offer") is 0.
        budget: Most that the cohort may cost in expectation [USD], >= 0, shape ().

    Reference:
        Sinha & Zoltners, "The Multiple-Choice Knapsack Problem", Operations Research 27(3), 1979.
        Pisinger, "A minimal algorithm for the multiple-choice knapsack problem", EJOR 83(2), 1995 (the last money).
    """
    value, cost, budget = value.double(), cost.double(), budget.double()
    high = _price_of_nothing(value, cost)
    low = 1e-18 * high
    free = _best(value, cost, low)
    plenty = _picked(cost, free).sum() <= budget
    for _ in range(HALVINGS):
        middle = (low * high).sqrt()
        over = _picked(cost, _best(value, cost, middle)).sum() > budget
        low, high = torch.where(over, middle, low), torch.where(over, high, middle)
    dear, choice = _best(value, cost, low), _best(value, cost, high)
    choice = _spend_rest(value, cost, budget, high, _take_some(cost, budget, dear, choice))
    worth = _picked(value, choice).sum()
    for stretch in STRETCHES:
        other = _spend_rest(value, cost, budget, high, _best(value, cost, stretch * high))
        better = (_picked(value, other).sum() > worth) & (_picked(cost, other).sum() <= budget)
        choice, worth = torch.where(better, other, choice), torch.where(better, _picked(value, other).sum(), worth)
    price = torch.where(plenty, 0.0, high)
    return Allocation(torch.where(plenty, free, choice), price, _dual(value, cost, budget, price))


def _best(value: Tensor, cost: Tensor, price: Tensor) -> Tensor:
    """Return each customer's best offer at a price on money."""
    return (value - price * cost).argmax(dim=1)


def _picked(values: Tensor, offer: Tensor) -> Tensor:
    return values.gather(1, offer.unsqueeze(1)).squeeze(1)


def _dual(value: Tensor, cost: Tensor, budget: Tensor, price: Tensor) -> Tensor:
    return price * budget + (value - price * cost).amax(dim=1).sum()


def _price_of_nothing(value: Tensor, cost: Tensor) -> Tensor:
    """Return a price at which every offer that costs something loses to "no offer"."""
    gain = (value - value[:, :1]).clamp(min=0.0)
    ratio = torch.where(cost > 0, gain / cost, 0.0)
    return 2.0 * ratio.max().clamp(min=1e-6)


def _take_some(cost: Tensor, budget: Tensor, dear: Tensor, cheap: Tensor) -> Tensor:
    """Give as many customers as the budget serves their dear choice instead of their cheap one, from the first on."""
    step = (_picked(cost, dear) - _picked(cost, cheap)).clamp(min=0.0)
    affordable = step.cumsum(0) <= budget - _picked(cost, cheap).sum()
    return torch.where(affordable & (step > 0), dear, cheap)


def _spend_rest(value: Tensor, cost: Tensor, budget: Tensor, price: Tensor, choice: Tensor) -> Tensor:
    """Improve a choice by changing two customers at a time, as far as the money that is left goes."""
    reduced = value - price * cost
    loss = (_picked(reduced, choice).unsqueeze(1) - reduced).scatter(1, choice.unsqueeze(1), torch.inf)
    rows = loss.amin(dim=1).topk(min(CLOSEST, len(value)), largest=False).indices
    near = (value[rows], cost[rows], reduced[rows])
    some, left = choice[rows], budget - _picked(cost, choice).sum()
    for _ in range(EXCHANGES):
        some, left = _exchange(*near, some, left)
    return choice.index_copy(0, rows, some)


def _exchange(value: Tensor, cost: Tensor, reduced: Tensor, choice: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """Make the best affordable change of one or two customers, among the changes that lose least at the price.

    A choice that costs too much is changed even where that loses value.
    """
    n, k = value.shape
    loss = (_picked(reduced, choice).unsqueeze(1) - reduced).scatter(1, choice.unsqueeze(1), torch.inf).flatten()
    change = loss.topk(min(CLOSEST, n * k), largest=False).indices
    row, offer = change // k, change % k
    gain = (value - _picked(value, choice).unsqueeze(1)).flatten()[change]
    more = (cost - _picked(cost, choice).unsqueeze(1)).flatten()[change]
    alone = torch.eye(len(change), dtype=torch.bool, device=value.device)
    fits = ((row.unsqueeze(1) != row) | alone) & (_pair_sum(more, alone) <= left)  # `take` reads no index on the host
    total = torch.where(fits, _pair_sum(gain, alone), -torch.inf)
    pair = total.flatten().argmax()
    first, second = pair // len(change), pair % len(change)
    improves = (total.take(pair) > 0) | ((left < 0) & total.take(pair).isfinite())
    spent = torch.where(improves, _pair_sum(more, alone).take(pair), 0.0)
    here = torch.arange(n, device=value.device)
    one = torch.where(here == row.take(first), offer.take(first), choice)
    both = torch.where(here == row.take(second), offer.take(second), one)
    return torch.where(improves, both, choice), left - spent


def _pair_sum(each: Tensor, alone: Tensor) -> Tensor:
    """Return the sums of two changes, shape (m, m), and on the diagonal those of one."""
    return each.unsqueeze(1) + torch.where(alone, 0.0, each)
