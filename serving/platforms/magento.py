"""Adobe Commerce and Magento Open Source: cart price rules through the REST API, one rule per lot, one coupon per code.

References:
    magento/magento2, module SalesRule: Api/Data/RuleInterface, Api/Data/ConditionInterface, Api/Data/CouponInterface,
    Model/CouponRepository, etc/webapi.xml.
"""

from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from serving.platforms.campaign import Campaign, Payload, Request
from serving.platforms.checkout import magento as checkout
from serving.platforms.checkout.cart import Cart
from serving.platforms.codes import Codes
from serving.platforms.lots import Lot
from serving.platforms.mailing import FILE, code_table
from serving.platforms.mapping import MagentoShop, ShopMapping
from serving.platforms.money import amount
from serving.platforms.notes import Note
from serving.platforms.planning import plan
from serving.platforms.terms import Abilities, Terms
from serving.table import PolicyTable

RULES: Final = "/rest/V1/salesRules"
COUPONS: Final = "/rest/V1/coupons"
CONDITION: Final = "Magento\\SalesRule\\Model\\Rule\\Condition\\"
GENERATED: Final = 1
"""`CouponInterface::TYPE_GENERATED`, the only type that a rule with `use_auto_generation` takes."""
_ABILITIES: Final = Abilities()


class Magento:
    """Cart price rules of an Adobe Commerce or Magento shop."""

    name = "magento"
    rounding = (
        "each line to two decimals, half up; an amount is split over the lines with the rest carried on (ByPercent, "
        "CartFixed)"
    )

    def campaign(self, table: PolicyTable, codes: Codes, mapping: ShopMapping) -> Campaign:
        """Write the campaign, as `Platform` says."""
        mapping.shop(self.name)
        planned = plan(table, _ABILITIES, mapping.caps, "Magento")
        requests: list[Request] = []
        payloads: dict[str, Payload] = {}
        for lot, terms in planned.entries:
            rule = _rule(lot, terms, codes, mapping, table.catalog.currency)
            payloads[lot.key] = rule
            requests += _requests(lot, terms, codes, rule)
        return Campaign(
            tuple(requests),
            {FILE: code_table(planned.entries, codes)},
            planned.coverage,
            (*_notes(), *planned.notes),
            planned.samples(payloads),
        )

    def categories(self, mapping: ShopMapping) -> Mapping[str, tuple[str, ...]]:
        """Return the ids of categories."""
        shop: MagentoShop = mapping.shop(self.name)
        return shop.categories

    def discount(self, payload: Payload, cart: Cart, ids: Mapping[str, Collection[str]], currency: str) -> Fraction:
        """Price a cart, as `Platform` says."""
        return checkout.discount(payload, cart, ids)

    def tolerance(self, cart: Cart, currency: str) -> Fraction:
        """Return half a cent per line, and one for the rest."""
        return checkout.tolerance(cart)


def _rule(lot: Lot, terms: Terms, codes: Codes, mapping: ShopMapping, currency: str) -> dict[str, Any]:
    shop: MagentoShop = mapping.shop("magento")
    ids = mapping.ids(shop.categories, lot.category, "magento") if lot.category else ()
    least = str(amount(terms.minimum, currency)) if terms.minimum else ""
    value = terms.percent_bp / 100 if terms.percent_bp else float(amount(terms.amount, currency))
    return {
        "name": f"{lot.title} [{codes.table[:8]} {lot.key}]",
        "description": f"{lot.title}: {len(lot.customers)} customers",
        "website_ids": [int(number) for number in shop.website_ids],
        "customer_group_ids": [int(number) for number in shop.customer_group_ids],
        "from_date": lot.valid_from.isoformat(),
        "to_date": lot.valid_to.isoformat(),
        "is_active": True,
        "coupon_type": "SPECIFIC_COUPON",
        "use_auto_generation": True,
        "uses_per_coupon": 1 if terms.uses is None else terms.uses,
        "uses_per_customer": 1,
        "stop_rules_processing": True,
        "sort_order": 0,
        "simple_action": "by_percent" if terms.percent_bp else "cart_fixed",
        "discount_amount": int(value) if value == int(value) else value,
        "discount_step": 0,
        "apply_to_shipping": False,
        "simple_free_shipping": "NONE",
        "condition": _combine("Combine", _minimum(least, ids) if least else []),
        "action_condition": _combine("Product\\Combine", [_in_categories(ids)] if ids else []),
    }


def _minimum(least: str, ids: tuple[str, ...]) -> list[dict[str, Any]]:
    if ids:
        part = _combine("Product\\Subselect", [_in_categories(ids)])
        return [{**part, "attribute_name": "base_row_total", "operator": ">=", "value": least}]
    base = {"condition_type": f"{CONDITION}Address", "attribute_name": "base_subtotal"}
    return [{**base, "operator": ">=", "value": least}]


def _in_categories(ids: tuple[str, ...]) -> dict[str, Any]:
    product = {"condition_type": f"{CONDITION}Product", "attribute_name": "category_ids"}
    return {**product, "operator": "()", "value": ",".join(ids)}


def _combine(kind: str, conditions: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "condition_type": f"{CONDITION}{kind}",
        "aggregator_type": "all",
        "value": "1",
        "conditions": conditions,
    }


def _requests(lot: Lot, terms: Terms, codes: Codes, rule: dict[str, Any]) -> Iterator[Request]:
    yield Request(lot.key, RULES, {"rule": rule}, finds=rule["name"])
    every = codes.for_customers(lot) if terms.uses is None else (codes.for_all(lot),)
    names = lot.customers if terms.uses is None else ("all",)
    for customer, code in zip(names, every, strict=True):
        coupon = {"rule_id": 0, "code": code, "type": GENERATED, "is_primary": False}
        yield Request(
            f"{lot.key}/{customer}", COUPONS, {"coupon": coupon}, awaits=lot.key, slot=("coupon", "rule_id"), finds=code
        )


def _notes() -> tuple[Note, ...]:
    return (
        Note(
            "",
            "targeting",
            "rules aim at customer groups, not at customers: whoever of the groups holds a code can use it, once",
        ),
        Note(
            "",
            "uses",
            "a code is good for one order; Magento counts uses of a customer only where that customer is logged in",
        ),
        Note(
            "", "stacking", "rules after this one stop; rules that come before it in the shop's order still add to it"
        ),
        Note("", "tax", "minimums are compared with the subtotal without tax (base_subtotal, base_row_total)"),
        Note("", "days", "first and last day are those of the website's own time zone"),
    )
