"""Means of an arm and how two arms differ, from sums or from one value per customer.

A customer is what is drawn by lot, so a customer's weeks come in as one value: their sum, or their mean.

Reference:
    Deng, Knoblich & Lu, "Applying the Delta Method in Metric Analytics", KDD 2018: ratios of means.
    Deng, Xu, Kohavi & Walker, "Improving the Sensitivity of Online Controlled Experiments by Utilizing Pre-Experiment
    Data", WSDM 2013: CUPED.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluation.anytime import anytime_factor
from evaluation.estimate import Estimate

Floats = NDArray[np.float64]
RISK: Final = 0.05
CLEAR: Final = 3.0
"""Standard errors that a mean must be away from 0 before anything is told relative to it."""


@dataclass(frozen=True)
class Mean:
    """The mean of one arm.

    Attributes:
        value: In the unit of the metric.
        variance: Of one customer's value, so that variance / n is the squared standard error.
        n: Customers.
    """

    value: float
    variance: float
    n: int

    @property
    def error(self) -> float:
        return float(np.sqrt(self.variance / self.n))

    @classmethod
    def of(cls, values: Floats) -> "Mean":
        """Return the mean of one value per customer, shape (n,), n >= 2."""
        return cls(float(values.mean()), float(values.var(ddof=1)), len(values))

    @classmethod
    def of_sums(cls, total: float, squares: float, n: int) -> "Mean":
        """Return the mean of n values by their sum and their sum of squares."""
        return cls(total / n, (squares - total**2 / n) / (n - 1), n)

    @classmethod
    def of_rate(cls, successes: int, n: int) -> "Mean":
        """Return a share of n customers; its variance is p (1 - p)."""
        share = successes / n
        return cls(share, share * (1.0 - share), n)


def ratio_values(numerator: Floats, denominator: Floats) -> Floats:
    """Return one value per customer whose mean is the arm's sum of numerators over its sum of denominators.

    They are the ratio and each customer's influence on it, so that their variance is that of the delta method.

    Args:
        numerator, denominator: Shape (n,); the denominators have a mean above 0.
    """
    mean = float(denominator.mean())
    ratio = float(numerator.mean()) / mean
    return ratio + (numerator - ratio * denominator) / mean


def cuped(values: Floats, covariate: Floats, arm: NDArray[np.int64]) -> tuple[Floats, float]:
    """Take from values what a covariate from before the experiment foretells; the arms' differences keep their mean.

    The slope is one for all arms, fitted within them, so that no difference between arms leaks into it.

    Args:
        values: One per customer, shape (n,).
        covariate: Known before anybody was assigned, shape (n,).
        arm: Shape (n,), int64 from 0.

    Returns:
        The adjusted values, and the share of the variance within arms that the covariate explains, in [0, 1].
    """
    count = np.maximum(np.bincount(arm), 1)
    centred = covariate - (np.bincount(arm, covariate) / count)[arm]
    within = values - (np.bincount(arm, values) / count)[arm]
    square = float(centred @ centred)
    if square <= 0:
        return values, 0.0
    slope = float(centred @ within) / square
    explained = slope**2 * square / max(float(within @ within), 1e-300)
    return values - slope * (covariate - covariate.mean()), min(explained, 1.0)


def difference(ours: Mean, theirs: Mean, risk: float = RISK) -> Estimate:
    """Return ours less theirs with its interval by Welch's t, in the unit of the metric; n counts both arms."""
    error = float(np.hypot(ours.error, theirs.error))
    value = ours.value - theirs.value
    if error <= 0:
        return Estimate(value, 0.0, value, value, ours.n + theirs.n)
    parts = [(mean.error**4) / (mean.n - 1) for mean in (ours, theirs)]
    width = float(stats.t.isf(risk / 2, error**4 / sum(parts))) * error
    return Estimate(value, error, value - width, value + width, ours.n + theirs.n)


def relative(ours: Mean, theirs: Mean, risk: float = RISK) -> Estimate | None:
    """Return ours over theirs, less 1, by the delta method; None where theirs is not clearly away from 0."""
    if abs(theirs.value) <= CLEAR * theirs.error or theirs.value == 0:
        return None
    value = ours.value / theirs.value - 1.0
    square = (ours.error / theirs.value) ** 2 + (ours.value * theirs.error / theirs.value**2) ** 2
    error = float(np.sqrt(square))
    width = float(stats.norm.isf(risk / 2)) * error
    return Estimate(value, error, value - width, value + width, ours.n + theirs.n)


def always_valid(estimate: Estimate, tuned_for: float, risk: float = RISK) -> Estimate:
    """Return an estimate with limits that hold however often one looks while customers come in.

    Args:
        estimate: Of `difference` or `relative`.
        tuned_for: Customers of both arms at which the limits are to be tightest; chosen before the first look.
        risk: Chance to be wrong at any look.
    """
    width = anytime_factor(estimate.n, tuned_for, risk) * estimate.error
    return Estimate(estimate.value, estimate.error, estimate.value - width, estimate.value + width, estimate.n)
