"""What became of a campaign's offers on a platform, and what had to be said about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from campaigns.offers import Catalog, OfferKind
from serving.platforms.lots import Lot


class Standing(Enum):
    """What became of an offer."""

    NATIVE = "native"  # the platform knows all its terms
    EMULATED = "emulated"  # some terms are stood in for, as the notes say
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Note:
    """One thing that the platform does otherwise than the campaign says.

    Attributes:
        offer: Name of the offer; "" for all of them.
        about: The term, in a word or two.
        text: What the platform cannot do, and what is done about it.
    """

    offer: str
    about: str
    text: str


@dataclass(frozen=True)
class Coverage:
    """What became of one offer of the table, on one platform."""

    offer: str
    kind: OfferKind
    standing: Standing
    customers: int


def coverage(catalog: Catalog, lots: tuple[Lot, ...], standing: Mapping[str, Standing]) -> tuple[Coverage, ...]:
    """Return what became of each offer that the table gives, from the standing of its name."""
    customers = {name: sum(len(lot.customers) for lot in lots if lot.offer.name == name) for name in catalog.names}
    return tuple(
        Coverage(offer.name, offer.kind, standing[offer.name], customers[offer.name])
        for offer in catalog.offers
        if customers[offer.name]
    )
