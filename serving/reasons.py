"""Why a customer gets an offer, or none, in one sentence: who they are, what is expected, what bound the decision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from campaigns.errors import InputError
from campaigns.offers import Catalog, OfferKind
from serving.arms import Arm
from serving.rules import Segments
from serving.words import decimal


class Bound(Enum):
    """What decided that there is no offer; the value is its code in files."""

    NOTHING = "nothing"
    HOLDOUT = "holdout"
    UNREACHABLE = "unreachable"
    LIVE_OFFER = "live_offer"
    CONTACT_CAP = "contact_cap"
    NOT_ELIGIBLE = "not_eligible"
    MARGIN_FLOOR = "margin_floor"
    STOCK = "stock"
    BUDGET = "budget"
    DRAW = "draw"
    PRICE = "price"


BOUND_WORDS: Final = {
    Bound.HOLDOUT: "no offer: one of those who get none, so that it shows what offers bring",
    Bound.UNREACHABLE: "no offer: cannot be reached",
    Bound.LIVE_OFFER: "no offer: an earlier offer is still open",
    Bound.CONTACT_CAP: "no offer: contact cap reached",
    Bound.NOT_ELIGIBLE: "no offer: eligible for none",
    Bound.MARGIN_FLOOR: "no offer: each would push the basket below the margin floor",
    Bound.STOCK: "no offer: out of stock",
    Bound.BUDGET: "no offer: the budget is fully committed",
    Bound.DRAW: "no offer: drawn by lot",
    Bound.PRICE: "no offer: nothing pays at this budget price",
}


class Code(Enum):
    """Why an offer, or none, was chosen; the values are the closed vocabulary of `reason_codes`."""

    FAVOURED = "favoured"  # no other choice had a larger weight
    EXPLORED = "explored"  # another had, and the lot fell on this one
    EVEN = "drawn_evenly"  # every allowed choice had the same weight
    HELD_OUT = "held_out"
    AS_RULE = "as_rule"  # the customer's rule says the same
    UNLIKE_RULE = "unlike_rule"
    AWAY = "away"  # no visit for `AWAY_WEEKS` weeks or more
    PROMOTION = "buys_on_promotion"


class Disclosure(Enum):
    """What the customer may have to be told; the values are the closed vocabulary of `disclosure`."""

    PERSONALISED = "personalised"  # what is known of the customer decided
    PRICE = "personalised_price"  # not everybody gets this price
    EXPERIMENT = "experiment"  # the lot decided, to learn from it


CHANCES: Final = (Code.HELD_OUT, Code.EVEN, Code.FAVOURED, Code.EXPLORED)
"""What part the lot may have in a choice."""
CHANCE_WORDS: Final = {
    Code.EXPLORED: ", tried out: drawn by lot where another offer is favoured",
    Code.EVEN: ", drawn by lot among all that were allowed, for comparison",
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


@dataclass(frozen=True, eq=False)
class Choice:
    """How each customer's offer came about, shape (n,) each.

    Attributes:
        offer: Its index.
        arm: Place of the customer's arm in `Arm`.
        favoured: No other choice had a larger weight.
    """

    offer: NDArray[np.int64]
    arm: NDArray[np.int64]
    favoured: NDArray[np.bool_]

    def of(self, arm: Arm) -> NDArray[np.bool_]:
        mine: NDArray[np.bool_] = self.arm == list(Arm).index(arm)
        return mine

    def chance(self) -> NDArray[np.int64]:
        """Return what part the lot had in it, as a place in `CHANCES`, shape (n,)."""
        explored = CHANCES.index(Code.EXPLORED)
        conditions = [self.of(Arm.HOLDOUT), self.of(Arm.RANDOM), self.favoured]
        return np.select(conditions, range(explored), explored).astype(np.int64)


def reason_codes(choice: Choice, as_rule: NDArray[np.bool_], features: pd.DataFrame) -> "pd.Series[str]":
    """Return each customer's codes with "; " between, shape (n,).

    Args:
        choice: How the offers came about.
        as_rule: The customer's rule says the same, shape (n,).
        features: weeks_since_visit and promo_share, n rows.
    """
    chance = choice.chance()
    given = [
        *((chance == place, code) for place, code in enumerate(CHANCES)),
        (as_rule, Code.AS_RULE),
        (~as_rule, Code.UNLIKE_RULE),
        ((features["weeks_since_visit"] >= AWAY_WEEKS).to_numpy(), Code.AWAY),
        ((features["promo_share"] >= PROMOTION_SHARE).to_numpy(), Code.PROMOTION),
    ]
    return _listed(given, len(features))


def disclosures(choice: Choice, catalog: Catalog) -> "pd.Series[str]":
    """Return what each customer may have to be told, codes with "; " between, empty for nothing, shape (n,)."""
    priced = np.array([offer.kind not in (OfferKind.NONE, OfferKind.GIFT) for offer in catalog.offers])
    tried = (choice.chance() == CHANCES.index(Code.EXPLORED)) | choice.of(Arm.RANDOM) | choice.of(Arm.HOLDOUT)
    given = [
        (choice.of(Arm.OPTIMISED) | choice.of(Arm.USUAL), Disclosure.PERSONALISED),
        (priced[choice.offer], Disclosure.PRICE),
        (tried, Disclosure.EXPERIMENT),
    ]
    return _listed(given, len(choice.offer))


def _listed(given: Sequence[tuple[NDArray[np.bool_], Enum]], n: int) -> "pd.Series[str]":
    """Return the codes that hold, in this order with "; " between, shape (n,)."""
    bits = np.zeros(n, dtype=np.int64)
    for place, (holds, _) in enumerate(given):
        bits |= holds.astype(np.int64) << place
    codes = [str(code.value) for _, code in given]
    listed = ["; ".join(code for i, code in enumerate(codes) if mask >> i & 1) for mask in range(1 << len(codes))]
    return pick(listed, bits)


def pick(texts: Sequence[str], place: NDArray[np.int64]) -> "pd.Series[str]":
    """Return texts by their place, shape (n,)."""
    return pd.Series(pd.array(_pick(texts, place), dtype="str"))


def _pick(texts: Sequence[str], place: NDArray[np.int64]) -> pa.Array:
    return pa.array(texts, pa.large_string()).take(pa.array(place))


def binding(offer: NDArray[np.int64], blocked: Mapping[Bound, NDArray[np.bool_]]) -> NDArray[np.int64]:
    """Return the constraint that left each customer without an offer, as a place in `Bound`, shape (n,).

    Args:
        offer: Index of the offer, shape (n,).
        blocked: Where a constraint alone rules out every offer, shape (n,) each; the first that does is named. A
            customer without an offer whom nothing blocks is left out because of the budget's price.
    """
    order = list(Bound)
    conditions = [offer > 0, *blocked.values()]
    names = [order.index(bound) for bound in (Bound.NOTHING, *blocked)]
    return np.select(conditions, names, order.index(Bound.PRICE)).astype(np.int64)


def basket_column(features: pd.DataFrame) -> str:
    """Return the name of the usual basket's column, as in basket_usd."""
    money = [name for name in features.columns if name.startswith("basket_")]
    if len(money) != 1:
        raise InputError(
            f"features: columns {', '.join(features.columns)}; expected one usual basket, as in basket_usd"
        )
    return str(money[0])


def basket_thirds(features: pd.DataFrame) -> tuple[float, float]:
    """Return the usual baskets at which the lower and the middle third of the customers end."""
    low, high = features[basket_column(features)].quantile([1 / 3, 2 / 3])
    return float(low), float(high)


def describe(features: pd.DataFrame, thirds: tuple[float, float]) -> "pd.Series[str]":
    """Return who the customers are in words, as in "weekly visits, big baskets", shape (n,).

    Args:
        features: weeks_since_visit, visits_per_week, basket_<currency> and promo_share.
        thirds: `basket_thirds` of all customers: above the second a basket is big, up to the first it is small.
    """
    visits, weeks = (features[name].to_numpy() for name in ("visits_per_week", "weeks_since_visit"))
    rhythm = np.select([visits >= least for least, _ in _RHYTHM], range(len(_RHYTHM)), len(_RHYTHM))
    rhythm = np.where(weeks < AWAY_WEEKS, rhythm, len(_RHYTHM) + 1 + weeks.astype(np.int64))
    basket, (small, big) = features[basket_column(features)].to_numpy(), thirds
    size = np.select([basket <= small, basket > big], [0, 2], 1)
    habit = (features["promo_share"] >= PROMOTION_SHARE).to_numpy()
    kinds, place = np.unique((rhythm * 3 + size) * 2 + habit, return_inverse=True)
    return pick([_described(kind) for kind in kinds.tolist()], place)


def _described(kind: int) -> str:
    """Return who customers are by rhythm, or weeks away, basket and habit, as `describe` numbers them."""
    (rhythm, size), habit = divmod(kind // 2, 3), kind % 2
    named = [*(words for _, words in _RHYTHM), "rare visits"]
    who = named[rhythm] if rhythm < len(named) else f"away for {rhythm - len(named)} weeks"
    basket = (", small baskets", ", medium baskets", ", big baskets")[size]
    return who + basket + (", buys mostly on promotion" if habit else "")


def reasons(
    catalog: Catalog,
    offer: NDArray[np.int64],
    who: "pd.Series[str]",
    expected: Expectation,
    bound: NDArray[np.int64],
    chance: NDArray[np.int64],
    rule: tuple[Segments, NDArray[np.int64]],
) -> "pd.Series[str]":
    """Return each customer's reason in words, shape (n,).

    Args:
        catalog: The offers.
        offer: Index of each customer's offer, shape (n,).
        who: `describe` of the customers.
        expected: What the offers bring.
        bound: `binding` of the customers.
        chance: What part the lot had in it, as `Choice.chance` says it, shape (n,).
        rule: The segments, and the place of each customer's rule as `apply_rules` returns it.
    """
    rows = np.flatnonzero(offer > 0)
    segments, place = rule[0], rule[1][rows]
    theirs = np.array([catalog.index(r.offer) for r in segments.rules])[place] == offer[rows]
    heads = [f"; {one.label} is expected to bring " for one in catalog.offers]
    tails = [f") net{words}{CHANCE_WORDS.get(code, '')}" for words in _rule_words(segments) for code in CHANCES]
    uplift, low, high = (_text(part[rows]) for part in (expected.uplift, expected.lo, expected.hi))
    last = _pick(tails, (place * 2 + theirs) * len(CHANCES) + chance[rows])
    given = _join(_pick(heads, offer[rows]), uplift, f" {catalog.currency} (", low, " to ", high, last)
    none = pa.array(["; " + BOUND_WORDS.get(one, "") for one in Bound], given.type)
    order = bound.copy()
    order[rows] = len(Bound) + np.arange(len(rows))
    why = pa.concat_arrays([none, given]).take(pa.array(order))
    said = _join(pa.array(who, pa.large_string()), why)
    return pd.Series(pd.array(said, dtype="str"))


def _join(*parts: Any) -> pa.Array:
    """Return texts one behind the other; what stands alone stands in every row."""
    kind = pa.large_string()
    spread = [pa.scalar(part, kind) if isinstance(part, str) else part for part in (*parts, "")]
    return pc.binary_join_element_wise(*spread)


def _rule_words(segments: Segments) -> list[str]:
    """Return what is said of a choice other than each rule's, and of the same."""
    return [
        words
        for rule in segments.rules
        for words in (f", other than rule {rule.number} ({rule.offer_label})", f", as rule {rule.number} says")
    ]


def _text(amount: NDArray[np.float64]) -> pa.Array:
    """Return amounts with two decimals, each distinct amount put into words once."""
    cents, place = np.unique(np.round(amount, 2), return_inverse=True)
    return _pick([decimal(float(value), 2) for value in cents], place)
