"""Coefficients that offers share through what describes them, and each offer's own deviation from these.

The outcome of offer a is x'(W z_a + v_a) plus noise: x are the customer's regressors, z_a is the row that describes the
offer (1, whether it is an offer at all, `campaigns.describe`), W is common to all offers and v_a is its own. Both are
shrunk to 0, so that an offer with little data leans on its likes, and one that was never made is W z.

Reference:
    Lindley & Smith, "Bayes Estimates for the Linear Model", JRSS B 34, 1972.
    Li et al., "A Contextual-Bandit Approach to Personalized News Article Recommendation", WWW 2010 (hybrid models).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.regression import Statistics
from campaigns.decision import ObservationLayout

ALIKE = 1e7
"""Penalty on a deviation from which nothing is left, in decisions."""
BASE = 1e-2
"""Penalty on what all decisions share, "no offer" included, in decisions."""


def offer_rows(layout: ObservationLayout) -> Tensor:
    """Return what describes each offer, shape (n_actions, 2 + described), float64: 1, is an offer, its features."""
    rows = torch.zeros(layout.n_actions, 2 + len(layout.offers.names), dtype=torch.float64)
    rows[:, 0], rows[1:, 1] = 1.0, 1.0
    if layout.offers.names:
        rows[:, 2:] = torch.tensor(layout.offers.rows, dtype=torch.float64)
    return rows


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Of a linear model per offer; float64.

    Attributes:
        shared: W, shape (described, p, k).
        own: v, shape (n_actions, p, k).
    """

    shared: Tensor
    own: Tensor

    def of(self, rows: Tensor) -> Tensor:
        """Return W z + v of the offers that `rows` describe, shape (n_actions, p, k)."""
        return torch.einsum("aj,jpk->apk", rows, self.shared) + self.own


class SharedRidge:
    """Ridge regression of both parts at once; factored once, solved for any outcomes.

    The own parts are eliminated: v_a = (G_a + own)^-1 (m_a - G_a W z_a) leaves one system for W, of described * p rows.
    """

    def __init__(self, gram: Tensor, rows: Tensor, pool: float, own: Tensor | float) -> None:
        """Factor.

        Args:
            gram: Regressors times regressors per offer, shape (n_actions, p, p), float64.
            rows: What describes the offers, shape (n_actions, described).
            pool: Penalty on W but for its first row, in decisions.
            own: Penalty on v, in decisions, of all regressors or of each, shape (p,); where it is `ALIKE`, offers keep
                no coefficient but the one that "no offer" has too.
        """
        p = gram.shape[1]
        self._gram, self._rows = gram, rows
        self._own = torch.as_tensor(own, dtype=torch.float64).expand(p).contiguous()
        penalties = torch.diag(self._own)
        self.factor = torch.linalg.cholesky(gram + penalties)
        """Cholesky factor of each offer's precision given W, shape (n_actions, p, p)."""
        told = penalties - penalties @ torch.cholesky_inverse(self.factor) @ penalties
        both = torch.einsum("ai,aj,apq->ipjq", rows, rows, told).reshape(rows.shape[1] * p, -1)
        penalty = torch.full((rows.shape[1], p), pool, dtype=torch.float64)
        penalty[0] = BASE
        free = (self._own < ALIKE).expand(penalty.shape).clone()
        free[0] = True
        self._free = free.flatten().nonzero().squeeze(1)
        within = both[self._free][:, self._free] + torch.diag(penalty.flatten()[self._free])
        self._shared = torch.linalg.cholesky(within)

    def solve(self, moment: Tensor) -> Coefficients:
        """Return the coefficients for `moment`, regressors times outcomes per offer, shape (n_actions, p, k)."""
        told = self._own.unsqueeze(1) * torch.cholesky_solve(moment, self.factor)
        right = torch.einsum("aj,apk->jpk", self._rows, told)
        found = torch.cholesky_solve(right.flatten(0, 1)[self._free], self._shared)
        shared = torch.zeros_like(right).flatten(0, 1).index_copy(0, self._free, found).reshape(right.shape)
        prior = torch.einsum("aj,jpk->apk", self._rows, shared)
        return Coefficients(shared, torch.cholesky_solve(moment - self._gram @ prior, self.factor))


def residual_square(statistics: Statistics, mean: Tensor) -> Tensor:
    """Return the residuals' products summed over all decisions, shape (k, k), for coefficients of (n_actions, p, k)."""
    cross = mean.mT @ statistics.moment
    return (statistics.square - cross - cross.mT + mean.mT @ statistics.gram @ mean).sum(dim=0)
