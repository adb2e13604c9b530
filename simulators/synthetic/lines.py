"""The lines of receipts that a synthetic shop's weeks are split into, on whole cents."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from history.events import WeeklyEvents

PRODUCTS: Final = 10
"""Products of each category; a customer leans towards one of them."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cells:
    """The c customer weeks with a basket, money in cents; each shape (c,) but for `categories`."""

    customer: Ints
    week: Ints  # from 0
    baskets: Ints
    promoted: Ints  # spend on lines with a shelf discount
    saving: Ints
    categories: Ints  # spend per category, (c, k)


def find_cells(events: WeeklyEvents, rows: slice) -> Cells:
    customer, week = np.nonzero(events.baskets[rows] > 0)
    at = customer + rows.start, week
    categories = _whole_cents(events.category_spend[at], events.spend[at])
    promoted = np.minimum(_cents(events.promo_spend[at]), categories.sum(axis=1))
    return Cells(*at, _whole(events.baskets[at]), promoted, _cents(events.saving[at]), categories)


def _whole(values: NDArray[Any]) -> Ints:
    whole: Ints = np.rint(values).astype(np.int64)
    return whole


def _cents(money: NDArray[Any]) -> Ints:
    return _whole(100.0 * money.astype(np.float64))


def _whole_cents(categories: NDArray[np.float32], spend: NDArray[np.float32]) -> Ints:
    """Return category spend in cents that add up to the spend: differences of rounded running totals."""
    running = np.minimum(np.cumsum(categories.astype(np.float64), axis=1), spend.astype(np.float64)[:, None])
    running[:, -1] = spend
    cents: Ints = np.diff(_cents(running), axis=1, prepend=0)
    return cents


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines of receipts, each shape (m,); a line that is partly on promotion is two of them."""

    cell: Ints  # row of `Cells`
    basket: Ints  # of the cell, from 0
    product: Ints
    cents: Ints
    promoted: NDArray[np.bool_]
    first: NDArray[np.bool_]  # takes the coupon


def split_cells(cells: Cells, rng: np.random.Generator) -> Lines:
    """Split each cell into lines.

    With b baskets and m categories, line l of max(b, m) is in basket l mod b and category l mod m, which is a new pair
    for each l; a category's cents are spread evenly over its lines. Which category is the first turns with the customer
    and the week, so that shelf discounts, which cover the first lines, do not lean to one.
    """
    bought, m = _bought_first(cells)
    count = np.maximum(cells.baskets, m)
    cell = np.repeat(np.arange(len(m)), count)
    line = np.arange(len(cell)) - np.repeat(np.cumsum(count) - count, count)
    turn, place = np.divmod(line, m[cell])
    category = bought[cell, (place + cells.customer[cell] + cells.week[cell]) % m[cell]]
    lines_of = (count[cell] - place - 1) // m[cell] + 1
    whole, rest = np.divmod(cells.categories[cell, category], lines_of)
    cents = whole + (turn < rest)
    end = np.cumsum(cents)
    begin = end - cents
    begin -= np.repeat(begin[line == 0], count)  # from the beginning of the cell
    cut = np.clip(cells.promoted[cell] - begin, 0, cents)
    favourite = (cells.customer[cell] + category) % PRODUCTS
    product = category * PRODUCTS + (favourite + (PRODUCTS * rng.random(len(cell)) ** 2).astype(np.int64)) % PRODUCTS
    plain, promoted = (cut < cents) | (cents == 0), cut > 0
    first = np.concatenate([(line == 0)[plain], ((line == 0) & ~plain)[promoted]])

    def both(values: Ints) -> Ints:
        return np.concatenate([values[plain], values[promoted]])

    amount = np.concatenate([(cents - cut)[plain], cut[promoted]])
    on_promotion = np.repeat([False, True], [int(plain.sum()), int(promoted.sum())])
    return Lines(both(cell), both(line % cells.baskets[cell]), both(product), amount, on_promotion, first)


def _bought_first(cells: Cells) -> tuple[Ints, Ints]:
    """Return each cell's categories, those with spend first, shape (c, k), and their number, 1 at least, shape (c,)."""
    nothing = cells.categories <= 0
    order: Ints = np.argsort(nothing, axis=1, kind="stable")
    return order, np.maximum((~nothing).sum(axis=1), 1)
