"""Google Merchant Center: promotions through the Merchant API. Only offers that every customer gets.

Google advertises a promotion and takes nothing off: the shop's own checkout does, by the same code.

References:
    googleapis/googleapis, google/shopping/merchant/promotions/v1: promotions.proto, promotions_common.proto;
    support.google.com/merchants: 2906014 (promotions data), 13838102 (titles of 1 to 60 characters), 7050148 (ids of
    1 to 50 letters, digits, underscores and dashes).
"""

from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import Any, Final

from campaigns.offers import OfferKind
from serving.platforms.campaign import Campaign, Payload, Request
from serving.platforms.checkout import google as checkout
from serving.platforms.checkout.cart import Cart
from serving.platforms.codes import Codes
from serving.platforms.lots import Lot
from serving.platforms.mapping import GoogleAccount, ShopMapping
from serving.platforms.notes import Note
from serving.platforms.planning import plan
from serving.platforms.terms import Abilities, Terms
from serving.table import PolicyTable

LONGEST_TITLE: Final = 60
LONGEST_ID: Final = 50
_MICROS_PER_CENT: Final = 10_000
_ABILITIES: Final = Abilities(gifts=True, fractions=False, parts=False, stock=True)


class Google:
    """Promotions of a Merchant Center account."""

    name = "google"
    rounding = "none: Google advertises, the shop's checkout rounds; priced to the minor unit, half up"

    def campaign(self, table: PolicyTable, codes: Codes, mapping: ShopMapping) -> Campaign:
        """Write the campaign, as `Platform` says."""
        account: GoogleAccount = mapping.shop(self.name)
        planned = plan(table, _ABILITIES, mapping.caps, "Google", _refuse)
        promotions = {
            lot.key: _promotion(lot, terms, codes, mapping, table.catalog.currency) for lot, terms in planned.entries
        }
        requests = tuple(
            Request(
                key,
                f"/promotions/v1/accounts/{account.account}/promotions:insert",
                {"promotion": promotion, "dataSource": f"accounts/{account.account}/dataSources/{account.data_source}"},
            )
            for key, promotion in promotions.items()
        )
        notes = (*_NOTES, *planned.notes, *_lot_notes(tuple(lot for lot, _ in planned.entries)))
        return Campaign(requests, {}, planned.coverage, notes, planned.samples(promotions))

    def categories(self, mapping: ShopMapping) -> Mapping[str, tuple[str, ...]]:
        """Return the product types of the product data."""
        account: GoogleAccount = mapping.shop(self.name)
        return account.categories

    def discount(self, payload: Payload, cart: Cart, ids: Mapping[str, Collection[str]], currency: str) -> Fraction:
        """Price a cart, as `Platform` says."""
        return checkout.discount(payload, cart, ids, currency)

    def tolerance(self, cart: Cart, currency: str) -> Fraction:
        """Return one minor unit."""
        return checkout.tolerance(currency)


def _refuse(lot: Lot) -> Note | None:
    if lot.everyone:
        return None
    text = "Google shows promotions to everyone, and the table gives this offer to some customers; left out"
    return Note(lot.offer.name, "targeting", text)


def _promotion(lot: Lot, terms: Terms, codes: Codes, mapping: ShopMapping, currency: str) -> dict[str, Any]:
    account: GoogleAccount = mapping.shop("google")
    types = mapping.ids(account.categories, lot.category, "google") if lot.category else ()
    attributes: dict[str, Any] = {
        "productApplicability": "SPECIFIC_PRODUCTS" if types else "ALL_PRODUCTS",
        "offerType": "GENERIC_CODE",
        "genericRedemptionCode": codes.for_all(lot),
        "longTitle": _title(lot),
        **_value(lot, terms, currency),
        "promotionDestinations": ["SHOPPING_ADS", "FREE_LISTINGS"],
        "promotionEffectiveTimePeriod": {
            "startTime": mapping.begins(lot.valid_from).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "endTime": mapping.ends(lot.valid_to).strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    }
    if types:
        attributes["productTypeInclusion"] = list(types)
    if terms.minimum:
        attributes["minimumPurchaseAmount"] = _price(terms.minimum, currency)
    return {
        "promotionId": f"{lot.key[-8:]}-{codes.table[:12]}-{lot.key}"[:LONGEST_ID].rstrip("-"),
        "contentLanguage": account.content_language,
        "targetCountry": account.target_country,
        "redemptionChannel": ["ONLINE"],
        "attributes": attributes,
    }


def _value(lot: Lot, terms: Terms, currency: str) -> dict[str, Any]:
    if lot.offer.kind is OfferKind.GIFT:
        return {"couponValueType": "FREE_GIFT", "freeGiftDescription": lot.offer.label}
    if terms.percent_bp:
        return {"couponValueType": "PERCENT_OFF", "percentOff": terms.percent_bp // 100}
    return {"couponValueType": "MONEY_OFF", "moneyOffAmount": _price(terms.amount, currency)}


def _price(cents: int, currency: str) -> dict[str, str]:
    """Return a `google.shopping.type.Price`: micros are an int64, which JSON writes as text."""
    return {"amountMicros": str(cents * _MICROS_PER_CENT), "currencyCode": currency}


def _title(lot: Lot) -> str:
    return lot.offer.label[:LONGEST_TITLE].strip()


_NOTES: Final = (
    Note(
        "", "checkout", "Google shows the code and redeems nothing: make the same code in the shop, good for everyone"
    ),
    Note("", "uses", "Google knows no uses per customer: the shop's code has to hold them"),
    Note("", "stacking", "Google says nothing on stacking: the shop's code has to hold it"),
    Note("", "targeting", "no customer is named to Google"),
    Note("", "tax", "minimums are in the prices of the product data, with tax where these contain it"),
)


def _lot_notes(lots: tuple[Lot, ...]) -> tuple[Note, ...]:
    notes = []
    for lot in lots:
        if lot.offer.stock is not None:
            text = "Google goes on showing the offer when its stock has run out in the shop: end it there by hand"
            notes.append(Note(lot.offer.name, "stock", text))
        if len(lot.offer.label) > LONGEST_TITLE:
            text = f"titles have at most {LONGEST_TITLE} characters: the label is shown as {_title(lot)!r}"
            notes.append(Note(lot.offer.name, "title", text))
    return tuple(notes)
