"""What a week with a visit holds: how many baskets, how much is spent, what share on promotion and in which categories.

The response model gives each customer's means; what is here, the same for all, turns them and luck into events.
"""

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
        last = self.quantiles.shape[0] - 2
        place = torch.special.ndtr(normal) * (last + 1)
        below = place.to(torch.int64).clamp_(max=last)
        low = self.quantiles.index_select(0, below)
        return low.lerp_(self.quantiles.index_select(0, below.add(1)), place.sub_(below))

    def mean_factor(self, extra_baskets: Tensor, log_sd: Tensor) -> Tensor:
        """Return mean spend given a visit over exp of the mean log spend of one basket, shape (..., n).

        Args:
            extra_baskets: Mean number of baskets beyond the first, shape (..., n).
            log_sd: Standard deviation of log spend, shape (..., n).
        """
        worth = torch.arange(1.0, MOST_BASKETS + 2, device=self.size.device) ** self.basket_slope
        none, step, factors = _count_terms(extra_baskets, self.size)
        terms = torch.cat([torch.ones_like(worth[:1]), factors.cumprod(0)]) * (worth - worth[-1])
        total = torch.zeros_like(extra_baskets)
        for term in reversed(terms.unbind()):  # Horner's rule; whoever has more baskets than the last counts as it
            total.mul_(step).add_(term)
        c1, c2, c3 = self.cumulants.unbind()
        return total.mul_(none).add_(worth[-1]).mul_(torch.exp(log_sd * (c1 + log_sd * (c2 + log_sd * c3))))


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


def _count_terms(mean: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what makes the chances of a negative binomial: P(0), and P(k) / P(k - 1) as `step` times `factors`[k - 1].

    Args:
        mean: Shape (..., n).
        size: Shape (); the larger, the nearer to a Poisson distribution.

    Returns:
        P(0) and step, shape (..., n), and factors, shape (`MOST_BASKETS`,).

    Reference:
        Cameron & Trivedi, "Regression Analysis of Count Data", 2nd ed. 2013, section 3.3 (NB2).
    """
    k = torch.arange(1.0, MOST_BASKETS + 1, device=size.device)
    return torch.exp(-size * torch.log1p(mean / size)), mean / (1.0 + mean / size), (1.0 + (k - 1.0) / size) / k


def count_quantile(mean: Tensor, size: Tensor, uniform: Tensor) -> Tensor:
    """Invert the negative binomial: the count where its cumulative chance reaches `uniform`, up to `MOST_BASKETS`.

    Args:
        mean: Shape (..., n).
        size: Shape (); the larger, the nearer to a Poisson distribution.
        uniform: Shape (n,).
    """
    power, step, factors = _count_terms(mean, size)
    below, count, above = power.clone(), torch.zeros_like(mean), torch.empty_like(mean)
    for term in factors.cumprod(0).unbind():
        count.add_(torch.gt(uniform, below, out=above))
        below.addcmul_(power.mul_(step), term)
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
    constant, of_habit, of_spend, spread, spread_of_spend = model.promo.unbind()
    log_spend = torch.log(spend.clamp(min=0.5))
    sd = torch.exp((spread + spread_of_spend * log_spend).clamp_(-4.0, 2.0))
    return (constant + of_habit * habit + of_spend * log_spend + sd * normal).clamp_(0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Appetite:
    """What a customer's taste makes of the categories, whatever is spent; each shape (n, k)."""

    reluctance: Tensor  # odds of buying nothing in a category for 1 of the currency
    weight: Tensor  # of a category among those bought, > 0


def appetite(model: VisitModel, taste: Tensor) -> Appetite:
    """Return what tastes, shares of earlier spend of shape (n, k), make of the categories."""
    log_taste = torch.log(taste + TASTE_FLOOR)
    reluctance = (log_taste * -model.incidence_slopes[0]).sub_(model.incidence).exp_()
    return Appetite(reluctance, log_taste.mul_(model.amount_slope).add_(model.amount).exp_())


def category_chance(model: VisitModel, appetites: Appetite, spend: Tensor) -> Tensor:
    """Return the chance that a week's spend has something of each category, shape (n, k).

    A logit that rises with log spend, so that the odds against are a power of spend.

    Args:
        model: The spread.
        appetites: Of the customers' tastes.
        spend: Of the week [currency], shape (n,).
    """
    return _over_chance(model, appetites, spend).reciprocal_()


def _over_chance(model: VisitModel, appetites: Appetite, spend: Tensor) -> Tensor:
    of_spend = spend.clamp(min=0.5) ** -model.incidence_slopes[1]
    return (appetites.reluctance * of_spend.unsqueeze(1)).add_(1.0)


def category_shares(model: VisitModel, appetites: Appetite, spend: Tensor, uniform: Tensor) -> Tensor:
    """Return the share of each category in a week's spend, shape (n, k); rows sum to 1.

    What is bought is drawn for each category; how it divides the spend is drawn from a Dirichlet distribution over
    those bought, whose exponential draws reuse the part of `uniform` that incidence leaves undecided: `uniform` over
    the chance is uniform again where it is below 1, and its log the exponential draw, with the sign that cancels.
    """
    undecided = _over_chance(model, appetites, spend).mul_(uniform).clamp_(1e-6, 1.0 - 1e-6)
    amount = undecided.log_().mul_(appetites.weight)
    return amount.mul_(amount.sum(dim=1, keepdim=True).reciprocal_())
