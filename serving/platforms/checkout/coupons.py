"""What a till that follows the coupon CSV to the letter takes off a cart."""

from collections.abc import Mapping
from decimal import ROUND_DOWN
from fractions import Fraction
from typing import Any

from serving.platforms.checkout.cart import Cart
from serving.platforms.checkout.rounding import cents, rounded, smallest


def discount(payload: Mapping[str, Any], cart: Cart, currency: str) -> Fraction:
    """Return what is taken off [cents], from a row."""
    eligible = Fraction(cart.part(payload["category"] if payload["applies_to"] == "category" else ""))
    if eligible < cents(payload["minimum_spend"] or "0"):
        return Fraction(0)
    wanted = eligible * cents(payload["percent_off"] or "0") / 10_000 + cents(payload["amount_off"] or "0")
    most = [eligible, Fraction(cart.total) * cents(payload["maximum_basket_percent"]) / 10_000]
    if payload["maximum_discount"]:
        most.append(cents(payload["maximum_discount"]))
    return rounded(min(wanted, *most), currency, ROUND_DOWN)


def tolerance(currency: str) -> Fraction:
    """Return what our cents know below the minor unit [cents]: 0 where the minor unit is no more than a cent."""
    unit = smallest(currency)
    return Fraction(0) if unit <= 1 else unit
