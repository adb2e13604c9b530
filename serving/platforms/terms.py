"""What a platform can say of an offer: its terms as the checkout will know them, and a note where they differ.

The rules are the same for every platform; what differs is in `Abilities`. Where a platform cannot hold a promise that
costs money (the cap of a percentage), the offer is left out unless the shop says that it may cost more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from campaigns.offers import BASIS_POINTS, Catalog, Offer, OfferKind, Scope
from campaigns.shares import share_out
from serving.platforms.lots import Lot
from serving.platforms.mapping import Caps
from serving.platforms.money import step_cents, written
from serving.platforms.notes import Note, Standing


@dataclass(frozen=True)
class Abilities:
    """What a platform's checkout knows.

    Attributes:
        caps: The most that a percentage takes off.
        share: The most that all discounts take off, as a share of the basket.
        gifts: A gift with a basket.
        fractions: Percentages with decimals.
        parts: An amount off, or a threshold, on what is in a category alone.
        stock: A stock per week that customers with their own codes share.
    """

    caps: bool = False
    share: bool = False
    gifts: bool = False
    fractions: bool = True
    parts: bool = True
    stock: bool = False


@dataclass(frozen=True)
class Terms:
    """An offer as the checkout knows it.

    Attributes:
        percent_bp: Basis points off the eligible price; 0 for an amount.
        amount: Cents off; 0 for a percentage.
        minimum: Least eligible spend [cents]; 0 for none.
        uses: Redemptions that all customers share; None where each customer has an own code.
    """

    percent_bp: int = 0
    amount: int = 0
    minimum: int = 0
    uses: int | None = None


@dataclass(frozen=True)
class Expression:
    """What became of an offer on a platform; no terms where it is left out."""

    standing: Standing
    notes: tuple[Note, ...]
    terms: Terms | None


def express(offer: Offer, catalog: Catalog, abilities: Abilities, caps: Caps, platform: str) -> Expression:
    """Say an offer in the words of a platform.

    Args:
        offer: Of any kind but none.
        catalog: For the currency and the share of the basket that discounts may reach.
        abilities: What the platform knows.
        caps: What to do where it knows no cap.
        platform: Its name, for the notes.
    """
    lacks = _lacks(offer, catalog, abilities, caps, platform)
    if lacks is not None:
        return Expression(Standing.LEFT_OUT, (lacks,), None)
    notes: list[Note] = []
    terms = Terms(round(offer.depth * BASIS_POINTS), offer.value_cents, offer.threshold_cents)
    if offer.depth and not abilities.caps:
        text = (
            f"{platform} takes the percentage off without a most: a redemption can cost more than the "
            f"{written(offer.cap_cents, catalog.currency)} that the budget counts with, from an eligible spend of "
            f"{written(_from(offer, catalog), catalog.currency)} on"
        )
        notes.append(Note(offer.name, "cap", text))
    floor = _floor(offer, catalog)
    if floor > offer.threshold_cents and not abilities.share:
        terms = replace(terms, minimum=floor)
        notes.append(Note(offer.name, "share of the basket", _share_text(offer, catalog, floor, platform)))
    if offer.stock is not None and not abilities.stock:
        terms = replace(terms, uses=offer.stock)
        notes.append(Note(offer.name, "stock", _stock_text(offer, platform)))
    return Expression(Standing.EMULATED if notes else Standing.NATIVE, tuple(notes), terms)


def split_stock(stock: int, lots: tuple[Lot, ...]) -> Mapping[str, int]:
    """Share a stock out to lots by their customers, to the last piece; every lot's key has its part."""
    return share_out(stock, {lot.key: len(lot.customers) for lot in sorted(lots, key=lambda lot: lot.key)})


def _lacks(offer: Offer, catalog: Catalog, abilities: Abilities, caps: Caps, platform: str) -> Note | None:
    """Return the note on why an offer cannot be handed over at all."""
    share, currency = round(catalog.max_total_discount * BASIS_POINTS), catalog.currency
    depth, partial = round(offer.depth * BASIS_POINTS), offer.scope is Scope.CATEGORY
    if offer.kind is OfferKind.GIFT and not abilities.gifts:
        return Note(
            offer.name, "gift", f"{platform} has no gift with a basket of its own; left out, use an app for gifts"
        )
    if any(cents % step_cents(currency) for cents in (offer.value_cents, offer.threshold_cents)):
        return Note(offer.name, "amounts", f"{currency} has no coins for its amounts on {platform}; left out")
    if depth and not abilities.caps and caps is Caps.LEAVE_OUT:
        cap = written(offer.cap_cents - offer.cap_cents % step_cents(currency), currency)
        text = (
            f"{platform} knows no most ({cap}) for a percentage; left out: `caps: exceed` in the mapping hands it over"
        )
        return Note(offer.name, "cap", text)
    if depth > share and not abilities.share:
        return Note(
            offer.name,
            "share of the basket",
            f"{platform} cannot hold a basket's discount to {share / 100:g} %; left out",
        )
    if depth % 100 and not abilities.fractions:
        return Note(offer.name, "percentage", f"{platform} takes whole percentages, not {depth / 100:g}; left out")
    if partial and not depth and not abilities.parts:
        return Note(offer.name, "category", f"{platform} has no amount off for a category's part of the cart; left out")
    return None


def _floor(offer: Offer, catalog: Catalog) -> int:
    """Return the spend from which on the share of the basket no longer cuts an amount off [cents]."""
    share = round(catalog.max_total_discount * BASIS_POINTS)
    if share == BASIS_POINTS or not offer.value_cents:
        return 0
    step = step_cents(catalog.currency)
    least = -(-offer.value_cents * BASIS_POINTS // share)
    return -(-least // step) * step


def _from(offer: Offer, catalog: Catalog) -> int:
    step = step_cents(catalog.currency)
    return offer.cap_cents * BASIS_POINTS // round(offer.depth * BASIS_POINTS) // step * step


def _share_text(offer: Offer, catalog: Catalog, floor: int, platform: str) -> str:
    least = written(floor, catalog.currency)
    return (
        f"{platform} cannot hold a basket's discount to {catalog.max_total_discount:.0%}: the offer needs a spend of "
        f"{least}, below which the campaign would still give a part of it"
    )


def _stock_text(offer: Offer, platform: str) -> str:
    weeks = f" over its {offer.weeks} weeks together" if offer.weeks > 1 else ""
    return (
        f"{platform} counts uses of a code, not of customers with codes of their own: all share one code per category, "
        f"and the stock of {offer.stock} a week is split over the categories{weeks}"
    )
