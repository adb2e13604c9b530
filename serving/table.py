"""The policy table: one row per customer, the rules that say it in short, and the manifest that says where it is from.

`policy_by_customer` has these columns; `<cur>` is the catalog's currency in lower case, as in `expected_cost_usd`:

    customer_id               text, unique
    offer, offer_label        name in the catalog, and what a marketer calls it
    promoted_category         what the offer promotes; "" for no offer and for offers on the whole basket
    promoted_items            names of products in it to put forward, at most three with "; " between; "" like the
                              category, and where the recommender knows none
    expected_uplift_<cur>     net of promo and contact cost, against no offer; with `_lo_`, `_hi_`: 95 % interval
    expected_cost_<cur>       promo and contact cost; with `_lo_`, `_hi_`: 95 % interval
    valid_from, valid_to      dates, both included
    arm                       how the offer was chosen: a value of `serving.arms.Arm`
    pscore                    chance with which this offer was drawn for this customer, the arm being given: its weight
    arm_share                 chance with which the customer came into the arm
    weight_<offer>            chance of each offer of the catalog, in its order; 0 is forbidden, a row sums to 1
    segment                   number of the customer's rule in `policy_by_segment.csv`
    bound                     what left the customer without an offer: a value of `serving.reasons.Bound`
    reason_codes              values of `serving.reasons.Code`, with "; " between
    disclosure                values of `serving.reasons.Disclosure`, with "; " between, or ""
    reason                    why, in words
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import pandas as pd

from campaigns.errors import InputError
from campaigns.offers import Catalog, Scope
from serving.arms import PARTS, Arm
from serving.by_budget import check_rows
from serving.explanations import check_explanations
from serving.manifest import check_manifest
from serving.reasons import Bound, Code, Disclosure, pick
from serving.rules import DIGITS, Segments

TEXT_COLUMNS: Final = (
    "customer_id",
    "offer",
    "offer_label",
    "promoted_category",
    "promoted_items",
    "arm",
    "bound",
    "reason_codes",
    "disclosure",
    "reason",
)
EMPTY_COLUMNS: Final = ("promoted_category", "promoted_items", "disclosure")
"""Texts that may be empty."""
DATE_COLUMNS: Final = ("valid_from", "valid_to")
PSCORES: Final = ("pscore", "arm_share")
WEIGHT: Final = "weight_"


def columns(catalog: Catalog) -> tuple[str, ...]:
    """Return the columns of `policy_by_customer`, in order."""
    money = money_columns(catalog.currency)
    drawn = ("arm", *PSCORES, *weight_columns(catalog))
    return (*TEXT_COLUMNS[:5], *money, *DATE_COLUMNS, *drawn, "segment", *TEXT_COLUMNS[6:])


def money_columns(currency: str) -> tuple[str, ...]:
    """Return the columns of uplift and cost, each followed by its lower and upper limit."""
    names = (f"expected_{what}{limit}" for what in ("uplift", "cost") for limit in ("", "_lo", "_hi"))
    return tuple(f"{name}_{currency.lower()}" for name in names)


def weight_columns(catalog: Catalog) -> tuple[str, ...]:
    return tuple(WEIGHT + name for name in catalog.names)


def customer_rows(catalog: Catalog, decisions: pd.DataFrame, valid_from: date) -> pd.DataFrame:
    """Build the rows of `policy_by_customer`, sorted by customer.

    Args:
        catalog: The offers.
        decisions: One row per customer: customer_id (text), offer (index in the catalog), category and items
            (what the recommender promotes), uplift, uplift_lo, uplift_hi, cost, cost_lo, cost_hi [currency], arm,
            pscore, arm_share, weight_<offer> for each offer, segment (number of the rule), bound, reason_codes,
            disclosure, reason.
        valid_from: First day of the offers; each is valid for the weeks that its kind lives.
    """
    offer = decisions["offer"].to_numpy()
    scopes, weeks = (np.array([getattr(o, term) for o in catalog.offers]) for term in ("scope", "weeks"))
    first = np.datetime64(valid_from, "D")
    promotes = (scopes == Scope.CATEGORY)[offer]
    code = f"_{catalog.currency.lower()}"
    money = {name: name.removeprefix("expected_").removesuffix(code) for name in money_columns(catalog.currency)}
    rows = {
        "customer_id": decisions["customer_id"],
        "offer": pick(catalog.names, offer),
        "offer_label": pick([o.label for o in catalog.offers], offer),
        "promoted_category": decisions["category"].where(promotes, ""),
        "promoted_items": decisions["items"].where(promotes, ""),
        **{name: decisions[source].astype(np.float64).round(DIGITS) for name, source in money.items()},
        "valid_from": np.full(len(offer), first, dtype="datetime64[us]"),
        "valid_to": (first + 7 * weeks[offer] - 1).astype("datetime64[us]"),
        "arm": decisions["arm"],
        **{name: decisions[name].astype(np.float64) for name in (*PSCORES, *weight_columns(catalog))},
        "segment": decisions["segment"].astype(np.int64),
        **{name: decisions[name] for name in ("bound", "reason_codes", "disclosure", "reason")},
    }
    return pd.DataFrame(rows).sort_values("customer_id", ignore_index=True)


@dataclass(frozen=True, eq=False)
class PolicyTable:
    """What is published, checked when made.

    Attributes:
        customers: The columns above, at least one row.
        segments: The rules.
        manifest: What `serving.manifest` asks for.
        by_budget: The table at other budgets, as `serving.by_budget` describes it.
        explanations: Why, customer by customer, as `serving.explanations` describes it; None where not computed.

    Raises:
        InputError: Something is missing, empty, not finite, not in the catalog or contradicts itself.
    """

    customers: pd.DataFrame
    segments: Segments
    manifest: Mapping[str, Any]
    by_budget: pd.DataFrame
    explanations: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        check_manifest(self.manifest)
        check_customers(self.customers, self.catalog, self.segments, self.manifest["arms"]["arms"])
        check_rows(self.by_budget, self.customers, self.catalog, self.manifest["budgets"])
        if self.explanations is not None:
            check_explanations(self.explanations, self.customers["customer_id"], self.catalog.names)

    @property
    def catalog(self) -> Catalog:
        return Catalog.from_dict(self.manifest["catalog"])


def check_customers(
    rows: pd.DataFrame, catalog: Catalog, segments: Segments, arms: Sequence[Mapping[str, Any]]
) -> None:
    """Refuse rows of `policy_by_customer`, all of them or some, that are not such.

    Args:
        rows: At least one.
        catalog: The offers.
        segments: The rules.
        arms: What the manifest says of each.

    Raises:
        InputError: A cell is missing, empty, not finite, not in the catalog or contradicts another.
    """
    _check_columns(rows, columns(catalog))
    _check_text(rows)
    _check_offers(rows, catalog)
    _check_money(rows, catalog.currency)
    _check_chances(rows, catalog, {arm["name"]: arm["parts"] for arm in arms})
    _check_dates(rows)
    known = rows["segment"].isin([rule.number for rule in segments.rules])
    _refuse(rows, ~known, "segment", f"expected a rule's number, 1 to {len(segments.rules)}")


def _check_columns(rows: pd.DataFrame, expected: tuple[str, ...]) -> None:
    if tuple(rows.columns) != expected:
        raise InputError(f"policy table: columns are {', '.join(rows.columns)}; expected {', '.join(expected)}")
    if rows.empty:
        raise InputError("policy table: no customers; expected at least one row")
    for name in expected:
        _refuse(rows, rows[name].isna(), name, "every cell needs a value")
        kind = rows[name].dtype
        if name in TEXT_COLUMNS and not isinstance(kind, pd.StringDtype):
            raise InputError(f"policy table: column {name} has type {kind}; expected text")
        if name in DATE_COLUMNS and kind.kind != "M":
            raise InputError(f"policy table: column {name} has type {kind}; expected dates (datetime64)")
        if name in PSCORES and kind.kind != "f":
            raise InputError(f"policy table: column {name} has type {kind}; expected numbers (float64)")
        if name == "segment" and kind.kind != "i":
            raise InputError(f"policy table: column segment has type {kind}; expected whole numbers")


def _check_text(rows: pd.DataFrame) -> None:
    for name in TEXT_COLUMNS:
        if name not in EMPTY_COLUMNS:
            _refuse(rows, rows[name].str.strip() == "", name, "expected text")
    _refuse(rows, rows["customer_id"].duplicated(), "customer_id", "expected one row per customer")
    for name, words in (("bound", Bound), ("reason_codes", Code), ("disclosure", Disclosure)):
        known = [str(word.value) for word in words]
        one = "|".join(known)
        listed = rows[name].str.fullmatch(f"({one})(; ({one}))*")
        _refuse(rows, ~listed & (rows[name] != ""), name, f"expected some of {', '.join(known)}")


def _check_offers(rows: pd.DataFrame, catalog: Catalog) -> None:
    _refuse(rows, ~rows["offer"].isin(catalog.names), "offer", f"expected one of {', '.join(catalog.names)}")
    labels = {offer.name: offer.label for offer in catalog.offers}
    _refuse(rows, rows["offer_label"] != rows["offer"].map(labels), "offer_label", "expected the catalog's label")
    promotes = rows["offer"].isin([offer.name for offer in catalog.offers if offer.scope is Scope.CATEGORY])
    blank = rows["promoted_category"].str.strip() == ""
    _refuse(rows, promotes & blank, "promoted_category", "the offer is on a category: name it")
    _refuse(rows, ~promotes & ~blank, "promoted_category", "the offer is on no category: leave it empty")
    named = rows["promoted_items"].str.strip() != ""
    _refuse(rows, ~promotes & named, "promoted_items", "the offer is on no category: leave it empty")


def _check_money(rows: pd.DataFrame, currency: str) -> None:
    names = money_columns(currency)
    for name in names:
        if rows[name].dtype.kind != "f":
            raise InputError(f"policy table: column {name} has type {rows[name].dtype}; expected numbers (float64)")
        _refuse(rows, ~np.isfinite(rows[name]), name, "expected a finite number")
    _refuse(rows, rows[names[3]] < 0, names[3], "expected 0 or more")
    for value, low, high in (names[:3], names[3:]):
        _refuse(rows, rows[low] > rows[value], low, f"expected at most {value}")
        _refuse(rows, rows[high] < rows[value], high, f"expected at least {value}")


def _check_chances(rows: pd.DataFrame, catalog: Catalog, parts: Mapping[str, int]) -> None:
    """Check that weights are chances and that the offers could be drawn with the chance that stands beside them."""
    names = [arm for arm, part in parts.items() if part > 0]
    _refuse(rows, ~rows["arm"].isin(names), "arm", f"expected one of {', '.join(names)}")
    held = (rows["arm"] == Arm.HOLDOUT.value) & (rows["offer"] != catalog.names[0])
    _refuse(rows, held, "offer", "the customer is in the holdout: no offer")
    weights = rows[list(weight_columns(catalog))].to_numpy(dtype=np.float64)
    odd = pd.Series(~((weights >= 0).all(axis=1) & (weights.sum(axis=1) == 1.0)), index=rows.index)
    _refuse(rows, odd, weight_columns(catalog)[0], "expected weights of 0 or more that sum to exactly 1")
    drawn = weights[np.arange(len(rows)), pd.Index(catalog.names).get_indexer(pd.Index(rows["offer"]))]
    _refuse(rows, (rows["pscore"] != drawn) | (drawn <= 0), "pscore", "expected the weight of the offer, above 0")
    share = rows["arm"].map(parts).astype(np.float64) / PARTS
    _refuse(rows, rows["arm_share"] != share, "arm_share", "expected the arm's parts in the manifest, as a share")


def _check_dates(rows: pd.DataFrame) -> None:
    for name in DATE_COLUMNS:
        _refuse(rows, rows[name] != rows[name].dt.normalize(), name, "expected a date without a time of day")
    _refuse(rows, rows["valid_from"] > rows["valid_to"], "valid_to", "expected valid_from or later")


def _refuse(rows: pd.DataFrame, wrong: "pd.Series[bool]", column: str, sentence: str) -> None:
    if wrong.any():
        first = rows[wrong].iloc[0]
        raise InputError(
            f"policy table: {column} of customer {first['customer_id']!r} is {str(first[column])!r}"
            f" ({int(wrong.sum())} rows like it); {sentence}"
        )
