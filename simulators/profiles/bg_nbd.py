"""BG/NBD: customers buy at their own Poisson rate and may leave for good after any purchase.

Reference:
    Fader, Hardie & Lee, "Counting Your Customers the Easy Way: An Alternative to the Pareto/NBD Model",
    Marketing Science 24(2), 2005. Equation numbers are theirs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, expit, gammaln, hyp2f1

Floats = NDArray[np.float64]
LOG_BOUNDS = (-7.0, 9.0)
"""Of the logarithms of parameters: keeps a history without any departure from running to infinity."""


@dataclass(frozen=True, eq=False)
class Purchases:
    """What n customers did since their first purchase; each shape (n,).

    Attributes:
        repeats: Purchases after the first.
        last: Time of the last purchase since the first [weeks].
        age: Time watched since the first [weeks].
    """

    repeats: Floats
    last: Floats
    age: Floats


@dataclass(frozen=True)
class BgNbd:
    """Gamma(r, alpha) over purchase rates [1/week], Beta(a, b) over the chance to leave after a purchase."""

    r: float
    alpha: float
    a: float
    b: float


def purchases_of(active: Floats) -> tuple[Purchases, NDArray[np.bool_]]:
    """Summarise weeks with a visit as purchases.

    Args:
        active: 1 where a customer visited, shape (n, t).

    Returns:
        The purchases, and who made any, shape (n,); the figures of who made none are those of a fresh customer.
    """
    weeks = active.shape[1]
    bought: NDArray[np.bool_] = np.asarray(active.any(axis=1))
    first = np.where(bought, active.argmax(axis=1), weeks - 1)
    last = np.where(bought, weeks - 1 - active[:, ::-1].argmax(axis=1), weeks - 1)
    repeats = np.maximum(active.sum(axis=1) - 1.0, 0.0)
    return Purchases(repeats, (last - first).astype(float), (weeks - 1 - first).astype(float)), bought


def log_likelihood(model: BgNbd, rows: Purchases) -> Floats:
    """Return each customer's log-likelihood, shape (n,) (eq. 6)."""
    stay, leave = _branches(model, rows)
    common = gammaln(model.r + rows.repeats) - gammaln(model.r) + model.r * np.log(model.alpha)
    result: Floats = common + np.logaddexp(stay, leave)
    return result


def fit_bg_nbd(rows: Purchases) -> BgNbd:
    """Fit by maximum likelihood over the logarithms of the four parameters."""

    def loss(logs: Floats) -> float:
        return -float(log_likelihood(BgNbd(*np.exp(logs)), rows).mean())

    found = minimize(loss, np.log([1.0, 1.0, 0.5, 5.0]), method="L-BFGS-B", bounds=[LOG_BOUNDS] * 4)
    return BgNbd(*(float(value) for value in np.exp(found.x)))


def chance_alive(model: BgNbd, rows: Purchases) -> Floats:
    """Return each customer's chance not to have left, shape (n,)."""
    stay, leave = _branches(model, rows)
    alive: Floats = expit(stay - leave)
    return alive


def expected_purchases(model: BgNbd, rows: Purchases, weeks: float) -> Floats:
    """Return the purchases expected in the next `weeks` weeks, shape (n,) (eq. 10)."""
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    x, now = rows.repeats, alpha + rows.age
    ahead = (now / (now + weeks)) ** (r + x) * hyp2f1(r + x, b + x, a + b + x - 1, weeks / (now + weeks))
    result: Floats = (a + b + x - 1) / (a - 1) * (1 - ahead) * chance_alive(model, rows)
    return result


def _branches(model: BgNbd, rows: Purchases) -> tuple[Floats, Floats]:
    """Return the log-likelihoods of being alive and of having left after the last purchase, without what they share."""
    r, alpha, a, b, x = model.r, model.alpha, model.a, model.b, rows.repeats
    stay = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + rows.age)
    left = betaln(a + 1, b + np.maximum(x, 1) - 1) - betaln(a, b) - (r + x) * np.log(alpha + rows.last)
    return stay, np.where(x > 0, left, -np.inf)
