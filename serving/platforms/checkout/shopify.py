"""What Shopify's checkout takes off a cart, from the input of a discount.

A percentage is taken of each entitled line and rounded there, half up; an amount is split over the entitled lines and
never exceeds them. Shopify publishes no rounding rule: the tolerance is one minor unit per line.

Reference:
    shopify.dev, GraphQL Admin API 2026-10: DiscountCustomerGetsValueInput, DiscountAmountInput (`appliesOnEachItem`),
    DiscountMinimumSubtotalInput.
"""

from collections.abc import Collection, Mapping
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

from serving.platforms.checkout.cart import Cart, Line
from serving.platforms.checkout.rounding import cents, rounded, smallest


def discount(payload: Mapping[str, Any], cart: Cart, ids: Mapping[str, Collection[str]], currency: str) -> Fraction:
    """Return what is taken off [cents], from a `DiscountCodeBasicInput`."""
    gets = payload["customerGets"]
    lines = cart.where(lambda line: _entitled(gets["items"], line, ids))
    subtotal = sum(line.total for line in lines)
    least = payload.get("minimumRequirement", {}).get("subtotal", {}).get("greaterThanOrEqualToSubtotal", "0")
    if not subtotal or subtotal < cents(least):
        return Fraction(0)
    value = gets["value"]
    if "percentage" in value:
        share = Fraction(Decimal(str(value["percentage"])))
        return sum((rounded(line.total * share, currency, ROUND_HALF_UP) for line in lines), Fraction(0))
    return min(cents(value["discountAmount"]["amount"]), Fraction(subtotal))


def tolerance(cart: Cart, currency: str) -> Fraction:
    """Return one minor unit per line [cents]."""
    return len(cart.lines) * smallest(currency)


def _entitled(items: Mapping[str, Any], line: Line, ids: Mapping[str, Collection[str]]) -> bool:
    if items.get("all"):
        return True
    return bool(set(items["collections"]["add"]) & set(ids.get(line.category, ())))
