"""What is believed of linear scores: their mean and deviation in closed form, in blocks that stay in cache.

Outcomes share their regressors, so that the coefficients' posterior is N(mean, covariance x inverse precision), and the
score of one offer is normal with a variance in closed form: it is drawn exactly, per customer, without drawing
coefficients.

Reference:
    Agrawal & Goyal, "Thompson Sampling for Contextual Bandits with Linear Payoffs", ICML 2013.
    Li et al., "A Contextual-Bandit Approach to Personalized News Article Recommendation", WWW 2010 (LinUCB).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear

from agents.kernels import quick_linear
from agents.regression import Statistics
from agents.shared import ALIKE, Coefficients, SharedRidge, residual_square

WARY = 10.0
"""Weight of the prior residual covariance, in decisions."""
BLOCK = 128
"""Contexts scored at a time: their products with all offers' factors stay in the second-level cache."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is believed of every offer's coefficients; float32, laid out for products.

    Attributes:
        mean: Of the coefficients on each outcome [USD], shape (k, n_actions, p).
        root: Inverse Cholesky factors of the precisions, one below the other, shape (n_actions * p, p).
        covariance: Of the residuals of the outcomes [USD^2], shape (k, k).
    """

    mean: Tensor
    root: Tensor
    covariance: Tensor

    def scores(self, x: Tensor, price: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the first outcome less `price` times the second, each (n, n_actions).

        Args:
            x: Regressors, shape (n, p), float32.
            price: Shape (n,); None scores the first outcome alone.
        """
        mean, residual = linear(x, self.mean[0]), self.covariance[0, 0]
        if price is not None:
            mean = torch.addcmul(mean, price.unsqueeze(1), linear(x, self.mean[1]), value=-1.0)
            both, second = self.covariance[0, 1], self.covariance[1, 1]
            residual = (residual - 2.0 * price * both + price.square() * second).clamp(min=0.0).unsqueeze(1)
        return mean, (residual * self.leverage(x)).sqrt_()

    def leverage(self, x: Tensor) -> Tensor:
        """Return x'A^-1 x for every offer's precision A, shape (n, n_actions)."""
        shape = (-1, self.mean.shape[1], x.shape[1])
        parts = [quick_linear(rows, self.root).view(shape).square_().sum(dim=2) for rows in torch.split(x, BLOCK)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


@dataclass(frozen=True, eq=False)
class Belief:
    """What is believed of coefficients of which offers share a part; float64.

    Attributes:
        coefficients: Means, the shared part and each offer's own.
        root: Inverse Cholesky factor of each offer's precision, shape (n_actions, p, p).
        covariance: Of the residuals [USD^2], shape (k, k).
    """

    coefficients: Coefficients
    root: Tensor
    covariance: Tensor

    def posterior(self, rows: Tensor) -> Posterior:
        """Return the posterior of the offers that `rows` describe, shape (n_actions, described)."""
        return lay_out(self.coefficients.of(rows), self.root, self.covariance)


@dataclass(frozen=True)
class Prior:
    """What is believed before any decision.

    Attributes:
        ridge: Precision of an offer's deviation from what offers share, in decisions.
        pool: Precision of what they share, in decisions.
        noise: Standard deviation of an outcome around its mean [USD].
        common: Number of last regressors that move all offers alike.
    """

    ridge: float
    pool: float
    noise: float
    common: int = 0

    def precision(self, p: int) -> Tensor:
        """Return the precision of each coefficient's deviation from what offers share, shape (p,), float64."""
        precision = torch.full((p,), self.ridge, dtype=torch.float64)
        precision[p - self.common :] = ALIKE
        return precision


def believe(statistics: Statistics, rows: Tensor, prior: Prior) -> Belief:
    """Return what `statistics` make believe of offers that `rows` describe, shape (n_actions, described).

    Empirical Bayes: the shared part is set to its most likely value, and is the mean of each offer's prior.
    """
    p = statistics.gram.shape[1]
    model = SharedRidge(statistics.gram, rows, prior.pool, prior.precision(p))
    coefficients = model.solve(statistics.moment)
    error = residual_square(statistics, coefficients.of(rows))
    covariance = residual_covariance(error, statistics.count.sum(), prior.noise)
    return Belief(coefficients, inverse_root(model.factor), covariance)


def believe_apart(statistics: Statistics, ridge: float, noise: float) -> Posterior:
    """Return the posterior of offers that share nothing: one ridge regression each."""
    eye = torch.eye(statistics.gram.shape[1], dtype=torch.float64)
    factor = torch.linalg.cholesky(statistics.gram + ridge * eye)
    mean = torch.cholesky_solve(statistics.moment, factor)
    covariance = residual_covariance(residual_square(statistics, mean), statistics.count.sum(), noise)
    return lay_out(mean, inverse_root(factor), covariance)


def residual_covariance(error: Tensor, count: Tensor, noise: float) -> Tensor:
    """Return the residuals' covariance, shape (k, k), from their summed products, begun from a prior of `noise`."""
    prior = WARY * noise**2 * torch.eye(len(error), dtype=torch.float64)
    return (prior + 0.5 * (error + error.T)) / (WARY + count)


def inverse_root(factor: Tensor) -> Tensor:
    """Return the inverses of lower Cholesky factors, shape (n_actions, p, p)."""
    eye = torch.eye(factor.shape[1], dtype=factor.dtype)
    root: Tensor = torch.linalg.solve_triangular(factor, eye, upper=False)
    return root


def lay_out(mean: Tensor, root: Tensor, covariance: Tensor) -> Posterior:
    """Return float32 factors for products, from means (n_actions, p, k) and roots (n_actions, p, p)."""
    return Posterior(
        mean.permute(2, 0, 1).float().contiguous(), root.float().flatten(0, 1).contiguous(), covariance.float()
    )
