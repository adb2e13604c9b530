"""A week's shopping: what luck makes of a customer's baseline, and what it is in the mean."""

from dataclasses import dataclass

import torch
from torch import Tensor

from simulators.response import Baseline


@dataclass(frozen=True, eq=False)
class Noise:
    """A week's luck: one row per customer, shape (n,), the same for the customer and the shadow."""

    visit: Tensor
    baskets: Tensor
    spend: Tensor
    redeem: Tensor
    arrival: Tensor
    turn: Tensor


def draw_noise(n: int, generator: torch.Generator, device: torch.device | str = "cpu") -> Noise:
    """Draw a week's luck for n customers: always the same amount, so that worlds stay in step."""
    uniform = torch.rand(5, n, generator=generator, device=device)
    normal = torch.randn(n, generator=generator, device=device)
    return Noise(uniform[0], uniform[1], normal, uniform[2], uniform[3], uniform[4])


def shop(baseline: Baseline, noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
    """Draw visits (bool), baskets if visited (>= 1) and the week's spend if visited [USD]."""
    visited = noise.visit < torch.sigmoid(baseline.visit_logit)
    baskets = 1.0 + poisson_quantile(baseline.extra_baskets, noise.baskets)
    spend = torch.exp(baseline.spend_log_mean + baseline.spend_log_sd * noise.spend)
    return visited, baskets, spend


def expected_spend(baseline: Baseline) -> Tensor:
    """Return the mean of a week's spend, visits and spread integrated out [USD], shape (n,)."""
    given_visit = torch.exp(baseline.spend_log_mean + baseline.spend_log_sd.square() / 2)
    return torch.sigmoid(baseline.visit_logit) * given_visit


def poisson_quantile(rate: Tensor, uniform: Tensor, most: int = 20) -> Tensor:
    """Invert the Poisson distribution: the count where its cumulative probability reaches `uniform`, up to `most`."""
    term = torch.exp(-rate)
    below = term
    count = torch.zeros_like(rate)
    for k in range(1, most + 1):
        count = count + (uniform > below)
        term = term * rate / k
        below = below + term
    return count
