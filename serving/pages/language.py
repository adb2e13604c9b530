"""What the pages say, in the reader's language: one catalog of texts per language, and its way to write numbers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from serving.words import decimal

FOLDER: Final = Path(__file__).parent / "words"
LANGUAGES: Final = ("en", "zh")
"""The first is spoken to whom nothing better is known of."""


@dataclass(frozen=True)
class Language:
    """One language.

    Attributes:
        code: As in `lang` attributes: one of `LANGUAGES`.
        texts: By key; {names} in them stand for values.
    """

    code: str
    texts: Mapping[str, str]

    def __call__(self, key: str, /, **values: Any) -> str:
        """Return a text with its values put in; the values are never read as patterns."""
        return self.texts[key].format(**values)

    def has(self, key: str) -> bool:
        return key in self.texts

    def of(self, group: str, name: object) -> str:
        """Return the text of one of a group, or the name itself where it has none, as of a shop's own names."""
        return self.texts.get(f"{group}.{name}", str(name))

    def count(self, key: str, n: int, /, **values: Any) -> str:
        """Return a text that counts something; {n} stands for the number."""
        return self(f"{key}.one" if n == 1 else f"{key}.other", n=self.number(n), **values)

    def number(self, value: float, digits: int = 0) -> str:
        return decimal(value, digits)

    def money(self, value: float, currency: str, digits: int = 2) -> str:
        """Return an amount, as in "1,234.50 USD"."""
        return self("format.money", amount=decimal(value, digits), currency=self.of("currency", currency))

    def share(self, value: float, digits: int = 0) -> str:
        """Return a share of 1 in per cent."""
        return self("format.percent", value=decimal(100 * value, digits))

    def range(self, low: float, high: float, currency: str, digits: int = 2) -> str:
        """Return an interval of money."""
        pair = self("format.range", low=decimal(low, digits), high=decimal(high, digits))
        return self("format.money", amount=pair, currency=self.of("currency", currency))

    def day(self, text: object) -> str:
        """Return a date such as 2018-01-31 in full; what is no date stays as it is."""
        parts = str(text)[:10].split("-")
        if len(parts) != 3 or not all(part.isdecimal() for part in parts) or not 1 <= int(parts[1]) <= 12:
            return str(text)
        year, month, number = (int(part) for part in parts)
        return self("format.day", year=year, month=self(f"month.{month}"), day=number)

    def time(self, text: str) -> str:
        """Return a time such as 2018-01-31T08:00:00Z to the minute."""
        return self("format.time", day=self.day(text), time=text[11:16]) if len(text) >= 16 else text


@cache
def language(code: str) -> Language:
    """Return one of `LANGUAGES`."""
    return Language(code, json.loads((FOLDER / f"{code}.json").read_text("utf-8")))


def choose(chosen: str, accepted: str) -> Language:
    """Return the language that a reader chose, or else the first of ours that their browser asks for.

    Args:
        chosen: A code, or "".
        accepted: The header `Accept-Language`.
    """
    if chosen in LANGUAGES:
        return language(chosen)
    wishes = []
    for place, wish in enumerate(accepted[:1000].split(",")):
        name, _, quality = wish.strip().partition(";")
        weight = _weight(quality)
        if weight > 0:
            wishes.append((-weight, place, name.split("-")[0].lower()))
    ours = [code for _, _, code in sorted(wishes) if code in LANGUAGES]
    return language(ours[0] if ours else LANGUAGES[0])


def _weight(quality: str) -> float:
    name, _, value = quality.strip().partition("=")
    try:
        return min(float(value), 1.0) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0
