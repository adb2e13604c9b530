"""What a week with a visit holds: how many baskets, how much is spent, what share on promotion and in which categories.

The response model gives each customer's means; what is here, the same for all, turns them and luck into events.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Final

import torch
from torch import Tensor

MOST_BASKETS: Final = 20
"""Most baskets beyond the first in a week."""
TASTE_FLOOR: Final = 0.002
"""Share of spend that stands in for a category never bought."""
PROMO_TERMS: Final = 5
CATEGORY_TERMS: Final = 3


@dataclass(frozen=True, eq=False)
class VisitModel:
    """The spread of what customers do around their means; float32.

    Attributes:
        size: Size r of the negative binomial of baskets beyond the first, shape (); the variance is m + m**2 / r.
        basket_slope: Rise of log spend per log of the number of baskets, shape ().
        quantiles: Standardised residuals of log spend at equally spaced probabilities, from 0 to 1, shape (q,).
        cumulants: c with log E[exp(s * residual)] = c0 s + c1 s**2 + c2 s**3, shape (3,).
        promo: Share on promotion: constant, slope on habit, on log spend; log sd: constant, slope on log spend, (5,).
        incidence: Logit of buying in a category: one constant per category, shape (k,).
        incidence_slopes: Its slopes on log taste and log spend, shape (2,).
        amount: Log weight of a category bought, one constant per category, shape (k,).
        amount_slope: Its slope on log taste, shape ().
        basket_trait: Standard deviation over customers of what lasts of their log mean of extra baskets, shape ().
        spend_trait: Share of the residual variance of log spend that lasts, shape ().
    """

    size: Tensor
    basket_slope: Tensor
    quantiles: Tensor
    cumulants: Tensor
    promo: Tensor
    incidence: Tensor
    incidence_slopes: Tensor
    amount: Tensor
    amount_slope: Tensor
    basket_trait: Tensor
    spend_trait: Tensor

    def tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def to(self, device: torch.device | str) -> "VisitModel":
        return replace(self, **{name: value.to(device) for name, value in self.tensors().items()})

    def residual(self, normal: Tensor) -> Tensor:
        """Turn standard normal luck into standardised residuals of log spend, shape (n,)."""
        place = torch.special.ndtr(normal) * (self.quantiles.shape[0] - 1)
        below = place.floor().clamp(0, self.quantiles.shape[0] - 2)
        low = self.quantiles[below.to(torch.int64)]
        high = self.quantiles[below.to(torch.int64) + 1]
        return torch.lerp(low, high, place - below)

    def mean_factor(self, extra_baskets: Tensor, log_sd: Tensor) -> Tensor:
        """Return mean spend given a visit over exp of the mean log spend of one basket, shape (n,).

        Args:
            extra_baskets: Mean number of baskets beyond the first, shape (n,).
            log_sd: Standard deviation of log spend, shape (n,).
        """
        chances = count_chances(extra_baskets, self.size)
        total = below = next(chances)
        for k, chance in enumerate(chances, start=1):
            total = total + chance * (1.0 + k) ** self.basket_slope
            below = below + chance
        total = total + (1.0 - below).clamp(min=0.0) * (1.0 + MOST_BASKETS) ** self.basket_slope
        c = self.cumulants
        return total * torch.exp(log_sd * (c[0] + log_sd * (c[1] + log_sd * c[2])))


def plain_visit(n_categories: int) -> VisitModel:
    """Return a model of assumed numbers: Poisson baskets, log-normal spend, half on promotion, taste as it is."""
    middle = (torch.arange(65) / 64.0).clamp(0.002, 0.998)
    return VisitModel(
        size=torch.tensor(1e5),
        basket_slope=torch.tensor(0.0),
        quantiles=torch.special.ndtri(middle),
        cumulants=torch.tensor([0.0, 0.5, 0.0]),
        promo=torch.tensor([0.0, 1.0, 0.0, -2.0, 0.0]),
        incidence=torch.full((n_categories,), 2.0),
        incidence_slopes=torch.tensor([0.5, 0.2]),
        amount=torch.zeros(n_categories),
        amount_slope=torch.tensor(1.0),
        basket_trait=torch.tensor(0.0),
        spend_trait=torch.tensor(0.0),
    )


def count_chances(mean: Tensor, size: Tensor) -> Iterator[Tensor]:
    """Yield the chance that a negative binomial is 0, 1, ..., `MOST_BASKETS`, each shape (n,).

    Args:
        mean: Shape (n,).
        size: Shape (); the larger, the nearer to a Poisson distribution.

    Reference:
        Cameron & Trivedi, "Regression Analysis of Count Data", 2nd ed. 2013, section 3.3 (NB2).
    """
    chance = torch.exp(-size * torch.log1p(mean / size))
    yield chance
    ratio = mean / (size + mean)
    for k in range(1, MOST_BASKETS + 1):
        chance = chance * ratio * ((size + (k - 1)) / k)
        yield chance


def count_quantile(mean: Tensor, size: Tensor, uniform: Tensor) -> Tensor:
    """Invert the negative binomial: the count where its cumulative chance reaches `uniform`, up to `MOST_BASKETS`.

    Args:
        mean, size: As `count_chances` takes them.
        uniform: Shape (n,).
    """
    chances = count_chances(mean, size)
    below = next(chances)
    count = torch.zeros_like(mean)
    for chance in chances:
        count = count + (uniform > below)
        below = below + chance
    return count


def promo_share(model: VisitModel, habit: Tensor, spend: Tensor, normal: Tensor) -> Tensor:
    """Return the share of a week's spend that is bought on promotion, shape (n,), in [0, 1].

    Args:
        model: The spread.
        habit: Share of the customer's earlier spend on promotion, shape (n,).
        spend: Of the week [currency], shape (n,).
        normal: Standard normal luck, shape (n,).

    Reference:
        Rosett & Nelson, "Estimation of the Two-Limit Probit Regression Model", Econometrica 43(1), 1975.
    """
    log_spend = torch.log(spend.clamp(min=0.5))
    p = model.promo
    spread = torch.exp((p[3] + p[4] * log_spend).clamp(-4.0, 2.0))
    return (p[0] + p[1] * habit + p[2] * log_spend + spread * normal).clamp(0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Appetite:
    """What a customer's taste makes of the categories, whatever is spent; each shape (n, k)."""

    incidence: Tensor  # logit of buying in a category, the week's spend left out
    weight: Tensor  # of a category among those bought, > 0


def appetite(model: VisitModel, taste: Tensor) -> Appetite:
    """Return what tastes, shares of earlier spend of shape (n, k), make of the categories."""
    log_taste = torch.log(taste + TASTE_FLOOR)
    incidence = model.incidence + model.incidence_slopes[0] * log_taste
    return Appetite(incidence, torch.exp(model.amount + model.amount_slope * log_taste))


def category_chance(model: VisitModel, appetites: Appetite, spend: Tensor) -> Tensor:
    """Return the chance that a week's spend has something of each category, shape (n, k).

    Args:
        model: The spread.
        appetites: Of the customers' tastes.
        spend: Of the week [currency], shape (n,).
    """
    of_spend = model.incidence_slopes[1] * torch.log(spend.clamp(min=0.5))
    return torch.sigmoid(appetites.incidence + of_spend.unsqueeze(1))


def category_shares(model: VisitModel, appetites: Appetite, spend: Tensor, uniform: Tensor) -> Tensor:
    """Return the share of each category in a week's spend, shape (n, k); rows sum to 1.

    What is bought is drawn for each category; how it divides the spend is drawn from a Dirichlet distribution over
    those bought, whose exponential draws reuse the part of `uniform` that incidence leaves undecided.
    """
    chance = category_chance(model, appetites, spend)
    draw = -torch.log((uniform / chance).clamp(1e-6, 1.0 - 1e-6))
    amount = appetites.weight * torch.where(uniform < chance, draw, 1e-6)
    return amount / amount.sum(dim=1, keepdim=True)
