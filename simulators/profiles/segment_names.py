"""Names for segments in words that a marketer uses, by rule from where each centroid lies among the others."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
QUIET_WEEKS = 5.0
"""Mean weeks since the last visit, counted up to 8, from which a segment is said to have gone quiet."""
RHYTHMS = ((0.75, "weekly"), (0.5, "most weeks"), (0.3, "every other week"), (0.0, "now and then"))
"""Least share of weeks with a visit, and how that is said."""


@dataclass(frozen=True)
class Position:
    """Where a segment lies.

    Attributes:
        visit_weeks: Share of weeks with a visit.
        weeks_since_visit: Counted up to 8.
        basket: Spend of a week with a visit [currency].
        promo: Standard deviations of promotion share from all training customers.
        coupons: The same of redemptions.
        spend: Per week [currency].
    """

    visit_weeks: float
    weeks_since_visit: float
    basket: float
    promo: float
    coupons: float
    spend: float


def name_segments(positions: Sequence[Position], currency: str) -> tuple[str, ...]:
    """Return a unique name per segment, such as "weekly, big baskets, rarely on promotion".

    Baskets are big or small for the upper and lower third of the segments that still come; promotion is said from half
    a standard deviation on, coupons from one. Names that would be the same say the weekly spend as well.
    """
    baskets = np.array([p.basket for p in positions if p.weeks_since_visit < QUIET_WEEKS])
    names = [_describe(p, baskets) for p in positions]
    spoken = [f"{name}, {p.spend:,.0f} {currency} a week" for name, p in zip(names, positions, strict=True)]
    named = _where_repeated(names, spoken)
    lettered = [f"{name} ({i})" for i, name in enumerate(named, 1)]
    return tuple(_where_repeated(named, lettered))


def _describe(position: Position, baskets: Floats) -> str:
    words = []
    if position.weeks_since_visit >= QUIET_WEEKS:
        words.append("gone quiet")
    else:
        words.append(next(word for least, word in RHYTHMS if position.visit_weeks >= least))
        words.append(_size(position.basket, baskets))
    if position.coupons >= 1.0:
        words.append("redeem coupons")
    if position.promo >= 0.5:
        words.append("often on promotion")
    if position.promo <= -0.5:
        words.append("rarely on promotion")
    return ", ".join(word for word in words if word)


def _size(basket: float, baskets: Floats) -> str:
    """Return what a basket is called by the share of the other segments' baskets that are smaller."""
    others = len(baskets) - 1
    if others < 1 or baskets.max() < 1.2 * baskets.min():
        return ""
    rank = float((baskets < basket).sum()) / others
    return "big baskets" if rank > 2 / 3 else "small baskets" if rank < 1 / 3 else "medium baskets"


def _where_repeated(names: Sequence[str], instead: Sequence[str]) -> list[str]:
    count = Counter(names)
    return [other if count[name] > 1 else name for name, other in zip(names, instead, strict=True)]
