"""Amounts as platforms write them: cents of the catalog to decimals of a currency.

Reference:
    ISO 4217, minor units.
"""

from decimal import Decimal
from typing import Final

_NO_DECIMALS: Final = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"}
    | {"RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"}
)
_THREE_DECIMALS: Final = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
CENTS: Final = 100
"""Cents in one unit of a currency, whatever its minor unit: what `campaigns.offers.Catalog` counts in."""


def decimals(currency: str) -> int:
    """Return the decimals that amounts of a currency have."""
    return 0 if currency in _NO_DECIMALS else 3 if currency in _THREE_DECIMALS else 2


def step_cents(currency: str) -> int:
    """Return the cents that the least payable amount has, at least 1: 100 where a currency has no decimals."""
    return CENTS if decimals(currency) == 0 else 1


def amount(cents: int, currency: str) -> Decimal:
    """Return an amount in the currency, with as many decimals as the currency has.

    Raises:
        ValueError: The currency has no coin for it.
    """
    if cents % step_cents(currency):
        raise ValueError(f"{cents} hundredths of a {currency} cannot be paid")
    return (Decimal(cents) / CENTS).quantize(Decimal(1).scaleb(-decimals(currency)))


def written(cents: int, currency: str) -> str:
    """Return an amount for people, as in "10.00 USD"."""
    return f"{amount(cents, currency)} {currency}"
