"""Linear regression per offer from sufficient statistics: what knapsack and bandit both learn with."""

from dataclasses import dataclass

import torch
from torch import Tensor

CLIP = 4.0
"""Features are cut here before they are multiplied, so that no single customer steers a square."""


@dataclass(frozen=True, eq=False)
class Basis:
    """Turns features into regressors: 1, every feature, and the products of chosen pairs (squares included).

    Attributes:
        pairs: Indices of the features to multiply, shape (n_pairs, 2), int64.
    """

    pairs: Tensor

    def expand(self, features: Tensor) -> Tensor:
        """Return regressors, shape (n, 1 + n_features + n_pairs), of the dtype of `features`."""
        x = features.clamp(-CLIP, CLIP)
        products = x[:, self.pairs[:, 0]] * x[:, self.pairs[:, 1]]
        return torch.cat([torch.ones_like(x[:, :1]), x, products], dim=1)


def squares(n_features: int) -> Tensor:
    """Return the pairs that square every feature, shape (n_features, 2)."""
    return torch.arange(n_features).unsqueeze(1).expand(-1, 2).contiguous()


def products(features: Tensor) -> Tensor:
    """Return all pairs of different ones among some features' indices, shape (k * (k - 1) / 2, 2)."""
    return torch.combinations(features.sort().values, 2)


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over decisions, per offer, that linear regression needs; float64.

    Attributes:
        gram: Regressors times regressors, shape (n_actions, p, p).
        moment: Regressors times outcomes (net, cost) [USD], shape (n_actions, p, 2).
        square: Outcomes times outcomes [USD^2], shape (n_actions, 2, 2).
        count: Decisions, shape (n_actions,).
    """

    gram: Tensor
    moment: Tensor
    square: Tensor
    count: Tensor

    @classmethod
    def empty(cls, n_actions: int, p: int) -> "Statistics":
        shapes = ((n_actions, p, p), (n_actions, p, 2), (n_actions, 2, 2), (n_actions,))
        return cls(*(torch.zeros(shape, dtype=torch.float64) for shape in shapes))

    def add(self, regressors: Tensor, action: Tensor, outcome: Tensor) -> None:
        """Add decisions in place: `regressors` (n, p), `action` (n,), `outcome` (n, 2)."""
        for offer in range(len(self.count)):
            rows = action == offer
            x, y = regressors[rows].double(), outcome[rows]
            self.gram[offer] += x.T @ x
            self.moment[offer] += x.T @ y
            self.square[offer] += y.T @ y
            self.count[offer] += len(x)


def pooled_effects(statistics: Statistics, pool: float, own: float) -> Tensor:
    """Estimate what each offer adds to offering nothing, offers with little data leaning on all offers' mean.

    Fits outcome = x'(b + m + v_a) by ridge regression, where b is the outcome without an offer, m the mean effect of
    an offer and v_a an offer's own deviation from it.

    Args:
        statistics: Of the decisions; offer 0 is "no offer".
        pool: Penalty on m, in decisions.
        own: Penalty on every v_a, in decisions; more leans harder on m.

    Returns:
        m + v_a, shape (n_actions, p, 2), float64; row 0 is 0.

    Reference:
        Lindley & Smith, "Bayes Estimates for the Linear Model", JRSS B 34, 1972.
    """
    n_actions, p = statistics.moment.shape[:2]
    # Row a of `parts` says which of the blocks (b, m, v_1, ..., v_k) make up the coefficients of offer a.
    offered = torch.ones(n_actions, dtype=torch.float64)
    offered[0] = 0.0
    deviations = torch.eye(n_actions, dtype=torch.float64)[:, 1:]
    parts = torch.cat([torch.ones(n_actions, 1, dtype=torch.float64), offered.unsqueeze(1), deviations], dim=1)
    gram = torch.einsum("ai,aj,apq->ipjq", parts, parts, statistics.gram).reshape(parts.shape[1] * p, -1)
    moment = torch.einsum("ai,apk->ipk", parts, statistics.moment).reshape(-1, 2)
    penalty = torch.tensor([1e-3, pool] + [own] * (n_actions - 1), dtype=torch.float64).repeat_interleave(p)
    solution = torch.linalg.solve(gram + torch.diag(penalty), moment).reshape(-1, p, 2)
    parts[:, 0] = 0.0  # leave out b: an offer's effect is the difference
    return torch.einsum("ai,ipk->apk", parts, solution)
