"""What a cart price rule of Magento takes off a cart.

`by_percent`: of each line, rounded to two decimals, half up. `cart_fixed`: each line's part of the amount, rounded with
the rest of the lines before carried on, and never more than the line.

Reference:
    magento/magento2, module SalesRule: Model/Rule/Action/Discount/ByPercent, CartFixed, Model/DeltaPriceRound,
    Model/Rule/Condition/Product/Subselect.
"""

from collections.abc import Collection, Mapping
from decimal import ROUND_HALF_UP
from fractions import Fraction
from typing import Any, Final

from serving.platforms.checkout.cart import Cart, Line
from serving.platforms.checkout.rounding import cents, rounded

_TWO_DECIMALS: Final = "USD"
"""Magento rounds prices to two decimals in every currency."""


def discount(payload: Mapping[str, Any], cart: Cart, ids: Mapping[str, Collection[str]]) -> Fraction:
    """Return what is taken off [cents], from a rule."""
    if not all(_holds(condition, cart, ids) for condition in payload["condition"]["conditions"]):
        return Fraction(0)
    lines = [line for line in cart.lines if _matches(payload["action_condition"]["conditions"], line, ids)]
    if payload["simple_action"] == "by_percent":
        share = min(Fraction(1), cents(payload["discount_amount"]) / 100 / 100)
        return sum((_rounded(line.total * share) for line in lines), Fraction(0))
    return _split(lines, cents(payload["discount_amount"]))


def tolerance(cart: Cart) -> Fraction:
    """Return half a cent per line, and one for the cart [cents]."""
    return Fraction(len(cart.lines), 2) + 1


def _split(lines: list[Line], whole: Fraction) -> Fraction:
    total, left, given = sum(line.total for line in lines), whole, Fraction(0)
    carried = Fraction(1, 10_000)  # DeltaPriceRound begins with 0.000001 of the currency
    for i, line in enumerate(lines):
        if left <= 0:
            break
        part = left
        if i < len(lines) - 1:
            exact = whole * line.total / total + carried
            part = _rounded(exact)
            carried = exact - part
        part = min(part, Fraction(line.total))
        left, given = left - part, given + part
    return given


def _rounded(amount: Fraction) -> Fraction:
    return rounded(amount, _TWO_DECIMALS, ROUND_HALF_UP)


def _holds(condition: Mapping[str, Any], cart: Cart, ids: Mapping[str, Collection[str]]) -> bool:
    counted = [line for line in cart.lines if _matches(condition.get("conditions", []), line, ids)]
    return sum(line.total for line in counted) >= cents(condition["value"])


def _matches(conditions: list[Mapping[str, Any]], line: Line, ids: Mapping[str, Collection[str]]) -> bool:
    own = set(ids.get(line.category, ()))
    return all(own & set(condition["value"].split(",")) for condition in conditions)
