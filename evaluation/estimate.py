"""An estimated quantity with its uncertainty, and the variance of a mean over crossed clusters."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054


class Verdict(StrEnum):
    """Whether a log can tell what a policy is worth."""

    ESTIMABLE = "estimable"
    WEAK = "weak"
    NOT_ESTIMABLE = "not estimable"


@dataclass(frozen=True)
class Overlap:
    """How far a log covers what a policy does.

    Attributes:
        effective_n: Effective sample size of the importance weights [rounds, or trajectories]; Kish, 1965.
        largest_weight: Largest importance weight.
        unsupported: Share of the policy's decisions that the log never or provably too rarely took, in [0, 1].
        verdict: What follows for the value.
        why: The verdict in one sentence.
        pscore_estimated: True where the log's probabilities were estimated; their uncertainty is in the error.
    """

    effective_n: float
    largest_weight: float
    unsupported: float
    verdict: Verdict
    why: str
    pscore_estimated: bool = False


@dataclass(frozen=True)
class Estimate:
    """A value with a 95 % interval.

    Attributes:
        value: The estimate, in the unit of its name.
        error: Standard error.
        lo, hi: 95 % interval.
        n: Independent units behind it (customers).
        overlap: How far the log covers the policy, where the value comes from a log; None elsewhere. Where its verdict
            is "not estimable" there is no number: value, error, lo and hi are NaN, and null in `to_dict`.
    """

    value: float
    error: float
    lo: float
    hi: float
    n: int
    overlap: Overlap | None = None

    def to_dict(self) -> dict[str, Any]:
        plain = asdict(self)
        if self.overlap is None:
            del plain["overlap"]
        return {name: None if value != value else value for name, value in plain.items()}

    @property
    def above_zero(self) -> bool:
        return self.lo > 0


def estimate_mean(values: NDArray[np.float64]) -> Estimate:
    """Estimate the mean of an array whose every axis is a sample of its own: seeds, draws, customers.

    The variance adds what each axis contributes on its own; the last axis is the customers. An axis of length 1
    contributes nothing, so its spread is not in the interval. The quantile is Student's t with the degrees of freedom
    of Satterthwaite (1946), so that two or three seeds widen the interval as they should.

    Args:
        values: Shape (..., customers).

    Reference:
        Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2), 2007: the axes' variances add up.
    """
    parts = [_axis_variance(values, axis) for axis in range(values.ndim) if values.shape[axis] > 1]
    variance = sum(part for part, _ in parts)
    value = float(values.mean())
    if variance <= 0:
        return Estimate(value, 0.0, value, value, values.shape[-1])
    freedom = variance**2 / sum(part**2 / df for part, df in parts if part > 0)
    error = float(np.sqrt(variance))
    from scipy import stats  # a second that who estimates nothing need not wait

    width = float(stats.t.ppf(0.975, freedom)) * error
    return Estimate(value, error, value - width, value + width, values.shape[-1])


def _axis_variance(values: NDArray[np.float64], axis: int) -> tuple[float, int]:
    others = tuple(i for i in range(values.ndim) if i != axis)
    means = values.mean(axis=others)
    return float(means.var(ddof=1)) / len(means), len(means) - 1


def middle_95(draws: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """Return the limits of the middle 95 % of a value over its draws, shape (draws,)."""
    lo, hi = middle_95_of_each(np.asarray(draws))
    return float(lo), float(hi)


def middle_95_of_each(draws: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the same of many values, from draws of shape (draws, ...), each limit of shape (...)."""
    lo, hi = np.quantile(draws, [0.025, 0.975], axis=0)
    return lo, hi


def resample_clusters(cluster: NDArray[np.int64], seed: int, resamples: int) -> Iterator[NDArray[np.float64]]:
    """Yield, for each bootstrap of whole clusters, how often each row counts, shape (n,).

    Args:
        cluster: Whom each row belongs to, shape (n,).
        seed: Same seed, same resamples.
        resamples: How many.

    Reference:
        Davison & Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8.
    """
    _, code = np.unique(cluster, return_inverse=True)
    rng, n = np.random.default_rng(seed), int(code.max()) + 1
    for _ in range(resamples):
        yield np.bincount(rng.integers(n, size=n), minlength=n)[code].astype(np.float64)


def ratio_of_means(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> Estimate | None:
    """Estimate a ratio of two means over the same customers by the delta method; None where nothing was spent.

    Args:
        numerator, denominator: One value per customer, shape (n,).

    Reference:
        Deng, Knoblich & Lu, "Applying the Delta Method in Metric Analytics", KDD 2018.
    """
    below = float(denominator.mean())
    if below <= 1e-9:
        return None
    ratio = float(numerator.mean()) / below
    residual = (numerator - ratio * denominator) / below
    error = float(residual.std(ddof=1) / np.sqrt(len(residual)))
    return Estimate(ratio, error, ratio - Z95 * error, ratio + Z95 * error, len(residual))
