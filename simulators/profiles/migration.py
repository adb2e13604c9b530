"""Migration: which segment customers are in at each quarter of the year, and where they went."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

QUARTER = 13
SETTLED = 8
"""Weeks of history before which a customer's averages say too little."""


def quarter_positions(n_weeks: int) -> list[int]:
    """Return the positions of up to four quarter points, the last at the end of the history."""
    return [p for p in range(n_weeks - 3 * QUARTER, n_weeks + 1, QUARTER) if p >= SETTLED] or [n_weeks]


def count_moves(before: Tensor, after: Tensor, segments: int) -> Tensor:
    """Return customers by segment before (rows) and after (columns), shape (segments, segments), int64."""
    return torch.bincount(before * segments + after, minlength=segments**2).reshape(segments, segments)


def describe_migration(at: Sequence[Tensor], weeks: Sequence[int], segments: int) -> dict[str, object]:
    """Return sizes at each point, the moves between neighbouring points and from the first to the last.

    Args:
        at: Each customer's segment at each point, each shape (n,), int64.
        weeks: Week number that each point follows.
        segments: Number of segments.
    """
    moves = [count_moves(one, other, segments) for one, other in pairwise(at)]
    overall = count_moves(at[0], at[-1], segments)
    n = max(len(at[0]), 1)
    return {
        "weeks": list(weeks),
        "sizes": [torch.bincount(one, minlength=segments).tolist() for one in at],
        "moves": [move.tolist() for move in moves],
        "overall": overall.tolist(),
        "stayed": [float(move.diagonal().sum()) / n for move in moves],
        "stayed_overall": float(overall.diagonal().sum()) / n,
    }
