"""What a shop that honours a Google promotion as it is advertised takes off a cart.

Google documents no rounding, as it takes nothing off itself; the amount is rounded to the minor unit, half up.

Reference:
    googleapis/googleapis, google/shopping/merchant/promotions/v1/promotions_common.proto, `Attributes`.
"""

from collections.abc import Collection, Mapping
from decimal import ROUND_HALF_UP
from fractions import Fraction
from typing import Any, Final

from serving.platforms.checkout.cart import Cart, Line
from serving.platforms.checkout.rounding import rounded, smallest

_MICROS_PER_CENT: Final = 10_000


def discount(payload: Mapping[str, Any], cart: Cart, ids: Mapping[str, Collection[str]], currency: str) -> Fraction:
    """Return what is taken off [cents], from a promotion."""
    attributes = payload["attributes"]
    eligible = Fraction(sum(line.total for line in cart.lines if _entitled(attributes, line, ids)))
    if eligible < _cents(attributes.get("minimumPurchaseAmount", {"amountMicros": "0"})):
        return Fraction(0)
    if attributes["couponValueType"] == "PERCENT_OFF":
        return rounded(eligible * int(attributes["percentOff"]) / 100, currency, ROUND_HALF_UP)
    if attributes["couponValueType"] == "MONEY_OFF":
        return min(eligible, _cents(attributes["moneyOffAmount"]))
    return Fraction(0)


def tolerance(currency: str) -> Fraction:
    """Return one minor unit [cents]."""
    return smallest(currency)


def _cents(price: Mapping[str, str]) -> Fraction:
    return Fraction(int(price["amountMicros"]), _MICROS_PER_CENT)


def _entitled(attributes: Mapping[str, Any], line: Line, ids: Mapping[str, Collection[str]]) -> bool:
    if attributes["productApplicability"] == "ALL_PRODUCTS":
        return True
    return bool(set(attributes["productTypeInclusion"]) & set(ids.get(line.category, ())))
