"""What the columns of the policy table are called where people read them."""

from typing import Final

from campaigns.offers import Catalog
from serving.table import columns, money_columns, weight_columns

_HEADINGS: Final = {
    "customer_id": "Customer",
    "offer": "Offer code",
    "offer_label": "Offer",
    "promoted_category": "Category to promote",
    "promoted_items": "Products to put forward",
    "valid_from": "Valid from",
    "valid_to": "Valid to",
    "arm": "Arm of the comparison",
    "pscore": "Chance of this offer",
    "arm_share": "Share of the arm",
    "segment": "Rule",
    "bound": "Why no offer",
    "reason_codes": "Reason codes",
    "disclosure": "To be disclosed",
    "reason": "Reason",
}
_RULES: Final = {
    "segment": "Rule",
    "rule": "Who",
    "condition": "As a formula",
    "customers": "Customers",
    "share": "Share of all customers",
    "reached": "Of them, may get it now",
    "offer": "Offer code",
    "offer_label": "Offer",
}
_KEPT: Final = {
    "agreement": "Agrees with the table here",
    "table_agreement": "All rules: agree with the table",
    "table_uplift_kept": "All rules: share of the table's gain kept",
    "held_out_agreement": "Held-out customers: agree with the policy",
    "held_out_uplift_kept": "Held-out customers: share of the gain kept",
    "held_out_uplift_kept_lo": "Held-out customers: share kept, from",
    "held_out_uplift_kept_hi": "Held-out customers: share kept, to",
}
_MONEY: Final = (
    "Expected gain",
    "Expected gain, from",
    "Expected gain, to",
    "Expected cost",
    "Expected cost, from",
    "Expected cost, to",
)


def rule_headings(currency: str) -> dict[str, str]:
    """Return the heading of each column of `policy_by_segment`."""
    code = currency.lower()
    parts = ("uplift", "uplift_lo", "uplift_hi", "cost")
    money = {f"expected_{part}_{code}": f"{words} [{currency}]" for part, words in zip(parts, _MONEY, strict=False)}
    return _RULES | money | _KEPT


def headings(catalog: Catalog) -> dict[str, str]:
    """Return the heading of each column of `policy_by_customer`, in its order, each different."""
    names = dict(_HEADINGS)
    names |= {
        name: f"{words} [{catalog.currency}]"
        for name, words in zip(money_columns(catalog.currency), _MONEY, strict=True)
    }
    names |= {
        name: f"Chance of {offer.name}: {offer.label}"
        for name, offer in zip(weight_columns(catalog), catalog.offers, strict=True)
    }
    return {name: names[name] for name in columns(catalog)}
