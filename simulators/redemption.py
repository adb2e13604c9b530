"""Who redeems when: a discrete-time hazard of the first redemption of a logged coupon bundle, as an ensemble.

A campaign is followed week by week until the first redemption, its end, or the end of what may be seen (right
censoring). A coupon is redeemed at the till, so the hazard is that of a week with a visit.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from history.features import FEATURES
from simulators.response import capped

Z_LIMIT: Final = 5.0
RIDGES: Final = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""Ridge penalties to choose from: from letting the hazard differ between customers to hardly letting it."""
FEWEST: Final = 20
"""Fewest redemptions that a model is fitted to."""
FALLBACK: Final = 0.02
"""Chance of redeeming in a week with a visit that is assumed where the history has too few redemptions."""


@dataclass(frozen=True, eq=False)
class TargetedCampaigns:
    """Logged campaigns, one row per targeted customer and campaign, followed for at most w weeks."""

    customer: Tensor  # (n,), int64, position of the customer
    features: Tensor  # before its first week, (n, n_features)
    terms: Tensor  # of the campaign, as `campaign_terms` gives them, (n, n_terms)
    followed: Tensor  # the week is one of the campaign's and was seen, (n, w), bool
    visited: Tensor  # in the week, (n, w), bool
    redeemed_in: Tensor  # for the first time, (n, w), bool
    kind: Tensor  # code of the campaign's type, (n,), int64
    ended: Tensor  # all of its weeks were seen, (n,), bool; else it is censored
    begin: Tensor  # position of its first week, (n,), int64

    def __len__(self) -> int:
        return self.customer.shape[0]

    @property
    def redeemed(self) -> Tensor:
        """Whether anything was redeemed in the weeks that were seen, shape (n,), float32 0/1."""
        return self.redeemed_in.any(dim=1).to(torch.float32)

    @property
    def at_risk(self) -> Tensor:
        """Whether the week was seen and nothing redeemed before it, shape (n, w), bool."""
        before = self.redeemed_in.cumsum(dim=1) - self.redeemed_in.to(torch.int64)
        return self.followed & (before == 0)


@dataclass(frozen=True, eq=False)
class RedemptionModel:
    """The ensemble of m members.

    Attributes:
        mean, scale: Standardise features and terms.
        coefficients: On features, terms, age (2) and a constant, shape (m, n_features + n_terms + 3).
        rate: Share of the weeks with a visit that brought the first redemption.
        learned: Whether there was anything to learn from.
    """

    mean: Tensor
    scale: Tensor
    coefficients: Tensor
    rate: float
    learned: bool

    def hazard(self, campaigns: TargetedCampaigns) -> Tensor:
        """Return the ensemble's mean chance of a first redemption in a week with a visit, shape (n, w), float64."""
        fixed, aged = _designs(campaigns, self.mean, self.scale)
        width = fixed.shape[1]
        level = fixed @ self.coefficients[:, :width].T
        age = aged @ self.coefficients[:, width:].T
        return torch.sigmoid(level.unsqueeze(1) + age).mean(dim=2)

    def chance(self, campaigns: TargetedCampaigns, visit: Tensor) -> Tensor:
        """Return the chance of a redemption within the weeks that were seen, shape (n,), float64.

        Args:
            campaigns: Of which only what was known at the start is used, and for how many weeks each was seen.
            visit: Chance of a visit in a week, as it was forecast at the start, shape (n,).
        """
        return _over_life(campaigns, visit, self.hazard(campaigns))

    def mean_chance(self, campaigns: TargetedCampaigns, visit: Tensor) -> Tensor:
        """Return the same if every customer redeemed alike in a week with a visit, shape (n,), float64."""
        return _over_life(campaigns, visit, torch.full(campaigns.followed.shape, self.rate, dtype=torch.float64))

    def on_features(self, mean: Tensor, scale: Tensor) -> Tensor:
        """Hold the campaign's terms at their mean and its age at three weeks, and restate the rest.

        Returns:
            Coefficients on features standardised by `mean` and `scale`, constant last, (m, n_features + 1), float32.
        """
        k = len(FEATURES)
        slope = self.coefficients[:, :k] / self.scale[:k]
        constant = self.coefficients[:, -1] + (slope * (mean - self.mean[:k])).sum(dim=1)
        constant = constant + self.coefficients[:, -3:-1] @ _age(3)[2].double()
        return torch.cat([slope * scale, constant.unsqueeze(1)], dim=1).float()


def _over_life(campaigns: TargetedCampaigns, visit: Tensor, hazard: Tensor) -> Tensor:
    survival = 1.0 - visit.double().unsqueeze(1) * hazard * campaigns.followed
    return 1.0 - survival.prod(dim=1)


def fit_redemption(campaigns: TargetedCampaigns, members: int, seed: int) -> RedemptionModel:
    """Fit ridge logistic hazards by Newton's method, one per Bayesian bootstrap of the customers.

    The ridge is the likeliest one given the redemptions: with a weaker one few redemptions make customers differ by
    chance, and who is believed to redeem seldom looks cheap to send an offer to. Where the history has too few
    redemptions to learn from, everyone redeems with the assumed chance `FALLBACK`.

    Reference:
        Singer & Willett, "It's About Time: Using Discrete-Time Survival Analysis to Study Duration and the Timing of
        Events", Journal of Educational Statistics 18(2), 1993; MacKay, "The Evidence Framework Applied to
        Classification Networks", Neural Computation 4(5), 1992.
    """
    width = len(FEATURES) + campaigns.terms.shape[1]
    if float(campaigns.redeemed.sum()) < FEWEST:
        coefficients = torch.zeros(members, width + 3, dtype=torch.float64)
        coefficients[:, -1] = torch.logit(torch.tensor(FALLBACK))
        return RedemptionModel(torch.zeros(width), torch.ones(width), coefficients, FALLBACK, learned=False)
    raw = torch.cat([capped(campaigns.features), campaigns.terms], dim=1)
    mean, scale = raw.mean(dim=0), raw.std(dim=0).clamp(min=1e-3)
    fixed, aged = _designs(campaigns, mean, scale)
    row, week = torch.nonzero(campaigns.at_risk & campaigns.visited, as_tuple=True)
    x = torch.cat([fixed[row], aged[week]], dim=1)
    generator = torch.Generator().manual_seed(seed)
    weight = bootstrap_weights(campaigns.customer, members, generator)[:, campaigns.customer[row]].double()
    outcome = campaigns.redeemed_in[row, week].double()
    ridge = max(RIDGES, key=lambda candidate: _evidence(x, outcome, candidate))
    return RedemptionModel(mean, scale, _newton(x, outcome, weight, ridge), float(outcome.mean()), learned=True)


def bootstrap_weights(customer: Tensor, members: int, generator: torch.Generator) -> Tensor:
    """Draw Bayesian bootstrap weights of customers, shape (m, n_customers), mean about 1.

    Reference:
        Rubin, "The Bayesian Bootstrap", Annals of Statistics 9(1), 1981.
    """
    return torch.empty(members, int(customer.max()) + 1).exponential_(generator=generator)


def _evidence(x: Tensor, outcome: Tensor, ridge: float) -> float:
    """Return the log of the chance of these outcomes under a ridge, up to a constant, by Laplace's approximation."""
    beta = _newton(x, outcome, torch.ones(1, len(x), dtype=torch.float64), ridge)[0]
    logit = x @ beta
    fit = (outcome * logit - torch.nn.functional.softplus(logit)).sum() - ridge * beta[:-1].square().sum() / 2.0
    chance = torch.sigmoid(logit)
    curvature = (x * (chance * (1 - chance)).unsqueeze(1)).T @ x + torch.diag(_penalty(x.shape[1], ridge))
    return float(fit + (x.shape[1] - 1) * math.log(ridge) / 2.0 - torch.logdet(curvature) / 2.0)


def _penalty(width: int, ridge: float) -> Tensor:
    """Return the penalty of each coefficient, next to none of the constant, which comes last."""
    return torch.cat([torch.full((width - 1,), ridge), torch.tensor([1e-6])]).double()


def _newton(x: Tensor, outcome: Tensor, weight: Tensor, ridge: float) -> Tensor:
    penalty = _penalty(x.shape[1], ridge)
    beta = torch.zeros(len(weight), x.shape[1], dtype=torch.float64)
    for _ in range(15):
        p = torch.sigmoid(beta @ x.T)
        gradient = (weight * (outcome - p)) @ x - beta * penalty
        curvature = torch.stack([(x * (w * q * (1 - q)).unsqueeze(1)).T @ x for w, q in zip(weight, p, strict=True)])
        beta = beta + torch.linalg.solve(curvature + torch.diag(penalty), gradient.unsqueeze(2)).squeeze(2)
    return beta


def _designs(campaigns: TargetedCampaigns, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return what does not change over a campaign's life, (n, .), and what its age is, (w, 3) with a 1."""
    raw = torch.cat([capped(campaigns.features), campaigns.terms], dim=1)
    weeks = campaigns.followed.shape[1]
    aged = torch.cat([_age(weeks), torch.ones(weeks, 1)], dim=1)
    return ((raw - mean) / scale).clamp(-Z_LIMIT, Z_LIMIT).double(), aged.double()


def _age(weeks: int) -> Tensor:
    """Return log age and a flag of the first week, for each week of a campaign's life, shape (weeks, 2)."""
    age = torch.arange(weeks, dtype=torch.float32)
    return torch.stack([torch.log1p(age), (age == 0).to(torch.float32)], dim=1)
