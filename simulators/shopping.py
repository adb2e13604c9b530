"""A week's shopping: what luck makes of a customer's baseline, and what it is in the mean."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from simulators.response import Baseline
from simulators.visit import VisitModel, count_quantile


@dataclass(frozen=True, eq=False)
class Bought:
    """What a week's visit holds, each of the shape of the baseline."""

    visited: Tensor  # bool
    baskets: Tensor  # if visited, >= 1
    spend: Tensor  # if visited [USD]

    def apart(self) -> "tuple[Bought, Bought]":
        """Take apart what two kinds of the same customers bought, each shape (2, n)."""
        first, second = zip(*(getattr(self, f.name).unbind() for f in fields(self)), strict=True)
        return Bought(*first), Bought(*second)


@dataclass(frozen=True, eq=False)
class Noise:
    """A week's luck: one row per customer, shape (n,) unless said otherwise, the same for customer and shadow."""

    visit: Tensor  # uniform
    baskets: Tensor  # uniform
    spend: Tensor  # standard normal
    promo: Tensor  # standard normal
    categories: Tensor  # uniform, (n, k)
    redeem: Tensor  # uniform
    arrival: Tensor  # uniform: who comes first to limited stock
    turn: Tensor  # uniform: whose offer the budget serves first
    week_visit: Tensor  # standard normal; a cohort's first row speaks for all of it
    week_baskets: Tensor  # the same
    week_spend: Tensor  # the same
    trait_baskets: Tensor  # standard normal: what lasts of a customer, of a campaign's first week
    trait_spend: Tensor  # the same
    come: Tensor  # uniform: who joins
    leave: Tensor  # uniform: who leaves for good


def draw_noise(
    n: int, n_categories: int, generator: torch.Generator | None, device: torch.device | str = "cpu"
) -> Noise:
    """Draw a week's luck for n customers: always the same amount, so that worlds stay in step.

    Without a generator it comes from torch's own.
    """
    uniform = torch.rand(7 + n_categories, n, generator=generator, device=device)
    normal = torch.randn(7, n, generator=generator, device=device)
    return Noise(
        visit=uniform[0],
        baskets=uniform[1],
        spend=normal[0],
        promo=normal[1],
        categories=uniform[7:].T,
        redeem=uniform[2],
        arrival=uniform[3],
        turn=uniform[4],
        week_visit=normal[2],
        week_baskets=normal[3],
        week_spend=normal[4],
        trait_baskets=normal[5],
        trait_spend=normal[6],
        come=uniform[5],
        leave=uniform[6],
    )


def shop(model: VisitModel, baseline: Baseline, noise: Noise) -> Bought:
    """Draw visits, baskets and spend; baselines of shape (..., n) share the luck of their n customers."""
    visited = noise.visit < visit_chance(baseline)
    baskets = 1.0 + count_quantile(baseline.extra_baskets, model.size, noise.baskets)
    level = baseline.spend_log_mean + model.basket_slope * torch.log(baskets)
    return Bought(visited, baskets, torch.exp(level + baseline.spend_log_sd * model.residual(noise.spend)))


def with_traits(model: VisitModel, baseline: Baseline, trait_baskets: Tensor, trait_spend: Tensor) -> Baseline:
    """Give customers what lasts of them beyond what is known: mean baskets are kept, spend is moved within its spread.

    Args:
        model: Says how much lasts.
        baseline: Of n customers.
        trait_baskets: Standard normal, shape (n,).
        trait_spend: Standard normal, shape (n,).
    """
    factor = torch.exp(model.basket_trait * (trait_baskets - model.basket_trait / 2))
    shift = torch.sqrt(model.spend_trait) * baseline.spend_log_sd * trait_spend
    return replace(
        baseline,
        extra_baskets=baseline.extra_baskets * factor,
        spend_log_mean=baseline.spend_log_mean + shift,
        spend_log_sd=baseline.spend_log_sd * torch.sqrt(1.0 - model.spend_trait),
    )


def visit_chance(baseline: Baseline) -> Tensor:
    """Return the chance of a visit, of the shape of the baseline.

    `torch.sigmoid` rounds the last few of many values otherwise than the rest: a shadow would part from its customer.
    """
    return torch.exp(-baseline.visit_logit).add_(1.0).reciprocal_()


def expected_spend(model: VisitModel, baseline: Baseline) -> Tensor:
    """Return the mean of a week's spend, visits and spread integrated out [USD], shape (n,)."""
    return visit_chance(baseline) * spend_given_visit(model, baseline)


def spend_given_visit(model: VisitModel, baseline: Baseline) -> Tensor:
    """Return the mean spend of a week with a visit [USD], shape (n,)."""
    factor = model.mean_factor(baseline.extra_baskets, baseline.spend_log_sd)
    return torch.exp(baseline.spend_log_mean) * factor
