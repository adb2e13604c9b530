"""Measures by group of a protected attribute, and whether the worst-off group is too far from the best-off one.

An attribute is read to judge by and never to decide by.

Reference:
    Uniform Guidelines on Employee Selection Procedures, 29 CFR 1607.4(D): the four-fifths rule.
    Fieller, "Some Problems in Interval Estimation", JRSS B 16(2), 1954: the interval of a ratio of two means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from evaluation.estimate import Estimate, estimate_mean

Floats = NDArray[np.float64]
LEAST: Final = 20
"""Customers below which nothing is told of a group."""
RISK: Final = 0.05


class Finding(StrEnum):
    """What an interval of the worst ratio says against a limit."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOT_ESTIMABLE = "not estimable"


@dataclass(frozen=True, eq=False)
class Grouping:
    """Customers by one attribute.

    Attributes:
        attribute: Its name.
        names: Its values, sorted.
        code: Place of each customer's value in `names`, -1 where it is not stated, shape (n,), int64.
    """

    attribute: str
    names: tuple[str, ...]
    code: NDArray[np.int64]

    @classmethod
    def of(cls, attribute: str, values: "pd.Series[str]") -> "Grouping":
        """Group by values, of which missing ones are not stated."""
        text = values.astype("string")
        names = tuple(sorted(str(name) for name in text.dropna().unique()))
        place = {name: number for number, name in enumerate(names)}
        code = np.array([place.get(name, -1) if isinstance(name, str) else -1 for name in text.tolist()], np.int64)
        return cls(attribute, names, code)

    def take(self, rows: NDArray[np.int64]) -> "Grouping":
        """Return some of the customers."""
        return Grouping(self.attribute, self.names, self.code[rows])

    def sizes(self) -> NDArray[np.int64]:
        """Return how many customers each group has, shape (groups,)."""
        return np.bincount(self.code[self.code >= 0], minlength=len(self.names))

    def told(self) -> list[int]:
        """Return the groups that are large enough to say anything of."""
        return [int(group) for group in np.flatnonzero(self.sizes() >= LEAST)]


def by_group(values: Floats, grouping: Grouping) -> list[Estimate | None]:
    """Return the mean of each group with its 95 % interval, None for one that is too small.

    Args:
        values: Shape (..., n); every axis before the last is a sample of its own, such as draws of the effects.
        grouping: Of the n customers.
    """
    told = set(grouping.told())
    return [
        estimate_mean(values[..., grouping.code == group]) if group in told else None
        for group in range(len(grouping.names))
    ]


@dataclass(frozen=True)
class Worst:
    """The smallest ratio of two groups' means.

    Attributes:
        value, lo, hi: The ratio, and an interval that holds it with 95 %, the choice of the two groups included.
        group, against: Whose mean over whose.
    """

    value: float
    lo: float
    hi: float
    group: str
    against: str


def worst_ratio(values: Floats, grouping: Grouping, risk: float = RISK) -> Worst | None:
    """Return the worst ratio of group means; None with fewer than two groups, or where a mean may be 0.

    All pairs of groups get intervals that hold together (Bonferroni); if each holds its ratio, the smallest lower and
    the smallest upper limit hold the smallest ratio. Nothing is chosen first and judged afterwards.

    Args:
        values: One per customer, >= 0, shape (n,).
        grouping: Of the n customers.
        risk: Chance that the interval misses.
    """
    told = grouping.told()
    pairs = list(combinations(told, 2))
    if not pairs:
        return None
    means = {group: estimate_mean(values[grouping.code == group]) for group in told}
    found = []
    for one, other in pairs:
        limits = fieller(means[one], means[other], risk / len(pairs))
        if limits is None:
            return None
        ratio = means[one].value / means[other].value
        found += [
            Worst(ratio, *limits, grouping.names[one], grouping.names[other]),
            Worst(1.0 / ratio, 1.0 / limits[1], 1.0 / limits[0], grouping.names[other], grouping.names[one]),
        ]
    worst = min(found, key=lambda one: one.value)
    lo, hi = min(one.lo for one in found), min(one.hi for one in found)
    return Worst(worst.value, lo, min(hi, 1.0), worst.group, worst.against)


def fieller(above: Estimate, below: Estimate, risk: float = RISK) -> tuple[float, float] | None:
    """Return the limits of a ratio of two independent means; None where either may be 0, which leaves it open."""
    freedom = min(above.n, below.n) - 1
    width = float(stats.t.isf(risk / 2, freedom))
    room_below = below.value**2 - (width * below.error) ** 2
    room_above = above.value**2 - (width * above.error) ** 2
    if room_below <= 0 or room_above <= 0 or above.value <= 0 or below.value <= 0:
        return None
    product = above.value * below.value
    root = float(np.sqrt(product**2 - room_below * room_above))
    return (product - root) / room_below, (product + root) / room_below


def judge(worst: Worst | None, limit: float) -> Finding:
    """Pass only where the whole interval is above the limit; fail where all of it is below."""
    if worst is None:
        return Finding.NOT_ESTIMABLE
    if worst.lo > limit:
        return Finding.PASS
    return Finding.FAIL if worst.hi < limit else Finding.INCONCLUSIVE


def together(findings: Sequence[Finding]) -> Finding:
    """Return what several findings come to: the first of fail, inconclusive, not estimable, pass that is among them."""
    for finding in (Finding.FAIL, Finding.INCONCLUSIVE, Finding.NOT_ESTIMABLE):
        if finding in findings:
            return finding
    return Finding.PASS if findings else Finding.NOT_ESTIMABLE
