"""What the best policy could bring in a synthetic shop, and what a policy does bring: a campaign of one week.

Each customer gets one offer or none, judged by the expected net margin of that week; what it does later is left out, so
that its worth is known without the luck of a life. Customers do not touch one another (no stock, no cap that binds), so
the best policy under a budget is a multiple-choice knapsack over the true worth of each offer to each customer, and its
Lagrangian dual bounds it from above.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from campaigns.allocation import Allocation, knapsack_dual
from simulators.market import Market, MarketState, look, step
from simulators.shopping import draw_noise

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Worth:
    """What each offer brings and costs each customer, each shape (n, n_actions) [USD]; column 0 is 0."""

    value: Floats
    cost: Floats


def one_week_market(market: Market) -> Market:
    """Return the market whose campaign is a single week."""
    return replace(market, horizon=replace(market.horizon, campaign_weeks=1))


def worth_of_offers(
    market: Market, begin: Callable[[int], MarketState], lucks: int, seed: int, offers: Tensor | None = None
) -> Worth:
    """Return the worth of each offer to each customer in its week; costs are a mean over lucks that all offers share.

    Args:
        market: Whose campaign is a single week.
        begin: Opens it; called with the number of the luck.
        lucks: How many, >= 1.
        seed: Of all luck.
        offers: Which offers to value, shape (m,), int64; all of the catalog if not given.
    """
    wanted = torch.arange(1, market.n_actions) if offers is None else offers
    value = cost = None
    for luck in range(lucks):
        state = begin(luck)
        sight = look(market, state)
        if value is None or cost is None:
            value, cost = (np.zeros((state.n, market.n_actions)) for _ in range(2))
        for offer in wanted.tolist():
            noise = draw_noise(state.n, state.customer.n_categories, torch.Generator().manual_seed(seed + luck))
            _, outcome = step(market, state, sight, torch.full_like(state.offer, offer), noise)
            gain, paid = outcome.uplift.double().numpy(), outcome.cost.double().numpy()
            allowed = sight.mask[:, offer].numpy()
            value[:, offer] += np.where(allowed, gain, 0.0) / lucks  # a forbidden offer becomes none
            cost[:, offer] += np.where(allowed, paid, 0.0) / lucks
    assert value is not None and cost is not None
    return Worth(value, cost)


def choose(worth: Worth, budget: float) -> NDArray[np.int64]:
    """Return each customer's offer so that the cost stays within a budget [USD], shape (n,).

    Args:
        worth: As it is believed.
        budget: For all customers together [USD], >= 0.
    """
    choice: NDArray[np.int64] = _allocation(worth, budget).choice.numpy()
    return choice


def upper_bound(worth: Worth, budget: float) -> float:
    """Return the Lagrangian upper bound on what any policy within the budget brings [USD].

    No allocation brings more, and the best one less by at most one customer's value.
    """
    return float(_allocation(worth, budget).bound)


def _allocation(worth: Worth, budget: float) -> Allocation:
    return knapsack_dual(torch.from_numpy(worth.value), torch.from_numpy(worth.cost), budget)


def total(values: Floats, choice: NDArray[np.int64]) -> Floats:
    """Return each customer's value or cost under a choice, shape (n,)."""
    picked: Floats = values[np.arange(len(choice)), choice]
    return picked
