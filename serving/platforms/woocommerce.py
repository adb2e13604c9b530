"""WooCommerce: coupons through the REST API, 100 in one batch.

References:
    developer.woocommerce.com, REST API v3, "Coupons" and "Batch update coupons"; class WC_Discounts of
    woocommerce/woocommerce.
"""

from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from serving.platforms.campaign import Campaign, Payload, Request
from serving.platforms.checkout import woocommerce as checkout
from serving.platforms.checkout.cart import Cart
from serving.platforms.codes import Codes
from serving.platforms.lots import Lot
from serving.platforms.mailing import FILE, code_table
from serving.platforms.mapping import ShopMapping, Targeting, WooCommerceShop
from serving.platforms.money import amount
from serving.platforms.notes import Note
from serving.platforms.planning import plan
from serving.platforms.terms import Abilities, Terms
from serving.table import PolicyTable

BATCH: Final = 100
"""Most coupons of one batch."""
PATH: Final = "/wp-json/wc/v3/coupons/batch"
_ABILITIES: Final = Abilities(parts=False)


class WooCommerce:
    """Coupons of a WooCommerce shop."""

    name = "woocommerce"
    rounding = (
        "each line down to the minor unit, then single units added until the cart has its percentage, rounded half "
        "down (WC_Discounts, WC_DISCOUNT_ROUNDING_MODE)"
    )

    def campaign(self, table: PolicyTable, codes: Codes, mapping: ShopMapping) -> Campaign:
        """Write the campaign, as `Platform` says."""
        shop: WooCommerceShop = mapping.shop(self.name)
        planned = plan(table, _ABILITIES, mapping.caps, "WooCommerce")
        coupons = {
            lot.key: list(_coupons(lot, terms, codes, mapping, table.catalog.currency))
            for lot, terms in planned.entries
        }
        requests = [
            Request(f"{key}/{start}", PATH, {"create": every[start : start + BATCH]})
            for key, every in coupons.items()
            for start in range(0, len(every), BATCH)
        ]
        payloads = {key: every[0] for key, every in coupons.items()}
        return Campaign(
            tuple(requests),
            {FILE: code_table(planned.entries, codes)},
            planned.coverage,
            (*_notes(shop), *planned.notes),
            planned.samples(payloads),
        )

    def categories(self, mapping: ShopMapping) -> Mapping[str, tuple[str, ...]]:
        """Return the ids of product categories."""
        shop: WooCommerceShop = mapping.shop(self.name)
        return shop.categories

    def discount(self, payload: Payload, cart: Cart, ids: Mapping[str, Collection[str]], currency: str) -> Fraction:
        """Price a cart, as `Platform` says."""
        return checkout.discount(payload, cart, ids, currency)

    def tolerance(self, cart: Cart, currency: str) -> Fraction:
        """Return one minor unit."""
        return checkout.tolerance(currency)


def _coupons(lot: Lot, terms: Terms, codes: Codes, mapping: ShopMapping, currency: str) -> Iterator[dict[str, Any]]:
    shop: WooCommerceShop = mapping.shop("woocommerce")
    ids = mapping.ids(shop.categories, lot.category, "woocommerce") if lot.category else ()
    common: dict[str, Any] = {
        "discount_type": "percent" if terms.percent_bp else "fixed_cart",
        "amount": f"{terms.percent_bp / 100:g}" if terms.percent_bp else str(amount(terms.amount, currency)),
        "description": f"{lot.title} [{lot.key}]",
        "date_expires_gmt": mapping.ends(lot.valid_to).strftime("%Y-%m-%dT%H:%M:%S"),
        "individual_use": True,
        "usage_limit": 1 if terms.uses is None else terms.uses,
        "usage_limit_per_user": 1,
        "product_categories": [int(number) for number in ids],
        "meta_data": [{"key": "offersmith_table", "value": codes.table}],
    }
    if terms.minimum:
        common["minimum_amount"] = str(amount(terms.minimum, currency))
    emails = mapping.identities(lot.customers, "email") if shop.targeting is Targeting.CUSTOMER else ()
    if terms.uses is not None:
        yield {**common, "code": codes.for_all(lot), **({"email_restrictions": list(emails)} if emails else {})}
        return
    for i, code in enumerate(codes.for_customers(lot)):
        yield {**common, "code": code, **({"email_restrictions": [emails[i]]} if emails else {})}


def _notes(shop: WooCommerceShop) -> tuple[Note, ...]:
    if shop.targeting is Targeting.CODE:
        who = "whoever holds a code can use it, once; no customer is named to WooCommerce"
    else:
        who = "the e-mail addresses of the customers leave for WooCommerce: a coupon is for the address of its customer"
    start = "WooCommerce knows no first day: coupons work once they are there, so sending waits for the first day"
    return (
        Note("", "first day", start),
        Note("", "stacking", "a code takes all other coupons off the cart; prices on sale stay as they are"),
        Note("", "targeting", who),
        Note("", "tax", "a minimum is compared with the subtotal as the cart shows it, with tax where prices show it"),
        Note("", "letters", "WooCommerce keeps codes in small letters; customers may type either"),
    )
