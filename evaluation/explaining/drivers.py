"""What a policy leans on over all customers, what its rules lean on, and whether that is the same.

A driver's size is the mean over customers of the absolute Shapley value. Its error, and that of everything said of the
two together, comes from resampling customers and background each by themselves, the same resample for policy and rules
(the pigeonhole bootstrap: Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2), 2007).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluation.estimate import Z95
from evaluation.explaining.players import PLAYERS, Player

RESAMPLES: Final = 400
TOP: Final = 3
LEAST: Final = 0.01
"""A group whose value is below this share of the largest driver moves a customer neither up nor down."""
FEWEST: Final = 20
"""Customers of whom a share is told at least."""
AGREED: Final = 0.7
"""Share of what they lean on that policy and rules must have in common to be called alike."""
COMPARED: Final = tuple(p for p in PLAYERS if p not in (Player.ALLOWED, Player.CLOCK, Player.PRICE))
"""Drivers that policy and rules may differ in: what is allowed binds both alike, clock and price are everybody's."""


Measure = Callable[[NDArray[np.float64], NDArray[np.float64]], float]
"""How alike two rows of drivers are; NaN where that has no meaning."""


class Agreement(StrEnum):
    """Whether rules and policy lean on the same; the value is its name in files."""

    NOTHING = "nothing"  # at least one of the two gives everybody the same
    UNTOLD = "cannot be told"
    AGREE = "agree"
    PARTLY = "agree in part"
    DISAGREE = "disagree"


@dataclass(frozen=True)
class Driver:
    """How far a group moves the outcome, up or down, on average; `lo` and `hi` are a 95 % interval, `lo` >= 0."""

    value: float
    lo: float
    hi: float


@dataclass(frozen=True)
class Share:
    """A share of n customers with its 95 % interval (Wilson); None of fewer than `FEWEST`."""

    value: float | None
    lo: float | None
    hi: float | None
    n: int


@dataclass(frozen=True)
class Comparison:
    """What a policy and its rules lean on.

    Attributes:
        policy, rules: Drivers by group, the groups that vary alone.
        rank: Spearman's rank correlation of the drivers that are compared, with its 95 % bootstrap interval; None where
            one of the two leans on nothing.
        weighted: Weighted Kendall's tau of the same (Vigna, WWW 2015): the largest drivers count most; or None.
        shared: Share of what they lean on that is common to both: drivers divided by their sum on either side, the
            smaller of the two, added up; in [0, 1], with its 95 % bootstrap interval; or None.
        top: Of the `TOP` largest drivers of the policy, those that are among the rules' largest too.
        top_of: How many there are to have in common.
        same_sign: Customers whom a driver moves the same way in both, among those whom it moves in both; by driver.
        kind: What follows.
        policy_leads, rules_leads: The largest drivers: those not clearly below the largest.
    """

    policy: dict[str, Driver]
    rules: dict[str, Driver]
    rank: Driver | None
    weighted: Driver | None
    shared: Driver | None
    top: tuple[str, ...]
    top_of: int
    same_sign: dict[str, Share]
    kind: Agreement
    policy_leads: tuple[str, ...]
    rules_leads: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        plain: dict[str, Any] = {**asdict(self), "kind": self.kind.value}
        return {name: list(part) if isinstance(part, tuple) else part for name, part in plain.items()}


def compare(policy: NDArray[np.float64], rules: NDArray[np.float64], seed: int) -> Comparison:
    """Compare what a policy and its rules lean on.

    Args:
        policy, rules: Shapley values of the same customers against the same background, shape (n, m, len(PLAYERS)).
        seed: Of the resamples.
    """
    both = np.stack([policy, rules])
    found = np.abs(both.mean(axis=2)).mean(axis=1)
    resampled = _resample(both, seed)
    error = resampled.std(axis=1, ddof=1)
    used = [place for place, one in enumerate(PLAYERS) if found[:, place].any() or one in COMPARED[:-1]]
    drivers = [
        {PLAYERS[p].value: _driver(float(found[side, p]), float(error[side, p])) for p in used} for side in range(2)
    ]
    places = np.array([p for p in used if PLAYERS[p] in COMPARED])
    sizes, tried = found[:, places], resampled[:, :, places]
    leads = [_leads(sizes[side], tried[side]) for side in range(2)]
    names = [PLAYERS[p].value for p in places]
    shared = _measured(sizes, tried, _shared)
    tops = [[p for p in np.argsort(-side, kind="stable")[:TOP] if side[p] > 0] for side in sizes]
    return Comparison(
        policy=drivers[0],
        rules=drivers[1],
        rank=_measured(sizes, tried, _spearman),
        weighted=_measured(sizes, tried, _weighted_tau),
        shared=shared,
        top=tuple(names[p] for p in tops[0] if p in tops[1]),
        top_of=min(len(tops[0]), len(tops[1])),
        same_sign={names[i]: _same_sign(both[:, :, :, p].mean(axis=2)) for i, p in enumerate(places)},
        kind=_kind(sizes, leads, error[:, places], shared),
        policy_leads=tuple(names[p] for p in leads[0]),
        rules_leads=tuple(names[p] for p in leads[1]),
    )


def _resample(both: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return the drivers of each resample, shape (2, RESAMPLES, len(PLAYERS))."""
    rng = np.random.default_rng(seed)
    _, n, m, p = both.shape
    flat = both.transpose(2, 0, 1, 3).reshape(m, -1)
    of_background = rng.multinomial(m, np.full(m, 1.0 / m), RESAMPLES) / m
    of_customers = rng.multinomial(n, np.full(n, 1.0 / n), RESAMPLES) / n
    found = np.empty((2, RESAMPLES, p))
    for i in range(RESAMPLES):
        values = np.abs(of_background[i] @ flat).reshape(2, n, p)
        found[:, i] = of_customers[i] @ values
    return found


def _driver(value: float, error: float) -> Driver:
    """Return a driver with its interval; a mean of absolute values is never below 0, nor is its lower limit."""
    return Driver(value, max(value - Z95 * error, 0.0), value + Z95 * error)


def _leads(sizes: NDArray[np.float64], tried: NDArray[np.float64]) -> list[int]:
    """Return the largest driver and those that are not clearly below it, the largest first; none where all are 0."""
    if not sizes.any():
        return []
    most = int(sizes.argmax())
    behind = sizes[most] - sizes
    error = (tried[:, [most]] - tried).std(axis=0, ddof=1)
    close = (behind <= Z95 * error) & (sizes > 0)
    return [p for p in np.argsort(-sizes, kind="stable").tolist() if close[p] or p == most]


def _measured(sizes: NDArray[np.float64], tried: NDArray[np.float64], measure: Measure) -> Driver | None:
    """Return a measure of likeness with its percentile interval; None where one side leans on nothing."""
    value = measure(sizes[0], sizes[1])
    if np.isnan(value):
        return None
    spread = np.array([measure(one, other) for one, other in zip(*tried, strict=True)])
    lo, hi = np.nanpercentile(spread, [2.5, 97.5])
    return Driver(float(value), float(min(lo, value)), float(max(hi, value)))


def _spearman(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the correlation of the ranks, ties at their mean rank; NaN where one side is all alike."""
    first, second = (stats.rankdata(side) - (len(side) + 1) / 2 for side in (one, other))
    size = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / size) if size > 0 else np.nan


def _shared(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if not (one.any() and other.any()):
        return np.nan
    return float(np.minimum(one / one.sum(), other / other.sum()).sum())


def _weighted_tau(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return np.nan
    return float(stats.weightedtau(one, other).statistic)


def _same_sign(values: NDArray[np.float64]) -> Share:
    """Return the share of customers whom a driver moves the same way; `values` has shape (2, n)."""
    least = LEAST * np.abs(values).max(axis=1, keepdims=True)
    moved = ((np.abs(values) > least) & (values != 0)).all(axis=0)
    n, same = int(moved.sum()), int((values[0, moved] * values[1, moved] > 0).sum())
    if n < FEWEST:
        return Share(None, None, None, n)
    low, high = stats.binomtest(same, n).proportion_ci(method="wilson")
    return Share(same / n, float(low), float(high), n)


def _kind(
    sizes: NDArray[np.float64], leads: list[list[int]], error: NDArray[np.float64], shared: Driver | None
) -> Agreement:
    """Say whether the two lean on the same.

    It cannot be told where the intervals of the largest and of the smallest driver overlap. They disagree where each
    one's largest driver is, in the other, clearly below the other's largest. They agree where neither is so and most of
    what they lean on is common to both.
    """
    if not (leads[0] and leads[1]) or shared is None:
        return Agreement.NOTHING
    for side in range(2):
        most, least = int(sizes[side].argmax()), int(sizes[side].argmin())
        if sizes[side, most] - sizes[side, least] <= Z95 * (error[side, most] + error[side, least]):
            return Agreement.UNTOLD
    forth, back = leads[0][0] in leads[1], leads[1][0] in leads[0]
    if not (forth or back):
        return Agreement.DISAGREE
    return Agreement.AGREE if forth and back and shared.value >= AGREED else Agreement.PARTLY
