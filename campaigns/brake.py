"""A budget for what a campaign really costs: what live offers may still cost, learned as it runs, and a brake on it.

Customers stand along the last dimension, cohorts before it, each with its own budget. Everything is a scan over the
batch: no loop over customers and no host round trip. Money in USD, float64.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

SPREAD = 0.7
"""How far the cost of an offer may be from what is believed before it was seen, relative standard deviation."""
MEMORY = 0.9
"""Weight of all earlier weeks against the latest one: at another price, offers go to other customers."""


@dataclass(frozen=True, eq=False)
class Ahead:
    """What each customer's offer is believed to cost from now on; each shape (..., n).

    Attributes:
        offer: 0 for none, int64.
        cost: Redemption to come, contact left aside [USD].
        square: Mean of its square [USD^2].
    """

    offer: Tensor
    cost: Tensor
    square: Tensor


@dataclass(frozen=True, eq=False)
class Belief:
    """How the costs of each cohort's offers compare with what was believed; shapes (..., n_offers) or as said.

    What each offer costs is taken to be a factor times the belief, gamma around 1 with relative spread `SPREAD`
    before anything was seen, and sharper with each redemption (the conjugate posterior of a Poisson rate).
    """

    paid: Tensor
    expected: Tensor
    square: Tensor  # expected, of what is paid [USD^2]
    face: Tensor  # most that a redemption costs, shape (n_offers,)
    spent: Tensor  # promo and contact cost of the cohort so far, shape (...)

    @classmethod
    def open(cls, face: Tensor, cohorts: int) -> Self:
        nothing = torch.zeros(cohorts, len(face), dtype=torch.float64, device=face.device)
        return cls(nothing, nothing, nothing, face.double(), nothing[:, 0])

    def factor(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the factor of each offer, each shape (..., n_offers)."""
        size = torch.where(self.expected > 0, self.square / self.expected.clamp(min=1e-9), self.face).clamp(min=1e-6)
        prior = 1.0 / SPREAD**2
        shape, rate = prior + self.paid / size, prior + self.expected / size
        return shape / rate, shape.sqrt() / rate

    def see(self, due: Ahead, paid: Tensor, contact: Tensor) -> Self:
        """Take in a week.

        Args:
            due: What was believed of the week's redemptions.
            paid: What each customer's redemption cost, 0 without one, shape (..., n).
            contact: What telling them cost, shape (..., n).
        """

        def added(total: Tensor, part: Tensor) -> Tensor:
            return (MEMORY * total).scatter_add(-1, due.offer, part.double())

        return replace(
            self,
            paid=added(self.paid, paid),
            expected=added(self.expected, due.cost),
            square=added(self.square, due.square),
            spent=self.spent + (paid + contact).double().sum(-1),
        )


@dataclass(frozen=True, eq=False)
class Outlook:
    """What a cohort's campaign may come to cost with the offers made so far.

    Attributes:
        mean: Spent, and expected of live offers, shape (...).
        variance: Of what live offers cost, were the factors known, shape (...).
        doubt: What they would cost more, were all factors a standard deviation higher, shape (...).
        factor, spread: Mean and standard deviation of the factors, shape (..., n_offers).
    """

    mean: Tensor
    variance: Tensor
    doubt: Tensor
    factor: Tensor
    spread: Tensor

    @classmethod
    def of(cls, belief: Belief, live: Ahead) -> Self:
        """Look ahead from the live offers."""
        factor, spread = belief.factor()
        cost, variance, doubt = (sums.sum(-1) for sums in _weighed(live, factor, spread))
        return cls(belief.spent + cost, variance, doubt, factor, spread)

    def margin(self, quantile: float) -> Tensor:
        """Return that many standard deviations of what live offers cost, shape (...)."""
        return quantile * (self.variance + self.doubt.square()).sqrt()


def brake(
    outlook: Outlook, wanted: Ahead, contact: Tensor, turn: Tensor, limits: tuple[Tensor, Tensor], quantile: float
) -> Tensor:
    """Let offers out in the order of turns while the budget bears them.

    Args:
        outlook: Before the new offers.
        wanted: The offers that are asked for.
        contact: What telling each customer costs, shape (..., n).
        turn: Place in the queue, lowest first, shape (..., n).
        limits: What the campaign may come to cost at its quantile, and what the new offers may cost in expectation,
            each shape (...).
        quantile: Standard deviations that are kept free.

    Returns:
        True where an offer goes out, shape (..., n), bool; "no offer" always does.
    """
    order = torch.argsort(turn, dim=-1, stable=True)
    new = wanted.offer > 0
    cost, variance, doubt = (
        sums.gather(-1, order).cumsum(-1) for sums in _weighed(wanted, outlook.factor, outlook.spread)
    )
    cost = cost + (contact.double() * new).gather(-1, order).cumsum(-1)
    before = (part.unsqueeze(-1) for part in (outlook.mean, outlook.variance, outlook.doubt, *limits))
    mean, chance, unsure, most, share = before
    fits = mean + cost + quantile * (chance + variance + (unsure + doubt).square()).sqrt() <= most
    out = (fits & (cost <= share)).to(torch.int64).cummin(-1).values.to(torch.bool)
    return torch.empty_like(out).scatter(-1, order, out) | ~new


def brake_each(
    outlook: Outlook,
    wanted: tuple[Ahead, Tensor],
    each: tuple[Ahead, Tensor],
    turn: Tensor,
    limits: tuple[Tensor, Tensor],
    quantile: float,
) -> Tensor:
    """Say of every offer whether the brake would let it out to a customer, those in front getting what they want.

    Args:
        outlook: Of one cohort, before the new offers.
        wanted: The offers that are asked for, and what telling each customer costs, shape (1, n) each.
        each: Every offer to every customer and its contact cost, shape (n_offers, n) each.
        turn, limits, quantile: As for `brake`.

    Returns:
        True where an offer would go out, shape (n_offers, n), bool; for what is wanted, as `brake` says.
    """
    order = torch.argsort(turn, dim=-1, stable=True)
    sums = torch.stack(_new_costs(outlook, *wanted)).gather(-1, order.expand(3, 1, -1))
    front = sums.cumsum(-1) - sums
    fits_so_far = _fits(outlook, front + sums, limits, quantile).to(torch.int64).cummin(-1).values
    open_still = torch.cat([torch.ones_like(fits_so_far[:, :1]), fits_so_far[:, :-1]], dim=-1).to(torch.bool)
    every = order.expand(each[0].offer.shape)
    own = torch.stack(_new_costs(outlook, *each)).gather(-1, every.expand(3, -1, -1))
    out = _fits(outlook, front + own, limits, quantile) & open_still
    return torch.empty_like(out).scatter(-1, every, out) | (each[0].offer == 0)


def _new_costs(outlook: Outlook, ahead: Ahead, contact: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `_weighed` does, contact included, for rows of offers to one cohort."""
    factor, spread = (values.expand(len(ahead.offer), -1) for values in (outlook.factor, outlook.spread))
    cost, variance, doubt = _weighed(ahead, factor, spread)
    return cost + contact.double() * (ahead.offer > 0), variance, doubt


def _fits(outlook: Outlook, sums: Tensor, limits: tuple[Tensor, Tensor], quantile: float) -> Tensor:
    """Return whether running sums of cost, variance and doubt, shape (3, ...), stay within the limits."""
    cost, variance, doubt = sums
    spread = (outlook.variance + variance + (outlook.doubt + doubt).square()).sqrt()
    fits: Tensor = (outlook.mean + cost + quantile * spread <= limits[0]) & (cost <= limits[1])
    return fits


def _weighed(ahead: Ahead, factor: Tensor, spread: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return each customer's expected cost, its variance, and by how much it is in doubt, each shape (..., n)."""
    live, of_offer = ahead.offer > 0, factor.gather(-1, ahead.offer)
    cost = ahead.cost.double() * live
    return cost * of_offer, ahead.square.double() * live * of_offer, cost * spread.gather(-1, ahead.offer)
