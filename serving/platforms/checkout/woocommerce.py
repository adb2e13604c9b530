"""What WooCommerce's cart takes off, from a coupon: the steps of its class WC_Discounts, in minor units.

Percentage: each eligible line is discounted down to the minor unit; then single units are added, piece by piece, until
the cart has its percentage, rounded half down. Amount: an equal part for each piece, again and again until it is used
up, then single units.

Reference:
    woocommerce/woocommerce, plugins/woocommerce/includes/class-wc-discounts.php, `apply_coupon_percent`,
    `apply_coupon_fixed_cart`, `apply_coupon_remainder`, `validate_coupon_minimum_amount`.
"""

import math
from collections.abc import Collection, Mapping
from decimal import ROUND_HALF_DOWN
from fractions import Fraction
from typing import Any

from serving.platforms.checkout.cart import Cart, Line
from serving.platforms.checkout.rounding import cents, smallest
from serving.platforms.checkout.rounding import rounded as round_to


def discount(payload: Mapping[str, Any], cart: Cart, ids: Mapping[str, Collection[str]], currency: str) -> Fraction:
    """Return what is taken off [cents], from a coupon."""
    if cart.total < cents(payload.get("minimum_amount", "0")):
        return Fraction(0)
    unit = smallest(currency)
    lines = sorted(cart.lines, key=lambda line: -line.total)
    if payload["discount_type"] == "percent":
        wanted = set(payload["product_categories"])
        lines = [line for line in lines if not wanted or wanted & {int(i) for i in ids.get(line.category, ())}]
        return sum(_percent(lines, Fraction(payload["amount"]) / 100, currency)) * unit
    return sum(_amount(lines, int(cents(payload["amount"]) / unit), unit)) * unit


def tolerance(currency: str) -> Fraction:
    """Return one minor unit [cents]."""
    return smallest(currency)


def _percent(lines: list[Line], share: Fraction, currency: str) -> list[int]:
    """Return what each line gives [minor units]."""
    unit = smallest(currency)
    prices = [int(line.total / unit) for line in lines]
    given = [math.floor(price * share) for price in prices]
    whole = int(round_to(sum(line.total for line in lines) * share, currency, ROUND_HALF_DOWN) / unit)
    return _remainder(lines, prices, given, whole - sum(given))


def _amount(lines: list[Line], whole: int, unit: Fraction) -> list[int]:
    """Return what each line gives of an amount [minor units]."""
    prices = [int(line.total / unit) for line in lines]
    given = [0] * len(lines)
    while whole > sum(given):
        open_lines = [i for i, price in enumerate(prices) if price > given[i]]
        pieces = sum(lines[i].quantity for i in open_lines)
        if not pieces:
            break
        each = (whole - sum(given)) // pieces
        if not each:
            return _remainder(lines, prices, given, whole - sum(given))
        for i in open_lines:
            given[i] = min(prices[i], given[i] + each * lines[i].quantity)
    return given


def _remainder(lines: list[Line], prices: list[int], given: list[int], left: int) -> list[int]:
    given = list(given)
    for i, line in enumerate(lines):
        for _ in range(line.quantity):
            if left > 0 and given[i] < prices[i]:
                given[i] += 1
                left -= 1
    return given
