"""Amounts of money in simulated checkouts: exact fractions of a cent, and rounding to what can be paid."""

from decimal import Decimal
from fractions import Fraction

from serving.platforms.money import CENTS, decimals


def cents(text: str | int | float) -> Fraction:
    """Return an amount that a payload writes, in cents."""
    return Fraction(Decimal(str(text))) * CENTS


def smallest(currency: str) -> Fraction:
    """Return the smallest amount that a currency can pay [cents]: a tenth where it has three decimals."""
    return Fraction(CENTS, 10 ** decimals(currency))


def rounded(amount: Fraction, currency: str, mode: str) -> Fraction:
    """Return an amount [cents] rounded to what the currency can pay, by a mode of `decimal`.

    Exact: the fractions that arise here have finite decimals.
    """
    unit = smallest(currency)
    pieces = amount / unit
    whole = Decimal(pieces.numerator) / Decimal(pieces.denominator)
    return int(whole.quantize(Decimal(1), rounding=mode)) * unit
