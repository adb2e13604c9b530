"""BG/BB: in each week a living customer visits with their own chance, and may leave before it; for weekly data.

Reference:
    Fader, Hardie & Shang, "Customer-Base Analysis in a Discrete-Time Noncontractual Setting", Marketing Science 29(6),
    2010. Equation numbers are theirs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, logsumexp

Floats = NDArray[np.float64]
LOG_BOUNDS = (-6.0, 8.0)
"""Of the logarithms of parameters: keeps a history without any departure from running to infinity."""


@dataclass(frozen=True, eq=False)
class Weeks:
    """What n customers did in `watched` weeks.

    Attributes:
        visits: Weeks with a visit, shape (n,).
        last: Number of the last of them, counted from 1; 0 without any, shape (n,).
        watched: Weeks.
    """

    visits: Floats
    last: Floats
    watched: int


@dataclass(frozen=True)
class BgBb:
    """Beta(a, b) over the chance of a visit in a week, Beta(c, d) over the chance to leave before one."""

    a: float
    b: float
    c: float
    d: float


def weeks_of(active: Floats) -> Weeks:
    """Summarise weeks with a visit, shape (n, t)."""
    t = active.shape[1]
    last = np.where(active.any(axis=1), t - active[:, ::-1].argmax(axis=1), 0)
    return Weeks(active.sum(axis=1), last.astype(float), t)


def log_likelihood(model: BgBb, rows: Weeks) -> Floats:
    """Return each customer's log-likelihood of their very sequence of weeks, shape (n,) (eq. 5)."""
    left = np.where(
        np.arange(rows.watched)[None, :] >= rows.last[:, None],
        _sequence(model, rows.visits[:, None], np.arange(rows.watched)[None, :], left=True),
        -np.inf,
    )
    result: Floats = np.logaddexp(_alive(model, rows), logsumexp(left, axis=1))
    return result


def fit_bg_bb(rows: Weeks) -> BgBb:
    """Fit by maximum likelihood over the logarithms of the four parameters; customers with equal weeks count as one."""
    pairs, counts = np.unique(np.stack([rows.visits, rows.last], axis=1), axis=0, return_counts=True)
    distinct, share = Weeks(pairs[:, 0], pairs[:, 1], rows.watched), counts / counts.sum()

    def loss(logs: Floats) -> float:
        return -float(share @ log_likelihood(BgBb(*np.exp(logs)), distinct))

    found = minimize(loss, np.log([1.0, 1.0, 0.5, 20.0]), method="L-BFGS-B", bounds=[LOG_BOUNDS] * 4)
    return BgBb(*(float(value) for value in np.exp(found.x)))


def chance_alive(model: BgBb, rows: Weeks) -> Floats:
    """Return each customer's chance not to have left by the end of the weeks watched, shape (n,) (eq. 11)."""
    alive: Floats = np.exp(_alive(model, rows) - log_likelihood(model, rows))
    return alive


def expected_weeks(model: BgBb, rows: Weeks, ahead: int) -> Floats:
    """Return the weeks with a visit expected among the next `ahead`, shape (n,) (eq. 13)."""
    chance = (model.a + rows.visits) / (model.a + model.b + rows.watched)
    result: Floats = chance_alive(model, rows) * chance * _staying(model, rows.watched, ahead).sum()
    return result


def chance_of_silence(model: BgBb, rows: Weeks, ahead: int) -> Floats:
    """Return the chance of no visit in the next `ahead` weeks, shape (n,)."""
    a, b, x = model.a, model.b, rows.visits
    none = betaln(a + x, b + rows.watched - x + np.arange(ahead + 1)[:, None]) - betaln(a + x, b + rows.watched - x)
    staying = np.concatenate([[1.0], _staying(model, rows.watched, ahead)])
    leaving = -np.diff(staying, append=0.0)  # the last entry: stays through all of them
    quiet: Floats = 1 - chance_alive(model, rows) * (1 - leaving @ np.exp(none))
    return quiet


def _staying(model: BgBb, watched: int, ahead: int) -> Floats:
    """Return the chance that who is alive now is alive in each of the next weeks, shape (ahead,)."""
    c, d = model.c, model.d + watched
    staying: Floats = np.exp(betaln(c, d + np.arange(1, ahead + 1)) - betaln(c, d))
    return staying


def _alive(model: BgBb, rows: Weeks) -> Floats:
    return _sequence(model, rows.visits, np.asarray(rows.watched), left=False)


def _sequence(model: BgBb, visits: Floats, weeks: NDArray[np.int64], left: bool) -> Floats:
    """Return the log-chance of a sequence in which the customer lived `weeks` weeks, and then `left`."""
    visiting = betaln(model.a + visits, model.b + np.maximum(weeks - visits, 0)) - betaln(model.a, model.b)
    result: Floats = visiting + betaln(model.c + left, model.d + weeks) - betaln(model.c, model.d)
    return result
