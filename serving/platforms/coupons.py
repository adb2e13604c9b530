"""A coupon CSV for any till or mailing tool: one row per customer, with a code and all terms of the offer.

Columns are in `COLUMNS`. Amounts are decimals of the currency, percentages as in 10 for ten per cent. What is taken off
is the percentage, or the amount, of the eligible spend, rounded down to the minor unit; at most `maximum_discount`, the
eligible spend and `maximum_basket_percent` of the basket.
"""

from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import Final

import pandas as pd

from campaigns.offers import Catalog, OfferKind, Scope
from serving.platforms.campaign import Campaign, Payload
from serving.platforms.checkout import coupons as checkout
from serving.platforms.checkout.cart import Cart
from serving.platforms.codes import Codes
from serving.platforms.lots import Lot
from serving.platforms.mailing import write_csv
from serving.platforms.mapping import Caps, ShopMapping
from serving.platforms.money import amount
from serving.platforms.notes import Note
from serving.platforms.planning import plan
from serving.platforms.terms import Abilities
from serving.table import PolicyTable

FILE: Final = "coupons.csv"
COLUMNS: Final = (
    "code",
    "customer_id",
    "offer",
    "offer_label",
    "kind",
    "currency",
    "percent_off",
    "amount_off",
    "minimum_spend",
    "maximum_discount",
    "maximum_basket_percent",
    "applies_to",
    "category",
    "valid_from",
    "valid_to",
    "uses_per_code",
    "stock_per_week",
    "combines_with_others",
)
_ABILITIES: Final = Abilities(caps=True, share=True, gifts=True, stock=True)


class Coupons:
    """The coupon CSV."""

    name = "coupons"
    rounding = "none of its own: the file says that fractions of the minor unit are not taken off"

    def campaign(self, table: PolicyTable, codes: Codes, mapping: ShopMapping) -> Campaign:
        """Write the campaign, as `Platform` says; the mapping may be empty."""
        catalog = table.catalog
        planned = plan(table, _ABILITIES, Caps.LEAVE_OUT, "the file")
        terms = {lot.key: _terms(lot, catalog) for lot, _ in planned.entries}
        frames = [
            pd.DataFrame({"code": codes.for_customers(lot), "customer_id": lot.customers, **terms[lot.key]})
            for lot, _ in planned.entries
        ]
        empty = pd.DataFrame({name: pd.Series(dtype="str") for name in COLUMNS})
        rows = pd.concat([empty, *frames], ignore_index=True)[list(COLUMNS)]
        return Campaign(
            (), {FILE: write_csv(rows)}, planned.coverage, (*_NOTES, *planned.notes), planned.samples(terms)
        )

    def categories(self, mapping: ShopMapping) -> Mapping[str, tuple[str, ...]]:
        """Return nothing: the file names categories as the table does."""
        return {}

    def discount(self, payload: Payload, cart: Cart, ids: Mapping[str, Collection[str]], currency: str) -> Fraction:
        """Price a cart, as `Platform` says."""
        return checkout.discount(payload, cart, currency)

    def tolerance(self, cart: Cart, currency: str) -> Fraction:
        """Return nothing, but one minor unit where that is more than a cent."""
        return checkout.tolerance(currency)


def _terms(lot: Lot, catalog: Catalog) -> dict[str, str]:
    offer, currency = lot.offer, catalog.currency

    def money(cents: int) -> str:
        return str(amount(cents, currency)) if cents else ""

    return {
        "offer": offer.name,
        "offer_label": offer.label,
        "kind": offer.kind.value,
        "currency": currency,
        "percent_off": f"{offer.depth * 100:.2f}".rstrip("0").rstrip(".") if offer.depth else "",
        "amount_off": money(offer.value_cents),
        "minimum_spend": money(offer.threshold_cents),
        "maximum_discount": "" if offer.kind is OfferKind.GIFT else money(offer.cap_cents),
        "maximum_basket_percent": f"{catalog.max_total_discount * 100:.2f}".rstrip("0").rstrip("."),
        "applies_to": "category" if offer.scope is Scope.CATEGORY else "basket",
        "category": lot.category,
        "valid_from": lot.valid_from.isoformat(),
        "valid_to": lot.valid_to.isoformat(),
        "uses_per_code": "1",
        "stock_per_week": "" if offer.stock is None else str(offer.stock),
        "combines_with_others": "no",
    }


_NOTES: Final = (
    Note("", "targeting", "the file names customers by our ids: keep it as you keep the policy table"),
    Note("", "stacking", "combines_with_others is no: a customer has one live offer; the till has to hold it"),
    Note("", "tax", "amounts are in the prices of the history, with tax where these contain it"),
    Note(
        "",
        "spreadsheets",
        "a cell that a spreadsheet would run begins with ', as docs/policy-table.md says; codes never do",
    ),
)
