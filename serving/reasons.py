"""Why a customer gets an offer, or none, in one sentence: who they are, what is expected, what bound the decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campaigns.errors import InputError
from campaigns.offers import Catalog
from serving.rules import Segments
from serving.words import decimal


class Bound(Enum):
    """The constraint that decided that there is no offer; the value is its code in files."""

    NOTHING = "nothing"
    UNREACHABLE = "unreachable"
    LIVE_OFFER = "live_offer"
    CONTACT_CAP = "contact_cap"
    NOT_ELIGIBLE = "not_eligible"
    MARGIN_FLOOR = "margin_floor"
    STOCK = "stock"
    BUDGET = "budget"
    PRICE = "price"


BOUND_WORDS: Final = {
    Bound.UNREACHABLE: "no offer: cannot be reached",
    Bound.LIVE_OFFER: "no offer: an earlier offer is still open",
    Bound.CONTACT_CAP: "no offer: contact cap reached",
    Bound.NOT_ELIGIBLE: "no offer: eligible for none",
    Bound.MARGIN_FLOOR: "no offer: each would push the basket below the margin floor",
    Bound.STOCK: "no offer: out of stock",
    Bound.BUDGET: "no offer: the budget is fully committed",
    Bound.PRICE: "no offer: nothing pays at this budget price",
}

_RHYTHM: Final = (
    (1.5, "visits several times a week"),
    (0.75, "weekly visits"),
    (0.4, "a visit every other week"),
    (0.15, "monthly visits"),
)
"""Least visits per week, and what it is called; fewer are rare visits."""
AWAY_WEEKS: Final = 8
"""Weeks without a visit from which a customer is called away."""
PROMOTION_SHARE: Final = 0.5
"""Share of spend on promotion from which a customer is said to buy mostly on promotion."""


@dataclass(frozen=True, eq=False)
class Expectation:
    """What each customer's offer is expected to bring, shape (n,), in the catalog's currency.

    Attributes:
        uplift, lo, hi: Net uplift with its 95 % interval.
    """

    uplift: NDArray[np.float64]
    lo: NDArray[np.float64]
    hi: NDArray[np.float64]


def binding(offer: NDArray[np.int64], blocked: Mapping[Bound, NDArray[np.bool_]]) -> NDArray[np.object_]:
    """Return the constraint that left each customer without an offer, shape (n,) of `Bound`.

    Args:
        offer: Index of the offer, shape (n,).
        blocked: Where a constraint alone rules out every offer, shape (n,) each; the first that does is named. A
            customer without an offer whom nothing blocks is left out because of the budget's price.
    """
    free = offer > 0
    conditions = [free, *blocked.values(), np.ones(len(offer), dtype=np.bool_)]
    names = [Bound.NOTHING, *blocked, Bound.PRICE]
    first = np.argmax(np.stack(conditions), axis=0)
    chosen: NDArray[np.object_] = np.array(names, dtype=object)[first]
    return chosen


def describe(features: pd.DataFrame) -> "pd.Series[str]":
    """Return who the customers are in words, as in "weekly visits, big baskets", shape (n,).

    Args:
        features: weeks_since_visit, visits_per_week, basket_<currency> and promo_share; big and small baskets are
            the upper and lower third of these customers'.
    """
    money = [name for name in features.columns if name.startswith("basket_")]
    if len(money) != 1:
        raise InputError(
            f"features: columns {', '.join(features.columns)}; expected one usual basket, as in basket_usd"
        )
    visits = features["visits_per_week"].to_numpy()
    rhythm = np.select([visits >= least for least, _ in _RHYTHM], [words for _, words in _RHYTHM], "rare visits")
    weeks = features["weeks_since_visit"]
    away = "away for " + weeks.astype(np.int64).astype("str") + " weeks"
    words = pd.Series(rhythm, index=features.index, dtype="str").where(weeks < AWAY_WEEKS, away)
    basket = features[money[0]]
    small, big = basket.quantile([1 / 3, 2 / 3])
    size = np.select([basket <= small, basket > big], [", small baskets", ", big baskets"], ", medium baskets")
    habit = np.where(features["promo_share"] >= PROMOTION_SHARE, ", buys mostly on promotion", "")
    return words + pd.Series(size, index=words.index, dtype="str") + pd.Series(habit, index=words.index, dtype="str")


def reasons(
    catalog: Catalog,
    offer: NDArray[np.int64],
    who: "pd.Series[str]",
    expected: Expectation,
    bound: NDArray[np.object_],
    rule: tuple[Segments, NDArray[np.int64]],
) -> "pd.Series[str]":
    """Return each customer's reason in words, shape (n,).

    Args:
        catalog: The offers.
        offer: Index of each customer's offer, shape (n,).
        who: `describe` of the customers.
        expected: What the offers bring.
        bound: `binding` of the customers.
        rule: The segments, and the place of each customer's rule as `apply_rules` returns it.
    """
    labels = pd.Series(np.array([o.label for o in catalog.offers])[offer], dtype="str")
    what = (
        _text(expected.uplift) + f" {catalog.currency} (" + _text(expected.lo) + " to " + _text(expected.hi) + ") net"
    )
    given = labels + " is expected to bring " + what + _rule_words(catalog, offer, rule)
    none = pd.Series(bound).map(BOUND_WORDS).astype("str")
    return who.reset_index(drop=True) + "; " + given.where(offer > 0, none)


def _rule_words(
    catalog: Catalog, offer: NDArray[np.int64], rule: tuple[Segments, NDArray[np.int64]]
) -> "pd.Series[str]":
    segments, place = rule
    theirs = np.array([catalog.index(r.offer) for r in segments.rules])[place]
    number = pd.Series([str(r.number) for r in segments.rules], dtype="str").iloc[place].reset_index(drop=True)
    unlike = pd.Series([f" ({r.offer_label})" for r in segments.rules], dtype="str").iloc[place].reset_index(drop=True)
    return (", as rule " + number + " says").where(theirs == offer, ", other than rule " + number + unlike)


def _text(amount: NDArray[np.float64]) -> "pd.Series[str]":
    """Return amounts with two decimals, each distinct amount put into words once."""
    cents, place = np.unique(np.round(amount, 2), return_inverse=True)
    return pd.Series([decimal(float(value), 2) for value in cents], dtype="str").iloc[place].reset_index(drop=True)
