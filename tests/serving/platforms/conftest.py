"""A table with every kind of offer, on baskets and on categories, and a mapping for every platform."""

from collections.abc import Callable
from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from campaigns.offers import Catalog, Offer, OfferKind, Scope
from serving.by_budget import STEPS, budget_rows, count_offers
from serving.platforms.codes import Codes
from serving.platforms.mapping import (
    Caps,
    GoogleAccount,
    MagentoShop,
    ShopifyShop,
    ShopMapping,
    WooCommerceShop,
)
from serving.table import PolicyTable, columns, weight_columns

CATEGORIES = ("BEEF", "SOFT DRINKS", "GARDEN, INDOOR")
NONE = Offer("none", OfferKind.NONE, "no offer")
OFFERS = (
    NONE,
    Offer("basket_10", OfferKind.DISCOUNT, "10 % off", depth=0.10, cap_cents=500),
    Offer("category_15", OfferKind.DISCOUNT, "15 % off a category", Scope.CATEGORY, depth=0.15, cap_cents=300),
    Offer("odd_12", OfferKind.DISCOUNT, "12.34 % off", depth=0.1234, cap_cents=500),
    Offer("coupon_2", OfferKind.COUPON, "2 USD off", value_cents=200, cap_cents=200, weeks=4),
    Offer("coupon_beef", OfferKind.COUPON, "1.50 off", Scope.CATEGORY, value_cents=150, cap_cents=150, stock=7),
    Offer("spend_50", OfferKind.THRESHOLD, "spend 50 save 10", value_cents=1000, threshold_cents=5000, cap_cents=1000),
    Offer(
        "spend_20_part",
        OfferKind.THRESHOLD,
        "spend 20 on it, save 3",
        Scope.CATEGORY,
        value_cents=300,
        threshold_cents=2000,
        cap_cents=300,
    ),
    Offer("gift", OfferKind.GIFT, "a gift", gift_cost_cents=150, threshold_cents=3000, cap_cents=150),
    Offer("flash", OfferKind.FLASH_SALE, "flash 40 %", Scope.CATEGORY, depth=0.40, cap_cents=1200, stock=20),
)
CATALOG = Catalog("USD", 0.5, OFFERS)
Tables = Callable[..., PolicyTable]


@pytest.fixture(scope="session")
def table_of(build: Callable[..., PolicyTable]) -> Tables:
    """Return a function that builds a table over a catalog: n customers share out the offers, or all get one."""
    plain = build()

    def table(catalog: Catalog = CATALOG, everyone: str = "", n: int = 300) -> PolicyTable:
        given = plain.customers.head(n)
        offers = [catalog.offers[catalog.index(everyone) if everyone else i % catalog.n] for i in range(n)]
        of_category = [offer.scope is Scope.CATEGORY for offer in offers]
        named = [CATEGORIES[0 if everyone else i // catalog.n % len(CATEGORIES)] for i in range(n)]
        rows = given.assign(
            offer=pd.Series([offer.name for offer in offers], dtype="str"),
            offer_label=pd.Series([offer.label for offer in offers], dtype="str"),
            promoted_category=pd.Series(
                [name if of else "" for name, of in zip(named, of_category, strict=True)], dtype="str"
            ),
            promoted_items=pd.Series([""] * n, dtype="str"),
            valid_to=given["valid_from"] + pd.to_timedelta([7 * offer.weeks - 1 for offer in offers], unit="D"),
        )
        chosen = np.array([catalog.index(offer.name) for offer in offers])
        named_columns = rows.rename(columns=lambda name: name.replace("_usd", f"_{catalog.currency.lower()}"))
        certain = {name: (chosen == i).astype(np.float64) for i, name in enumerate(weight_columns(catalog))}
        whole = named_columns.assign(pscore=1.0, **certain)[list(columns(catalog))]
        at_every_budget = np.tile(chosen, (STEPS, 1))
        counted = count_offers(catalog, chosen)
        manifest = {
            **plain.manifest,
            "catalog": catalog.to_dict(),
            "budgets": [{**row, "offers": counted} for row in plain.manifest["budgets"]],
        }
        others = budget_rows(catalog, whole["customer_id"], at_every_budget)
        return PolicyTable(whole, plain.segments, manifest, others)

    return table


@pytest.fixture(scope="session")
def table(table_of: Tables) -> PolicyTable:
    return table_of()


@pytest.fixture(scope="session")
def codes() -> Codes:
    return Codes(b"k" * 64, "a" * 64)


@pytest.fixture(scope="session")
def mapping() -> ShopMapping:
    """Return a shop on every platform that hands over percentages without their caps."""
    ids = {name: (str(10 + i), str(20 + i)) for i, name in enumerate(CATEGORIES)}
    collections = {name: tuple(f"gid://shopify/Collection/{i}" for i in own) for name, own in ids.items()}
    customers = pd.DataFrame({"customer_id": [f"{i:04d}" for i in range(300)]}, dtype="str")
    return ShopMapping(
        zone=ZoneInfo("America/New_York"),
        caps=Caps.EXCEED,
        customers=customers.assign(
            shopify_id="gid://shopify/Customer/" + customers["customer_id"],
            email="c" + customers["customer_id"] + "@example.org",
        ),
        shopify=ShopifyShop("https://shop.example", collections),
        woocommerce=WooCommerceShop("https://shop.example", ids),
        magento=MagentoShop("https://shop.example", ("1",), ("0", "1"), ids),
        google=GoogleAccount("123", "456", "en", "US", {name: (name.lower(),) for name in CATEGORIES}),
    )


@pytest.fixture(scope="session")
def strict(mapping: ShopMapping) -> ShopMapping:
    """Return the same shop, which leaves out what it cannot hold to its cap."""
    return replace(mapping, caps=Caps.LEAVE_OUT)
