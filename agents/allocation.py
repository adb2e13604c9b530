"""One week's budget spread over customers: the multiple-choice knapsack by its dual."""

import torch
from torch import Tensor


def knapsack_dual(value: Tensor, cost: Tensor, budget: float) -> Tensor:
    """Choose one offer per customer so that the expected cost stays within the budget.

    Relaxes the multiple-choice knapsack by a price on money and bisects that price; what is then left of the budget
    goes to customers who choose differently just below it. At most one such step is worth more than the money left,
    so the value is within one customer's step of the linear program's.

    Args:
        value: Expected margin of each offer [USD], shape (n_customers, n_offers); -inf where forbidden.
        cost: Expected promo cost of each offer [USD], same shape, >= 0; column 0 ("no offer") is 0.
        budget: Most that the cohort may cost in expectation [USD], >= 0.

    Returns:
        Chosen offer, shape (n_customers,), int64.

    Raises:
        ValueError: `budget` is negative, "no offer" is forbidden to a customer, or a cost is negative.

    Reference:
        Sinha & Zoltners, "The Multiple-Choice Knapsack Problem", Operations Research 27(3), 1979.
    """
    if not budget >= 0:
        raise ValueError(f"budget is {budget} USD; it must be 0 or more")
    if not value[:, 0].isfinite().all() or cost[:, 0].any() or (cost < 0).any():
        raise ValueError("column 0 (no offer) must be allowed and cost 0 for every customer, and no cost be negative")
    value, cost = value.double(), cost.double()
    dear = _best(value, cost, 0.0)
    if _spent(cost, dear).sum() <= budget:
        return dear
    low, high = 0.0, _price_of_nothing(value, cost)
    cheap = _best(value, cost, high)
    while low < (middle := 0.5 * (low + high)) < high:
        choice = _best(value, cost, middle)
        if _spent(cost, choice).sum() <= budget:
            high, cheap = middle, choice
        else:
            low, dear = middle, choice
    step = _spent(cost, dear) - _spent(cost, cheap)
    affordable = step.clamp(min=0.0).cumsum(0) <= budget - _spent(cost, cheap).sum()
    return torch.where(affordable & (step > 0), dear, cheap)


def _best(value: Tensor, cost: Tensor, price: float) -> Tensor:
    """Return each customer's best offer at a price on money, the cheapest one of equals."""
    score = value - price * cost
    tied = score >= score.max(dim=1, keepdim=True).values
    return cost.masked_fill(~tied, torch.inf).argmin(dim=1)


def _spent(cost: Tensor, offer: Tensor) -> Tensor:
    return cost.gather(1, offer.unsqueeze(1)).squeeze(1)


def _price_of_nothing(value: Tensor, cost: Tensor) -> float:
    """Return a price at which every offer that costs something loses to "no offer"."""
    gain = (value - value[:, :1]).clamp(min=0.0)
    ratio = torch.where(cost > 0, gain / cost, 0.0)
    return 2.0 * float(ratio.max()) + 1.0
