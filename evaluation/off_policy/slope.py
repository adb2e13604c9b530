"""Choose from the log itself how far weights are shrunk."""

from collections.abc import Callable, Sequence

import numpy as np

from evaluation.off_policy.estimators import Shrinking, Terms, optimistic_dr, sub_gaussian_dr, switch_dr
from evaluation.off_policy.rounds import Rounds

TUNABLE: dict[Shrinking, Callable[[Rounds, float], Terms]] = {
    Shrinking.SWITCH: switch_dr,
    Shrinking.OPTIMISTIC: optimistic_dr,
    Shrinking.SUB_GAUSSIAN: sub_gaussian_dr,
}


def limits_to_try(rounds: Rounds, how: Shrinking, number: int = 12) -> list[float]:
    """Return limits from none to strict, evenly spaced in logarithms between the largest and the median weight > 0."""
    seen = rounds.weight[rounds.weight > 0]
    if not len(seen):
        return [float("inf")]
    low, high = max(float(np.median(seen)), 1e-6), float(seen.max())
    grid = np.geomspace(max(high, low * 1.001), low, number - 1)
    if how is Shrinking.OPTIMISTIC:
        grid = np.geomspace(max(high, low * 1.001), max(0.1, low / 10), number - 1) ** 2
    if how is Shrinking.SUB_GAUSSIAN:
        grid = np.maximum(grid * np.sqrt(rounds.n), 1.0)
    return [float("inf"), *(float(limit) for limit in grid)]


def tune(rounds: Rounds, how: Shrinking, limits: Sequence[float] | None = None) -> float:
    """Choose the strictest limit whose interval still meets those of all laxer ones.

    Each candidate's interval is its value and 2 standard errors on either side. A laxer limit has more variance and
    less bias, so as long as intervals meet, what shrinking changed is noise.

    Args:
        rounds: A policy beside a log.
        how: Which weights.
        limits: From lax to strict; None: `limits_to_try`.

    Reference:
        Su, Srinath & Krishnamurthy, "Adaptive Estimator Selection for Off-Policy Evaluation", ICML 2020, algorithm 1.
    """
    limits = limits_to_try(rounds, how) if limits is None else limits
    low, high, chosen = -np.inf, np.inf, limits[0]
    for limit in limits:
        terms = TUNABLE[how](rounds, limit)
        half = 2 * float(terms.influence.std(ddof=1)) / np.sqrt(rounds.n)
        low, high = max(low, terms.value - half), min(high, terms.value + half)
        if low > high:
            break
        chosen = limit
    return chosen
