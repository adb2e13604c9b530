"""The bootstrap of many columns at once: customers are drawn block by block, and every block is a matrix product."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BLOCK = 8192
"""Rows drawn among at once: their counts stay in a cache, and two bytes number them."""
TOGETHER = 50
"""Resamples whose counts are multiplied at once."""


def resampled_means(columns: Sequence[Floats], seed: int, resamples: int) -> tuple[Floats, Floats]:
    """Draw the n rows of columns anew, n at a time, and average each column and its square.

    How many draws fall into a block of rows is multinomial; within it each row is as likely as any other. Together this
    is Efron's bootstrap, and no array is larger than a block.

    Args:
        columns: Each of shape (n,).
        seed: Same seed, same rows.
        resamples: How many times all rows are drawn.

    Returns:
        Means of the columns and of their squares, shape (resamples, len(columns)) each.

    Reference:
        Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7(1), 1979.
    """
    rng, n = np.random.default_rng(seed), len(columns[0])
    starts = np.arange(0, n, BLOCK)
    sizes = np.minimum(BLOCK, n - starts)
    shares = rng.multinomial(n, sizes / n, size=resamples)
    found = np.zeros((resamples, 2 * len(columns)))
    for start, size, share in zip(starts, sizes, shares.T, strict=True):
        part = np.empty((size, 2 * len(columns)))
        for number, column in enumerate(columns):
            part[:, number] = column[start : start + size]
        np.square(part[:, : len(columns)], out=part[:, len(columns) :])
        for first in range(0, resamples, TOGETHER):
            counts = _counts(rng, share[first : first + TOGETHER], int(size))
            found[first : first + TOGETHER] += counts @ part
    found /= n
    return found[:, : len(columns)], found[:, len(columns) :]


def _counts(rng: np.random.Generator, draws: NDArray[np.int64], size: int) -> Floats:
    """Return how often each of `size` rows comes, shape (len(draws), size)."""
    counts = np.empty((len(draws), size))
    for number, many in enumerate(draws):
        counts[number] = np.bincount(rng.integers(size, size=many, dtype=np.uint16), minlength=size)
    return counts
