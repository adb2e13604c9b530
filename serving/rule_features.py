"""What rules may ask of a customer: names, units and ranges, so that others can compute the same."""

import math
import re
from dataclasses import dataclass
from typing import Final

from campaigns.errors import InputError


@dataclass(frozen=True)
class Feature:
    """A number that is known of a customer before the decision.

    Attributes:
        name: As in the conditions.
        unit: In words; of money the currency's code.
        at_least, at_most: Smallest and largest value; None is no limit.
        text: What it is.
    """

    name: str
    unit: str
    at_least: float | None
    at_most: float | None
    text: str

    def check(self, value: float) -> float:
        """Return the value.

        Raises:
            InputError: It is no finite number, or outside the range.
        """
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            raise InputError(
                f"feature {self.name} is {value!r}; expected a finite number [{self.unit}], or leave it out"
            )
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        if not low <= value <= high:
            upper = "or more" if self.at_most is None else f"to {self.at_most:g}"
            raise InputError(f"feature {self.name} is {value:g}; expected {low:g} {upper} [{self.unit}]")
        return float(value)


_LONG: Final = 53.0
"""Weeks that stand for "never", and the most that are counted."""
_KNOWN: Final = {
    "weeks_since_visit": Feature(
        "", "weeks", 0.0, _LONG, "full weeks since the last week with a visit; 0: that was the latest week, 53: never"
    ),
    "visits_per_week": Feature(
        "", "baskets per week", 0.0, None, "baskets per week, averaged at a half-life of 13 weeks"
    ),
    "promo_share": Feature("", "share", 0.0, 1.0, "share of the spend that went into products on promotion"),
    "promoted_share": Feature(
        "", "share", 0.0, 1.0, "share of the usual basket that is in the category which an offer would promote"
    ),
    "contacts_8w": Feature("", "contacts", 0.0, None, "offers sent in the last 8 weeks"),
}
_MONEY: Final = {
    "spend_per_week": "spend per week at the till, averaged at a half-life of 13 weeks",
    "basket": "usual spend of one basket, over weeks with a visit, averaged at a half-life of 13 weeks",
}
_IN_MONEY: Final = re.compile(r"(?P<stem>\w+)_(?P<currency>[a-z]{3})")


def feature(name: str) -> Feature:
    """Return what is to be known about a feature by its name; of one without an entry, the name alone."""
    found = _IN_MONEY.fullmatch(name)
    if found and found["stem"] in _MONEY:
        return Feature(name, found["currency"].upper(), 0.0, None, _MONEY[found["stem"]])
    known = _KNOWN.get(name, Feature("", "number", None, None, name.replace("_", " ")))
    return Feature(name, known.unit, known.at_least, known.at_most, known.text)
