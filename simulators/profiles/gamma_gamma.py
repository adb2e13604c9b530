"""Gamma-gamma: what a purchase is worth varies around a customer's own mean, and those means vary between customers.

Reference:
    Fader & Hardie, "The Gamma-Gamma Model of Monetary Value", note 025, brucehardie.com, 2013.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GammaGamma:
    """Purchases are Gamma(p, nu), and nu is Gamma(q, gamma) over customers [gamma: currency]."""

    p: float
    q: float
    gamma: float


def log_likelihood(model: GammaGamma, purchases: Floats, mean: Floats) -> Floats:
    """Return the log-likelihood of each customer's mean of so many purchases, each shape (n,), positive (eq. 1a)."""
    q, shape = model.q, model.p * purchases
    result: Floats = (
        gammaln(shape + q)
        - gammaln(shape)
        - gammaln(q)
        + q * np.log(model.gamma)
        + (shape - 1) * np.log(mean)
        + shape * np.log(purchases)
        - (shape + q) * np.log(model.gamma + mean * purchases)
    )
    return result


def fit_gamma_gamma(purchases: Floats, mean: Floats) -> GammaGamma:
    """Fit by maximum likelihood to customers with at least one purchase of a positive amount.

    Args:
        purchases: Number of purchases, shape (n,).
        mean: Their mean amount [currency], shape (n,).
    """
    scale = float(mean.mean())

    def loss(logs: Floats) -> float:
        return -float(log_likelihood(GammaGamma(*np.exp(logs)), purchases, mean / scale).mean())

    # q stays above 1, below which the mean purchase of a new customer has no expectation
    bounds = [(-5.0, 7.0), (0.01, 7.0), (-7.0, 7.0)]
    found = minimize(loss, np.log([2.0, 3.0, 1.0]), method="L-BFGS-B", bounds=bounds)
    p, q, gamma = np.exp(found.x)
    return GammaGamma(float(p), float(q), float(gamma * scale))


def expected_amount(model: GammaGamma, purchases: Floats, mean: Floats) -> Floats:
    """Return the expected amount of a further purchase [currency], shape (n,) (eq. 5)."""
    return model.p * (model.gamma + mean * purchases) / (model.p * purchases + model.q - 1)
