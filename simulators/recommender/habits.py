"""What each customer buys again: one row per customer and product ever bought, refreshed week by week.

Decayed counts are kept relative to week 0 instead of to the present: a later week adds 2**(week / half-life) and leaves
the rest alone. So new weeks add to what is there, and give the same bits as counting all weeks anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from history.purchases import Purchases
from simulators.recommender.assortment import Assortment, distinct

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]

HALF_LIVES: Final = (2.0, 6.0, 16.0)
"""Half-lives of the decayed counts [weeks]."""


@dataclass(frozen=True, eq=False)
class Habits:
    """Purchases of n customers among m products, summed up to a week; one row per pair, sorted.

    Attributes:
        customer, product: The pair, each shape (pairs,), int64.
        weeks: Weeks with the product, shape (pairs,), int64.
        lines: Lines with it, shape (pairs,), int64.
        first, last: Positions of the first and last such week, shape (pairs,), int64.
        decayed: Sum over such weeks of 2**(week / half-life), shape (pairs, len(HALF_LIVES)), float64.
        active: Weeks in which the customer bought any of the products, shape (n,), int64.
        now: Position of the week after the last one counted.
        shape: (n, m).
    """

    customer: Ints
    product: Ints
    weeks: Ints
    lines: Ints
    first: Ints
    last: Ints
    decayed: Doubles
    active: Ints
    now: int
    shape: tuple[int, int]

    def recent(self, half_life: int) -> Doubles:
        """Return the counts at the half-life of that index as of now, shape (pairs,)."""
        counts: Doubles = self.decayed[:, half_life] * 2.0 ** (-(self.now - 1) / HALF_LIVES[half_life])
        return counts

    def matrix(self, values: NDArray[np.floating] | Ints) -> sparse.csr_matrix:
        """Return a value of each pair as a sparse matrix, shape (n, m), float32."""
        return sparse.csr_matrix((values.astype(np.float32), (self.customer, self.product)), shape=self.shape)

    def of(self, customers: Ints) -> "Habits":
        """Keep some customers, renumbered in the order given."""
        place = np.full(self.shape[0], -1, dtype=np.int64)
        place[customers] = np.arange(len(customers))
        keep = place[self.customer] >= 0
        columns = {name: getattr(self, name)[keep] for name in _PAIRED}
        kept = replace(
            self, **columns, customer=place[self.customer[keep]], active=self.active[customers],
            shape=(len(customers), self.shape[1]),
        )  # fmt: skip
        order = np.lexsort((kept.product, kept.customer))
        return replace(kept, **{name: getattr(kept, name)[order] for name in ("customer", *_PAIRED)})

    def without(self, products: NDArray[np.bool_]) -> "Habits":
        """Forget every purchase of the products flagged, shape (m,)."""
        keep = ~products[self.product]
        return replace(self, **{name: getattr(self, name)[keep] for name in ("customer", *_PAIRED)})


_PAIRED: Final[Sequence[str]] = ("product", "weeks", "lines", "first", "last", "decayed")


def gather_habits(purchases: Purchases, assortment: Assortment, n: int, now: int) -> Habits:
    """Count the purchases of n customers before the week at position `now`."""
    return refresh_habits(no_habits((n, assortment.n)), purchases, assortment, now)


def no_habits(shape: tuple[int, int]) -> Habits:
    """Return the habits of customers who bought nothing yet."""
    none = np.zeros(0, dtype=np.int64)
    decayed = np.zeros((0, len(HALF_LIVES)))
    return Habits(none, none, none, none, none, none, decayed, np.zeros(shape[0], dtype=np.int64), 0, shape)


def refresh_habits(habits: Habits, purchases: Purchases, assortment: Assortment, now: int) -> Habits:
    """Add the weeks from `habits.now` to `now` - 1 without touching the earlier ones.

    Args:
        habits: Up to some week.
        purchases: At least the new weeks, of the same customers and products.
        assortment: The products counted.
        now: Position of the first week not counted.
    """
    new = purchases.between(habits.now, now)
    code = assortment.code[new.product]
    known = code >= 0
    customer, product, week, lines = new.customer[known], code[known], new.week[known], new.lines[known]
    m = max(habits.shape[1], 1)
    old_keys, new_keys = habits.customer * m + habits.product, customer * m + product
    keys = distinct(np.concatenate([old_keys, new_keys]))
    old, at = np.searchsorted(keys, old_keys), np.searchsorted(keys, new_keys)

    def carried(values: Ints | Doubles, start: int = 0) -> NDArray[np.generic]:
        grown = np.full((len(keys), *values.shape[1:]), start, dtype=values.dtype)
        grown[old] = values
        return grown

    weeks, total, decayed = carried(habits.weeks), carried(habits.lines), carried(habits.decayed)
    first, last = carried(habits.first, np.iinfo(np.int64).max), carried(habits.last, -1)
    np.add.at(weeks, at, 1)
    np.add.at(total, at, lines)
    np.add.at(decayed, at, 2.0 ** (week[:, None] / np.array(HALF_LIVES)))  # in order of weeks, as a rebuild would
    np.minimum.at(first, at, week)
    np.maximum.at(last, at, week)
    visits = distinct(customer * max(now, 1) + week) // max(now, 1)
    active = habits.active + np.bincount(visits, minlength=habits.shape[0])
    return Habits(keys // m, keys % m, weeks, total, first, last, decayed, active, now, habits.shape)  # type: ignore[arg-type]
