"""Does a platform's checkout price an offer like our promo arithmetic? 1,000 random carts say it.

What differs without a note to explain it is a fault, and the offer is not handed over.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import numpy as np

from campaigns.arithmetic import eligible_cents, promo_cents
from campaigns.errors import InputError
from campaigns.offers import BASIS_POINTS, MOST_CENTS, Catalog, Offer, Scope
from serving.platforms.campaign import Campaign, Platform, Sample
from serving.platforms.checkout.cart import PROMOTED, Cart, random_carts
from serving.platforms.checkout.rounding import smallest
from serving.platforms.mapping import ShopMapping

CARTS: Final = 1_000
SEED: Final = 50_021


@dataclass(frozen=True)
class Agreement:
    """How an offer is priced on random carts.

    Attributes:
        offer: Its name.
        carts: How many carts were priced.
        equal: Of these, priced to the same cent.
        rounded: Of these, apart by no more than the platform's rounding.
        refused: Of these, below a minimum that stands in for the share of the basket; the checkout takes nothing off.
        exceeded: Of these, above the cap, which the platform does not know; the checkout takes more off.
        worst: Largest difference of those that are only rounded [cents].
    """

    offer: str
    carts: int
    equal: int
    rounded: int
    refused: int
    exceeded: int
    worst: float


def agreements(
    platform: Platform, campaign: Campaign, catalog: Catalog, mapping: ShopMapping, carts: int = CARTS
) -> tuple[Agreement, ...]:
    """Price random carts with every offer of a campaign, as its payload says and as our arithmetic says.

    Raises:
        InputError: A cart is priced otherwise, and no note says why.
    """
    ids = platform.categories(mapping) if campaign.samples else {}
    return tuple(_agreement(platform, sample, catalog, ids, carts) for sample in campaign.samples)


def _agreement(
    platform: Platform, sample: Sample, catalog: Catalog, ids: Mapping[str, Collection[str]], n: int
) -> Agreement:
    offer, rng = sample.lot.offer, np.random.default_rng([SEED, len(sample.lot.offer.name)])
    category = sample.lot.category
    carts = random_carts(offer, catalog, category, rng, n)
    ours = our_discounts(offer, catalog, category, carts)
    uncapped = our_discounts(offer, _without_cap(catalog, offer), category, carts)
    ours_loses = 1 if smallest(catalog.currency) < 1 else 0  # we count in cents, the currency in tenths of one
    equal = near = refused = exceeded = 0
    worst = Fraction(0)
    for cart, mine, free in zip(carts, ours, uncapped, strict=True):
        theirs = platform.discount(sample.payload, cart, ids, catalog.currency)
        apart, allowed = theirs - mine, platform.tolerance(cart, catalog.currency) + ours_loses
        if apart == 0:
            equal += 1
        elif abs(apart) <= allowed:
            near += 1
            worst = max(worst, abs(apart))
        elif theirs == 0 and _below_share(offer, catalog, cart.part(category)):
            refused += 1
        elif apart > 0 and mine == offer.cap_cents < free and abs(theirs - free) <= allowed:
            exceeded += 1
        else:
            raise InputError(
                f"{platform.name}: {offer.name!r} takes {float(theirs)} cents off {cart}, our arithmetic {mine}; "
                "the campaign is not handed over, report it with the catalog"
            )
    return Agreement(offer.name, n, equal, near, refused, exceeded, float(worst))


def our_discounts(offer: Offer, catalog: Catalog, category: str, carts: tuple[Cart, ...]) -> list[int]:
    """Return what our arithmetic takes off each cart [cents]."""
    columns = catalog.columns()
    index = np.full(len(carts), catalog.index(offer.name))
    basket = np.array([cart.total for cart in carts], dtype=np.int64)
    part = category if offer.scope is Scope.CATEGORY else ""
    promoted = np.array([cart.part(part or PROMOTED) for cart in carts], dtype=np.int64)
    eligible = eligible_cents(columns, index, basket, promoted)
    found: list[int] = promo_cents(columns, index, basket, eligible).discount.tolist()
    return found


def _without_cap(catalog: Catalog, offer: Offer) -> Catalog:
    free = tuple(replace(own, cap_cents=MOST_CENTS) if own.name == offer.name else own for own in catalog.offers)
    return replace(catalog, offers=free)


def _below_share(offer: Offer, catalog: Catalog, spend: int) -> bool:
    """Return whether the share of the basket would cut the offer's amount at this eligible spend."""
    return spend * round(catalog.max_total_discount * BASIS_POINTS) < offer.value_cents * BASIS_POINTS
