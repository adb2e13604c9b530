"""The policy table: one row per customer, the rules that say it in short, and the manifest that says where it is from.

`policy_by_customer` has these columns; `<cur>` is the catalog's currency in lower case, as in `expected_cost_usd`:

    customer_id               text, unique
    offer, offer_label        name in the catalog, and what a marketer calls it
    promoted_category         what the offer promotes; "" for no offer and for offers on the whole basket
    promoted_items            names of products in it to put forward, at most three with "; " between; "" like the
                              category, and where the recommender knows none
    expected_uplift_<cur>     net of promo and contact cost, against no offer; with `_lo_`, `_hi_`: 95 % interval
    expected_cost_<cur>       promo and contact cost
    valid_from, valid_to      dates, both included
    segment                   number of the customer's rule in `policy_by_segment.csv`
    reason                    why, in words
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import pandas as pd

from campaigns.errors import InputError
from campaigns.offers import Catalog, Scope
from serving.rules import DIGITS, Segments

MANIFEST_KEYS: Final = ("config", "data", "catalog", "budget", "values", "provenance", "git_commit")
"""What the caller's manifest must hold; `publish` adds the rules, the dates, the counts and the hashes of the files."""
OWN_KEYS: Final = ("schema_version", "files", "customers", "rules", "valid_from", "valid_to")
TEXT_COLUMNS: Final = ("customer_id", "offer", "offer_label", "promoted_category", "promoted_items", "reason")
EMPTY_COLUMNS: Final = ("promoted_category", "promoted_items")
"""Texts that may be empty."""
DATE_COLUMNS: Final = ("valid_from", "valid_to")


def columns(currency: str) -> tuple[str, ...]:
    """Return the columns of `policy_by_customer`, in order."""
    return (*TEXT_COLUMNS[:5], *money_columns(currency), *DATE_COLUMNS, "segment", "reason")


def money_columns(currency: str) -> tuple[str, ...]:
    """Return the columns of uplift, its lower and upper limit, and cost."""
    code = currency.lower()
    return tuple(f"expected_{what}_{code}" for what in ("uplift", "uplift_lo", "uplift_hi", "cost"))


def customer_rows(catalog: Catalog, decisions: pd.DataFrame, valid_from: date) -> pd.DataFrame:
    """Build the rows of `policy_by_customer`, sorted by customer.

    Args:
        catalog: The offers.
        decisions: One row per customer: customer_id (text), offer (index in the catalog), category and items
            (what the recommender promotes), uplift, uplift_lo, uplift_hi, cost [currency], segment (number of the
            rule), reason.
        valid_from: First day of the offers; each is valid for the weeks that its kind lives.
    """
    offer = decisions["offer"].to_numpy()
    names, labels, scopes, weeks = (
        np.array([getattr(o, term) for o in catalog.offers]) for term in ("name", "label", "scope", "weeks")
    )
    first = np.datetime64(valid_from, "D")
    promotes = (scopes == Scope.CATEGORY)[offer]
    money = zip(money_columns(catalog.currency), ("uplift", "uplift_lo", "uplift_hi", "cost"), strict=True)
    rows = {
        "customer_id": decisions["customer_id"],
        "offer": names[offer],
        "offer_label": labels[offer],
        "promoted_category": decisions["category"].where(promotes, ""),
        "promoted_items": decisions["items"].where(promotes, ""),
        **{name: decisions[source].astype(np.float64).round(DIGITS) for name, source in money},
        "valid_from": np.full(len(offer), first, dtype="datetime64[us]"),
        "valid_to": (first + 7 * weeks[offer] - 1).astype("datetime64[us]"),
        "segment": decisions["segment"].astype(np.int64),
        "reason": decisions["reason"],
    }
    return pd.DataFrame(rows).sort_values("customer_id", ignore_index=True)


@dataclass(frozen=True, eq=False)
class PolicyTable:
    """What is published, checked when made.

    Attributes:
        customers: The columns above, at least one row.
        segments: The rules.
        manifest: `MANIFEST_KEYS`, none of them empty: hashes of config and data, the catalog as plain data, budget
            with its price λ, values with their intervals, summary of provenance, git commit.

    Raises:
        InputError: Something is missing, empty, not finite, not in the catalog or contradicts itself.
    """

    customers: pd.DataFrame
    segments: Segments
    manifest: Mapping[str, Any]

    def __post_init__(self) -> None:
        _check_manifest(self.manifest)
        catalog = self.catalog
        _check_columns(self.customers, columns(catalog.currency))
        _check_text(self.customers)
        _check_offers(self.customers, catalog)
        _check_money(self.customers, catalog.currency)
        _check_dates(self.customers)
        known = self.customers["segment"].isin([rule.number for rule in self.segments.rules])
        _refuse(self.customers, ~known, "segment", f"expected a rule's number, 1 to {len(self.segments.rules)}")

    @property
    def catalog(self) -> Catalog:
        return Catalog.from_dict(self.manifest["catalog"])


def _check_manifest(manifest: Mapping[str, Any]) -> None:
    for key in MANIFEST_KEYS:
        if manifest.get(key) in (None, "", {}, [], ()):
            raise InputError(f"policy manifest: {key!r} is missing or empty; a table without it is not publishable")
    for key in manifest:
        if key in OWN_KEYS:
            raise InputError(f"policy manifest: {key!r} is written when the table is published; remove it")
    try:
        json.dumps(manifest, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"policy manifest: not plain JSON data ({error}); use text, finite numbers, lists") from None


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
        if name == "segment" and kind.kind != "i":
            raise InputError(f"policy table: column segment has type {kind}; expected whole numbers")


def _check_text(rows: pd.DataFrame) -> None:
    for name in TEXT_COLUMNS:
        if name not in EMPTY_COLUMNS:
            _refuse(rows, rows[name].str.strip() == "", name, "expected text")
    _refuse(rows, rows["customer_id"].duplicated(), "customer_id", "expected one row per customer")


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
    uplift, low, high, cost = money_columns(currency)
    for name in (uplift, low, high, cost):
        if rows[name].dtype.kind != "f":
            raise InputError(f"policy table: column {name} has type {rows[name].dtype}; expected numbers (float64)")
        _refuse(rows, ~np.isfinite(rows[name]), name, "expected a finite number")
    _refuse(rows, rows[low] > rows[uplift], low, f"expected at most {uplift}")
    _refuse(rows, rows[high] < rows[uplift], high, f"expected at least {uplift}")
    _refuse(rows, rows[cost] < 0, cost, "expected 0 or more")


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
