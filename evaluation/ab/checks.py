"""Whether an experiment ran as planned: the split of customers, an effect that wears off, segments that differ.

Reference:
    Fabijan et al., "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", KDD 2019.
    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6(2), 1979.
    Cochran, "The Combination of Estimates from Different Experiments", Biometrics 10(1), 1954.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluation.ab.means import Mean, difference
from evaluation.estimate import Estimate

Floats = NDArray[np.float64]
ALARM: Final = 0.0005
"""Chance by which an honest split is called a mismatch."""


@dataclass(frozen=True)
class Split:
    """How customers came out against how they were to be split.

    Attributes:
        p_value: Chance of a split at least as uneven, were it as planned.
        mismatch: It is not believable that the split is as planned; nothing may be said of effects then.
    """

    p_value: float
    mismatch: bool


def check_split(customers: NDArray[np.int64], shares: Floats, alarm: float = ALARM) -> Split:
    """Test the number of customers of each arm against the planned shares by Pearson's chi-square.

    Args:
        customers: Of each arm, shape (arms,).
        shares: Planned, same shape, >= 0; they need not add up to 1. An arm of share 0 must be empty.
        alarm: p-value below which it is a mismatch.
    """
    planned = shares > 0
    if customers[~planned].any():
        return Split(0.0, True)
    total = int(customers.sum())
    if total == 0 or planned.sum() < 2:
        return Split(1.0, False)
    expected = total * shares[planned] / shares[planned].sum()
    found = float(stats.chisquare(customers[planned], expected).pvalue)
    return Split(found, found < alarm)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that hold for all comparisons together, by Holm's steps, in the order given."""
    order = np.argsort(p_values, kind="stable")
    count = len(order)
    steps = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values)[order] * (count - np.arange(count))))
    adjusted = np.empty(count)
    adjusted[order] = steps
    return [float(value) for value in adjusted]


def p_value(estimate: Estimate) -> float:
    """Return the two-sided p-value of an estimate being 0."""
    if estimate.error <= 0:
        return 1.0 if estimate.value == 0 else 0.0
    return float(2.0 * stats.norm.sf(abs(estimate.value) / estimate.error))


def slopes(values: Floats) -> Floats:
    """Return each customer's slope over the periods by least squares, shape (n,), from values (n, periods).

    Its mean over an arm is the slope of the arm's mean, and its spread over customers knows that weeks of one
    customer go together.
    """
    periods = values.shape[1]
    time = np.arange(periods) - (periods - 1) / 2.0
    return np.asarray(values @ (time / float(time @ time)))


def novelty(ours: Floats, theirs: Floats) -> Estimate | None:
    """Return how much the effect grows per period (below 0: it wears off); None with fewer than three periods.

    Args:
        ours, theirs: Values of two arms, shape (n, periods) each.
    """
    if ours.shape[1] < 3:
        return None
    return difference(Mean.of(slopes(ours)), Mean.of(slopes(theirs)))


@dataclass(frozen=True)
class BySegment:
    """Effects by segment.

    Attributes:
        effects: Of each segment, with limits that hold for all of them together; None where it has too few customers.
        p_value: Chance of effects at least as different, were they all alike (Cochran's Q); None with fewer than two.
    """

    effects: list[Estimate | None]
    p_value: float | None


def by_segment(
    ours: tuple[Floats, NDArray[np.int64]], theirs: tuple[Floats, NDArray[np.int64]], segments: int, least: int
) -> BySegment:
    """Compare two arms within each segment.

    Args:
        ours, theirs: Values, shape (n,), and the segment of each customer, int64 from 0.
        segments: How many there are.
        least: Customers that each arm must have in a segment.
    """
    means: list[tuple[Mean, Mean] | None] = []
    for segment in range(segments):
        both = [values[where == segment] for values, where in (ours, theirs)]
        means.append((Mean.of(both[0]), Mean.of(both[1])) if min(map(len, both)) >= max(least, 2) else None)
    told = sum(pair is not None for pair in means)
    effects = [None if pair is None else difference(*pair, risk=0.05 / max(told, 1)) for pair in means]
    known = [effect for effect in effects if effect is not None and effect.error > 0]
    if len(known) < 2:
        return BySegment(effects, None)
    weight = np.array([effect.error**-2 for effect in known])
    value = np.array([effect.value for effect in known])
    spread = float(weight @ (value - weight @ value / weight.sum()) ** 2)
    return BySegment(effects, float(stats.chi2.sf(spread, len(known) - 1)))
