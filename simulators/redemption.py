"""Who redeems: a logistic regression of redeeming at least one coupon of a logged campaign, as an ensemble."""

from dataclasses import dataclass

import torch
from torch import Tensor

from history.features import FEATURES

Z_LIMIT = 5.0
RIDGE = 10.0
FEWEST = 20
"""Fewest redemptions, and fewest campaigns without one, that a model is fitted to."""
FALLBACK = 0.02
"""Chance of redeeming that is assumed where the history has too few redemptions."""


@dataclass(frozen=True, eq=False)
class TargetedCampaigns:
    """Logged campaigns, one row per targeted customer and campaign."""

    customer: Tensor  # (n,), int64, position of the customer
    features: Tensor  # before its first week, (n, n_features)
    terms: Tensor  # of the campaign, as `campaign_terms` gives them, (n, n_terms)
    redeemed: Tensor  # (n,), float32 0/1

    def __len__(self) -> int:
        return self.customer.shape[0]


@dataclass(frozen=True, eq=False)
class RedemptionModel:
    """Coefficients on standardised features, then terms, then 1; shape (m, n_features + n_terms + 1)."""

    mean: Tensor
    scale: Tensor
    coefficients: Tensor
    learned: bool

    def chance(self, campaigns: TargetedCampaigns) -> Tensor:
        """Return the ensemble's mean chance of redeeming, shape (n,), float64."""
        x = _design(campaigns, self.mean, self.scale)
        return torch.sigmoid(x @ self.coefficients.T).mean(dim=1)

    def on_features(self, mean: Tensor, scale: Tensor) -> Tensor:
        """Hold the campaign's terms at their mean and restate the rest for features standardised otherwise.

        Returns:
            Coefficients, constant last, shape (m, n_features + 1), float32.
        """
        k = len(FEATURES)
        slope = self.coefficients[:, :k] / self.scale[:k]
        constant = self.coefficients[:, -1] + (slope * (mean - self.mean[:k])).sum(dim=1)
        return torch.cat([slope * scale, constant.unsqueeze(1)], dim=1).float()


def fit_redemption(campaigns: TargetedCampaigns, members: int, seed: int) -> RedemptionModel:
    """Fit ridge logistic regressions by Newton's method, one per Bayesian bootstrap of the customers.

    Where the history has too few redemptions to learn from, everyone redeems with the assumed chance `FALLBACK`.
    """
    width = len(FEATURES) + campaigns.terms.shape[1]
    if min(float(campaigns.redeemed.sum()), float((1 - campaigns.redeemed).sum())) < FEWEST:
        coefficients = torch.zeros(members, width + 1, dtype=torch.float64)
        coefficients[:, -1] = torch.logit(torch.tensor(FALLBACK))
        return RedemptionModel(torch.zeros(width), torch.ones(width), coefficients, learned=False)
    raw = torch.cat([campaigns.features, campaigns.terms], dim=1)
    mean, scale = raw.mean(dim=0), raw.std(dim=0).clamp(min=1e-3)
    x = _design(campaigns, mean, scale)
    generator = torch.Generator().manual_seed(seed)
    weight = bootstrap_weights(campaigns.customer, members, generator)[:, campaigns.customer].double()
    return RedemptionModel(mean, scale, _newton(x, campaigns.redeemed.double(), weight), learned=True)


def bootstrap_weights(customer: Tensor, members: int, generator: torch.Generator) -> Tensor:
    """Draw Bayesian bootstrap weights of customers, shape (m, n_customers), mean about 1.

    Reference:
        Rubin, "The Bayesian Bootstrap", Annals of Statistics 9(1), 1981.
    """
    return torch.empty(members, int(customer.max()) + 1).exponential_(generator=generator)


def _newton(x: Tensor, outcome: Tensor, weight: Tensor) -> Tensor:
    ridge = torch.eye(x.shape[1], dtype=torch.float64) * RIDGE
    ridge[-1, -1] = 1e-6
    beta = torch.zeros(len(weight), x.shape[1], dtype=torch.float64)
    for _ in range(15):
        p = torch.sigmoid(beta @ x.T)
        gradient = (weight * (outcome - p)) @ x - beta @ ridge
        curvature = torch.einsum("mn,ni,nj->mij", weight * p * (1 - p), x, x) + ridge
        beta = beta + torch.linalg.solve(curvature, gradient.unsqueeze(2)).squeeze(2)
    return beta


def _design(campaigns: TargetedCampaigns, mean: Tensor, scale: Tensor) -> Tensor:
    raw = torch.cat([campaigns.features, campaigns.terms], dim=1)
    z = ((raw - mean) / scale).clamp(-Z_LIMIT, Z_LIMIT)
    return torch.cat([z, torch.ones(len(z), 1)], dim=1).double()
