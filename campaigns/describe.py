"""Offers in numbers: what an agent may know of an offer that it has never made."""

import math
from typing import Final

from campaigns.decision import OfferFeatures
from campaigns.offers import Catalog, Offer, OfferKind, Scope

_KINDS: Final = tuple(kind for kind in OfferKind if kind is not OfferKind.NONE)
NAMES: Final = (
    *(f"kind_{kind.value}" for kind in _KINDS),
    "category",
    "depth",
    "value",
    "threshold",
    "gift_cost",
    "cap",
    "weeks",
    "contact",
    "limited",
    "absence",
)
"""Names of the columns of `offer_features`."""


def offer_features(catalog: Catalog) -> OfferFeatures:
    """Describe a catalog's offers by the terms that customers and the shop feel, each near unit scale.

    Kinds, scope and limited stock are 0 or 1; depth is 3 times the share of the price; amounts of money enter as
    log(1 + USD) (threshold and cap by half of it), the life as log(weeks), the contact as log(1 + cents) / 3 and the
    weeks that a customer must have stayed away as log(1 + weeks). Row 0, "no offer", is all 0.
    """
    return OfferFeatures(NAMES, tuple(_row(offer) for offer in catalog.offers))


def _row(offer: Offer) -> tuple[float, ...]:
    if offer.kind is OfferKind.NONE:
        return (0.0,) * len(NAMES)
    return (
        *(float(offer.kind is kind) for kind in _KINDS),
        float(offer.scope is Scope.CATEGORY),
        3.0 * offer.depth,
        _money(offer.value_cents),
        0.5 * _money(offer.threshold_cents),
        _money(offer.gift_cost_cents),
        0.5 * _money(offer.cap_cents),
        math.log(offer.weeks),
        math.log1p(offer.contact_cents) / 3.0,
        float(offer.stock is not None),
        math.log1p(offer.min_weeks_since_visit),
    )


def _money(cents: int) -> float:
    return math.log1p(cents / 100.0)
