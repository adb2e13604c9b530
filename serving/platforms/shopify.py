"""Shopify: code discounts through the Admin GraphQL API.

One discount per lot, with the codes of its customers added 250 at a time. Where customers are named to the platform,
a lot becomes parts of at most 250 customers, the most that an input list holds.

References:
    shopify.dev, GraphQL Admin API 2026-10: discountCodeBasicCreate, discountRedeemCodeBulkAdd, DiscountCodeBasicInput;
    "Shopify API limits", input limits.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

from campaigns.offers import BASIS_POINTS
from serving.platforms.campaign import Campaign, Payload, Request
from serving.platforms.checkout import shopify as checkout
from serving.platforms.checkout.cart import Cart
from serving.platforms.codes import Codes
from serving.platforms.lots import Lot
from serving.platforms.mailing import FILE, code_table
from serving.platforms.mapping import ShopifyShop, ShopMapping, Targeting
from serving.platforms.money import amount
from serving.platforms.notes import Note
from serving.platforms.planning import plan
from serving.platforms.terms import Abilities, Terms
from serving.table import PolicyTable

MOST: Final = 250
"""Most entries of one input list, and so codes of one bulk call."""
CREATE: Final = (
    "mutation discountCodeBasicCreate($basicCodeDiscount: DiscountCodeBasicInput!) { "
    "discountCodeBasicCreate(basicCodeDiscount: $basicCodeDiscount) { "
    "codeDiscountNode { id } userErrors { field code message } } }"
)
ADD: Final = (
    "mutation discountRedeemCodeBulkAdd($discountId: ID!, $codes: [DiscountRedeemCodeInput!]!) { "
    "discountRedeemCodeBulkAdd(discountId: $discountId, codes: $codes) { "
    "bulkCreation { id } userErrors { field code message } } }"
)
_ABILITIES: Final = Abilities()


class Shopify:
    """Discount codes of a Shopify shop."""

    name = "shopify"
    rounding = (
        "each line to the minor unit, half up, an amount split over the lines to the last cent; Shopify publishes no "
        "rule, so up to one minor unit per line is allowed for"
    )

    def campaign(self, table: PolicyTable, codes: Codes, mapping: ShopMapping) -> Campaign:
        """Write the campaign, as `Platform` says."""
        shop: ShopifyShop = mapping.shop(self.name)
        planned = plan(table, _ABILITIES, mapping.caps, "Shopify")
        requests: list[Request] = []
        payloads: dict[str, Payload] = {}
        for lot, terms in planned.entries:
            for part in _parts(lot, terms, shop):
                value = _discount(part, terms, codes, mapping, table.catalog.currency)
                payloads.setdefault(lot.key, value)
                requests += _requests(part, terms, codes, value, shop.api_version)
        notes = (*_notes(shop), *planned.notes, *_lot_notes(planned.entries, shop))
        return Campaign(
            tuple(requests),
            {FILE: code_table(planned.entries, codes)},
            planned.coverage,
            notes,
            planned.samples(payloads),
        )

    def categories(self, mapping: ShopMapping) -> Mapping[str, tuple[str, ...]]:
        """Return the ids of collections."""
        shop: ShopifyShop = mapping.shop(self.name)
        return shop.categories

    def discount(self, payload: Payload, cart: Cart, ids: Mapping[str, Collection[str]], currency: str) -> Fraction:
        """Price a cart, as `Platform` says."""
        return checkout.discount(payload, cart, ids, currency)

    def tolerance(self, cart: Cart, currency: str) -> Fraction:
        """Return one minor unit per line."""
        return checkout.tolerance(cart, currency)


def _parts(lot: Lot, terms: Terms, shop: ShopifyShop) -> Iterator[Lot]:
    if shop.targeting is Targeting.CODE or terms.uses is not None:
        yield lot
        return
    for start in range(0, len(lot.customers), MOST):
        yield replace(lot, customers=lot.customers[start : start + MOST])


def _discount(lot: Lot, terms: Terms, codes: Codes, mapping: ShopMapping, currency: str) -> dict[str, Any]:
    shop: ShopifyShop = mapping.shop("shopify")
    if terms.percent_bp:
        value: dict[str, Any] = {"percentage": terms.percent_bp / BASIS_POINTS}
    else:
        value = {"discountAmount": {"amount": str(amount(terms.amount, currency)), "appliesOnEachItem": False}}
    collections = mapping.ids(shop.categories, lot.category, "shopify") if lot.category else ()
    shared = terms.uses is not None
    found: dict[str, Any] = {
        "title": f"{lot.title} [{lot.key}]",
        "code": codes.for_all(lot) if shared else codes.for_customers(lot)[0],
        "startsAt": _moment(mapping.begins(lot.valid_from)),
        "endsAt": _moment(mapping.ends(lot.valid_to)),
        "context": {"all": "ALL"},
        "customerGets": {
            "value": value,
            "items": {"collections": {"add": list(collections)}} if collections else {"all": True},
        },
        "combinesWith": {"orderDiscounts": False, "productDiscounts": False, "shippingDiscounts": False},
        "appliesOncePerCustomer": True,
        "usageLimit": terms.uses if shared else 1,
    }
    if shop.targeting is Targeting.CUSTOMER and len(lot.customers) <= MOST:
        found["context"] = {"customers": {"add": list(mapping.identities(lot.customers, "shopify_id"))}}
    if terms.minimum:
        least = str(amount(terms.minimum, currency))
        found["minimumRequirement"] = {"subtotal": {"greaterThanOrEqualToSubtotal": least}}
    return found


def _requests(lot: Lot, terms: Terms, codes: Codes, value: dict[str, Any], version: str) -> Iterator[Request]:
    path, key = f"/admin/api/{version}/graphql.json", f"{lot.key}/{lot.customers[0]}"
    yield Request(key, path, {"query": CREATE, "variables": {"basicCodeDiscount": value}}, finds=str(value["code"]))
    rest = () if terms.uses is not None else codes.for_customers(lot)[1:]
    for start in range(0, len(rest), MOST):
        added = {"discountId": "", "codes": [{"code": code} for code in rest[start : start + MOST]]}
        body = {"query": ADD, "variables": added}
        yield Request(f"{key}/codes/{start}", path, body, awaits=key, slot=("variables", "discountId"))


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _notes(shop: ShopifyShop) -> tuple[Note, ...]:
    if shop.targeting is Targeting.CODE:
        who = "whoever holds a code can use it, once; no customer is named to Shopify"
    else:
        who = "Shopify gets the ids of the customers of each discount, and only these can use its codes"
    return (
        Note("", "stacking", "codes combine with no other discount of the shop: a customer has one live offer"),
        Note("", "targeting", who),
        Note("", "tax", "subtotals and amounts are in the shop's prices, with tax where these contain it"),
        Note("", "several weeks", "a code is good for one order; weeks are the dates of the discount"),
    )


def _lot_notes(entries: tuple[tuple[Lot, Terms], ...], shop: ShopifyShop) -> Iterator[Note]:
    text = (
        "the minimum counts what is in the collection, as Shopify's admin says beside the field; the API reference "
        "does not say it: try one cart"
    )
    for name in dict.fromkeys(lot.offer.name for lot, terms in entries if lot.category and terms.minimum):
        yield Note(name, "minimum", text)
    for lot, terms in entries:
        if shop.targeting is Targeting.CUSTOMER and terms.uses is not None and len(lot.customers) > MOST:
            text = (
                f"{lot.title}: Shopify takes at most {MOST} customers by name: whoever holds the shared code can use it"
            )
            yield Note(lot.offer.name, "targeting", text)
