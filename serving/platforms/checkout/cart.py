"""Carts to price: what is in them, and random ones that reach every corner of an offer."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from campaigns.offers import BASIS_POINTS, Catalog, Offer
from serving.platforms.money import step_cents

PROMOTED, OTHER = "PROMOTED", "OTHER"
"""Categories of random carts."""


@dataclass(frozen=True)
class Line:
    """One line of a cart: the price of one piece [cents], how many pieces, and what they are."""

    price: int
    quantity: int
    category: str

    @property
    def total(self) -> int:
        return self.price * self.quantity


@dataclass(frozen=True)
class Cart:
    """What a customer is about to pay for, at shelf prices; at least one line."""

    lines: tuple[Line, ...]

    @property
    def total(self) -> int:
        """Shelf price of all of it [cents]."""
        return sum(line.total for line in self.lines)

    def part(self, category: str) -> int:
        """Return the shelf price of what is in a category [cents]; "" is all of it."""
        return sum(line.total for line in self.lines if category in ("", line.category))

    def where(self, counts: Callable[[Line], bool]) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if counts(line))


def random_carts(offer: Offer, catalog: Catalog, category: str, rng: np.random.Generator, n: int) -> tuple[Cart, ...]:
    """Draw carts of 1 to 8 lines, a third of them with a total near a corner of the offer's terms.

    Args:
        offer: Its corners are the threshold, the value, the spend at which its cap and the catalog's share bind.
        catalog: For the currency and the share.
        category: What the offer is on; "" for the whole basket.
        rng: Source of the carts.
        n: How many.
    """
    step = step_cents(catalog.currency)
    corners = _corners(offer, catalog)
    carts = []
    for i in range(n):
        lines = [_line(rng, step, category or PROMOTED) for _ in range(int(rng.integers(1, 9)))]
        if corners and i % 3 == 0:
            lines = _pushed(lines, int(rng.choice(corners)) + step * int(rng.integers(-2, 3)), category, step)
        carts.append(Cart(tuple(lines)))
    return tuple(carts)


def _corners(offer: Offer, catalog: Catalog) -> list[int]:
    share, depth = round(catalog.max_total_discount * BASIS_POINTS), round(offer.depth * BASIS_POINTS)
    found = [offer.threshold_cents, offer.value_cents, offer.value_cents * BASIS_POINTS // share]
    if depth:
        found.append(offer.cap_cents * BASIS_POINTS // depth)
    return sorted({cents for cents in found if cents})


def _line(rng: np.random.Generator, step: int, category: str) -> Line:
    cents = int(np.exp(rng.uniform(np.log(20), np.log(6000))))
    return Line(cents * step, int(rng.integers(1, 5)), OTHER if rng.random() < 0.4 else category)


def _pushed(lines: list[Line], target: int, category: str, step: int) -> list[Line]:
    """Return lines whose part in the category comes to the target, or as near as it can be."""
    counted = [i for i, line in enumerate(lines) if category in ("", line.category)]
    if not counted:
        return lines
    rest = sum(lines[i].total for i in counted[1:])
    price = target - rest
    kept = [line for i, line in enumerate(lines) if i not in counted[1:]] if price < step else list(lines)
    place = kept.index(lines[counted[0]])
    kept[place] = Line(max(step, target if price < step else price) // step * step, 1, lines[counted[0]].category)
    return kept
