"""What an offer costs: the one promo arithmetic, in integer cents.

Arrays are numpy or torch, int64 in cents; only operators are used, so that simulator, evaluation, export and server
price an offer to the same cent. Every discount is taken from the shelf price before any promo, never from what
another discount has left: so the order of offers changes nothing. Fractions of a cent go to the shop.
"""

from dataclasses import dataclass
from typing import Any

from campaigns.offers import BASIS_POINTS, OfferColumns


@dataclass(frozen=True, eq=False)
class Promo:
    """What offers cost on n baskets [cents]; int64, of the shape that was asked for."""

    discount: Any  # taken off the bill
    gift_cost: Any  # cost of the gift to the shop

    @property
    def cost(self) -> Any:
        return self.discount + self.gift_cost


@dataclass(frozen=True, eq=False)
class _Terms:
    depth_bp: Any
    value: Any
    threshold: Any
    gift_cost: Any
    cap: Any


def eligible_cents(columns: OfferColumns, offer: Any, basket: Any, category: Any) -> Any:
    """Return the shelf-price base of each customer's offer [cents], shape (n,).

    Args:
        columns: The catalog.
        offer: Index into the catalog, shape (n,), int64.
        basket: Shelf price of the whole basket [cents], shape (n,), int64.
        category: Shelf price of its part in the promoted category [cents], shape (n,), int64.
    """
    return basket + columns.scope[offer] * (category - basket)


def promo_cents(columns: OfferColumns, offer: Any, basket: Any, eligible: Any) -> Promo:
    """Price one offer per basket, redeemed.

    The discount is at least 0 and at most the offer's cap, the eligible base, and the catalog's share of the basket.

    Args:
        columns: The catalog.
        offer: Index into the catalog, shape (n,), int64.
        basket: Shelf price of the basket [cents], shape (n,), int64.
        eligible: Base of the offer, fixed before any promo (`eligible_cents`) [cents], shape (n,), int64.
    """
    return _price(columns, _terms(columns, offer), basket, eligible)


def every_promo_cents(columns: OfferColumns, basket: Any, category: Any) -> Promo:
    """Price every offer of the catalog on every basket, shape (n, n_offers).

    Args:
        columns: The catalog.
        basket: Shelf price of the whole basket [cents], shape (n,), int64.
        category: Shelf price of its part in the promoted category [cents], shape (n,), int64.
    """
    everything = (slice(None), None)  # offer by offer over all baskets, as memory has it
    eligible = eligible_cents(columns, everything, basket, category)
    promo = _price(columns, _terms(columns, everything), basket, eligible)
    return Promo(promo.discount.T, promo.gift_cost.T)


def total_promo_cents(columns: OfferColumns, offers: Any, basket: Any, eligible: Any) -> Promo:
    """Price k offers redeemed together on each basket; the order of the k changes nothing.

    Args:
        columns: The catalog.
        offers: Indices into the catalog, shape (n, k), int64.
        basket: Shelf price of the basket [cents], shape (n,), int64.
        eligible: Base of each offer, fixed before any promo [cents], shape (n, k), int64.

    Returns:
        Sums over the k offers, shape (n,), the discounts together within the catalog's share of the basket.
    """
    each = promo_cents(columns, offers, basket[:, None], eligible)
    discount = _least(each.discount.sum(1), _most_discount(columns, basket))
    return Promo(discount=discount, gift_cost=each.gift_cost.sum(1))


def _terms(columns: OfferColumns, offer: Any) -> _Terms:
    return _Terms(
        depth_bp=columns.depth_bp[offer],
        value=columns.value[offer],
        threshold=columns.threshold[offer],
        gift_cost=columns.gift_cost[offer],
        cap=columns.cap[offer],
    )


def _price(columns: OfferColumns, terms: _Terms, basket: Any, eligible: Any) -> Promo:
    # A kind is told by its terms (`Offer` refuses any other): those that it does not use are 0 and add nothing.
    eligible = _positive(_least(eligible, basket))
    reached = eligible >= terms.threshold.clip(min=1)
    saved = _least(eligible * terms.depth_bp // BASIS_POINTS + terms.value, terms.cap) * reached
    discount = _least(_least(saved, eligible), _most_discount(columns, basket))
    return Promo(discount=discount, gift_cost=terms.gift_cost * reached)


def _most_discount(columns: OfferColumns, basket: Any) -> Any:
    return _positive(basket) * columns.max_total_bp // BASIS_POINTS


def _least(a: Any, b: Any) -> Any:
    return a.clip(max=b)


def _positive(a: Any) -> Any:
    return a.clip(min=0)
