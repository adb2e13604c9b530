"""Thresholds that people read: the round number that splits a node about as the fitted one does."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

MOVED_SHARES: Final = (0.0, 0.005, 0.01, 0.02)
"""Shares of a node's customers that a rounder threshold may move to the other side, tried in order."""
READABLE_DIGITS: Final = 2
"""Significant digits of a threshold that needs no further rounding."""


def round_threshold(value: NDArray[np.float64], threshold: float, least: int) -> float | None:
    """Return a round number that splits the values about as `threshold` does.

    The roundest number that moves nobody is taken if it has at most two digits; otherwise up to 2 % may be moved.

    Args:
        value: The node's values, shape (n,).
        threshold: Values up to it go left.
        least: Fewest values on each side.

    Returns:
        Threshold t for `value < t` and `value >= t`; None if no t leaves enough on both sides.
    """
    ordered = np.sort(value)
    n = len(ordered)
    split = int(np.searchsorted(ordered, threshold, side="right"))
    if split in (0, n) or n < 2 * least:
        return None
    split = min(max(split, least), n - least)
    rounded = None
    for share in MOVED_SHARES:
        moved = int(share * n)
        low, high = ordered[max(split - moved, least) - 1], ordered[min(split + moved, n - least)]
        rounded = roundest(float(low), float(high)) if low < high else rounded
        if rounded is not None and _digits(rounded) <= READABLE_DIGITS:
            break
    return rounded


def roundest(low: float, high: float) -> float:
    """Return the roundest number in (low, high]: a multiple of the largest step among 5, 2, 1 x a power of ten."""
    if low < 0 <= high:
        return 0.0
    power = math.floor(math.log10(max(abs(low), abs(high)))) + 1
    for exponent in range(power, power - 18, -1):
        for lead in (5, 2, 1):
            step = lead * 10.0**exponent
            number = round(math.floor(high / step) * step, max(-exponent, 0))
            if low < number <= high:
                return number
    return high


def _digits(number: float) -> int:
    """Return the count of significant digits."""
    return len(f"{abs(number):.12e}".split("e")[0].replace(".", "").rstrip("0"))
