"""Where in the queue each arm's budget ends, from what the parts of a large table asked for.

A part knows only its own customers, the budget is all customers' together. So each part first tells, by arm, offer and
stretch of the queue, how many asked and what that is expected to cost; then the brake that the export applies customer
by customer is applied stretch by stretch, and a stretch that does not fit as a whole gets nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

from campaigns.brake import Ahead, Belief, Outlook, brake
from campaigns.offers import Catalog
from evaluation.budget import BudgetMode
from evaluation.gains import Gains
from evaluation.risk import QUANTILE
from experiments.drawing import Asked, Limit
from history.artifacts import read_tensors, write_tensors
from serving.arms import Arm

STRETCHES: Final = 1024
"""Equal parts of the queue."""


Ends = tuple[float, ...]
"""Up to which place of the queue each arm's budget bears offers, one for each arm, whole multiples of 1/STRETCHES."""


@dataclass(frozen=True, eq=False)
class Demand:
    """What customers ask for.

    Attributes:
        asked: How many ask, by arm, offer and stretch of the queue, shape (n_arms, n_offers, STRETCHES), int64.
        cost: Expected cost of these offers, contact included [currency], same shape, float64.
        expected: Cost that is expected before the lot has fallen, by arm and stretch [currency], float64.
    """

    asked: NDArray[np.int64]
    cost: NDArray[np.float64]
    expected: NDArray[np.float64]

    @classmethod
    def none(cls, offers: int) -> Self:
        whole = (len(Arm), offers, STRETCHES)
        return cls(np.zeros(whole, np.int64), np.zeros(whole), np.zeros((len(Arm), STRETCHES)))

    @classmethod
    def of(cls, asked: Asked, gains: Gains) -> Self:
        """Count what some customers ask for."""
        cost = gains.cost.double().numpy()
        arms, offers, rows = len(Arm), cost.shape[1], np.arange(len(asked.arm))
        stretch = np.floor(asked.turn * STRETCHES).astype(np.int64)
        cell, shape = (asked.arm * offers + asked.offer) * STRETCHES + stretch, (arms, offers, STRETCHES)

        def summed(place: NDArray[np.int64], money: NDArray[np.float64], cells: int) -> NDArray[np.float64]:
            return np.bincount(place, money, cells).astype(np.float64)

        hoped = summed(asked.arm * STRETCHES + stretch, np.vecdot(asked.weights, cost), arms * STRETCHES)
        return cls(
            np.bincount(cell, minlength=arms * offers * STRETCHES).reshape(shape),
            summed(cell, cost[rows, asked.offer], arms * offers * STRETCHES).reshape(shape),
            hoped.reshape(arms, STRETCHES),
        )

    @property
    def customers(self) -> NDArray[np.int64]:
        """How many, by arm, shape (n_arms,)."""
        whole: NDArray[np.int64] = self.asked.sum(axis=(1, 2))
        return whole

    def up_to(self, ends: Ends) -> "Demand":
        """Return the demand that goes out where the queue ends there."""
        before = np.arange(STRETCHES) / STRETCHES < np.array(ends)[:, None]
        return Demand(self.asked * before[:, None], self.cost * before[:, None], self.expected * before)

    def plus(self, other: "Demand") -> "Demand":
        return Demand(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Demand)))

    def write(self, path: Path) -> None:
        write_tensors(path, {f.name: torch.from_numpy(getattr(self, f.name)) for f in fields(Demand)})

    @classmethod
    def read(cls, path: Path) -> Self:
        tensors = read_tensors(path)
        return cls(*(tensors[f.name].numpy() for f in fields(Demand)))


def total(parts: Iterable[Demand], offers: int) -> Demand:
    whole = Demand.none(offers)
    for part in parts:
        whole = whole.plus(part)
    return whole


def arm_budgets(limit: Limit, weeks: int, demand: Demand) -> NDArray[np.float64]:
    """Return what each arm's campaign may cost [currency], by its customers; the holdout's nothing."""
    whole: NDArray[np.float64] = limit.per_customer_week * weeks * demand.customers.astype(np.float64)
    whole[list(Arm).index(Arm.HOLDOUT)] = 0.0
    return whole


def queue_ends(catalog: Catalog, limit: Limit, weeks: int, demand: Demand) -> Ends:
    """Return up to which place of the queue each arm's budget bears offers: 1 where it bears all, shape (n_arms,).

    Args:
        catalog: The offers.
        limit: The budget.
        weeks: Of the campaign.
        demand: Of all customers.
    """
    budgets = arm_budgets(limit, weeks, demand)
    bears = _bears_worst if limit.mode is BudgetMode.HARD else _bears_risk
    ends = []
    for place, budget in enumerate(budgets):
        fits = bears(catalog, demand.asked[place], demand.cost[place], float(budget))
        idle = demand.asked[place, 1:].sum(axis=0) == 0
        refused = np.flatnonzero(~(fits | idle))
        ends.append(float(refused[0] / STRETCHES) if len(refused) else 1.0)
    return tuple(ends)


def borne(asked: Asked, ends: Ends) -> NDArray[np.bool_]:
    """Return which offers the budgets bear, (n, n_offers): all of them up to an arm's end of the queue, then none."""
    before = asked.turn < np.array(ends)[asked.arm]
    fits = np.repeat(before[:, None], asked.weights.shape[1], axis=1)
    fits[:, 0] = True
    return fits


def _bears_worst(
    catalog: Catalog, asked: NDArray[np.int64], cost: NDArray[np.float64], budget: float
) -> NDArray[np.bool_]:
    """Return in which stretches all that was asked for so far costs the budget at most at worst, shape (STRETCHES,)."""
    worst = np.array([offer.cap_cents + offer.contact_cents for offer in catalog.offers])
    fits: NDArray[np.bool_] = (worst[1:, None] * asked[1:]).sum(axis=0).cumsum() <= int(budget * 100)
    return fits


def _bears_risk(
    catalog: Catalog, asked: NDArray[np.int64], cost: NDArray[np.float64], budget: float
) -> NDArray[np.bool_]:
    """Return which stretches the brake lets out, shape (STRETCHES,).

    What a redemption costs is at most its cap, so the mean of its square is at most cap times cost.
    """
    cap = torch.tensor([offer.cap_cents / 100.0 for offer in catalog.offers], dtype=torch.float64)
    told = torch.tensor([offer.contact_cents / 100.0 for offer in catalog.offers], dtype=torch.float64)
    count = torch.from_numpy(asked[1:].T.copy()).double()
    contact = count * told[1:]
    promo = (torch.from_numpy(cost[1:].T.copy()) - contact).clamp(min=0.0)
    offer = torch.arange(1, catalog.n).expand_as(count)
    wanted = Ahead(offer.reshape(1, -1), promo.reshape(1, -1), (promo * cap[1:]).reshape(1, -1))
    live = Ahead(*(torch.zeros_like(part[:, :1]) for part in (wanted.offer, wanted.cost, wanted.square)))
    outlook = Outlook.of(Belief.open(cap, 1), live)
    most = torch.full_like(outlook.mean, budget)
    turn = torch.arange(offer.numel()).unsqueeze(0)
    out = brake(outlook, wanted, contact.reshape(1, -1), turn, (most, most), QUANTILE)
    fits: NDArray[np.bool_] = out.view(STRETCHES, -1).all(dim=1).numpy()
    return fits
