"""A small shop in memory: groups of customers who each like an own group of products, over 45 weeks."""

from functools import cache

import numpy as np
import pandas as pd

from experiments.history import PreparedHistory, full_weeks
from history.events import WeeklyEvents
from history.panel import build_panel
from history.purchases import Purchases
from history.quality import CouponValues, Quality
from history.splits import SplitConfig, split_history

CUSTOMERS, WEEKS, GROUPS, PRODUCTS = 300, 45, 3, 36
NAMES = ("soup", "bread", "apples")


@cache
def fabricate(seed: int = 3, described: bool = True) -> PreparedHistory:
    """Return the shop's history; product j belongs to category j mod 3, its group's favourite."""
    rng = np.random.default_rng(seed)
    group = np.arange(CUSTOMERS) % GROUPS
    category = np.arange(PRODUCTS) % GROUPS
    liking = np.where(category[None, :] == group[:, None], 0.08, 0.01) * rng.gamma(1.0, 1.0, (CUSTOMERS, PRODUCTS))
    bought = rng.random((WEEKS, CUSTOMERS, PRODUCTS)) < liking
    week, customer, product = np.nonzero(bought)
    texts = [NAMES[c] for c in category] if described else [""] * PRODUCTS
    products = pd.DataFrame(
        {
            "product_id": [f"p{j:02d}" for j in range(PRODUCTS)],
            "department": ["FOOD" if described else ""] * PRODUCTS,
            "category": texts,
            "brand": [""] * PRODUCTS,
            "name": [f"{text} kind {j // 6}" if described else "" for j, text in enumerate(texts)],
            "package": [""] * PRODUCTS,
            "position": category,
        }
    )
    lines = np.ones(len(week), dtype=np.int64)
    purchases = Purchases(customer, week, product, lines, 250 * lines, products)
    return history_of(purchases, CUSTOMERS, WEEKS, (*NAMES, "other"))


def history_of(purchases: Purchases, customers: int, weeks: int, categories: tuple[str, ...]) -> PreparedHistory:
    """Return a history in which nothing happened but these purchases, one basket per customer and week."""
    spend = np.zeros((customers, weeks, len(categories)), dtype=np.float32)
    position = purchases.products["position"].to_numpy()[purchases.product]
    np.add.at(spend, (purchases.customer, purchases.week, position), purchases.cents / 100.0)
    baskets = np.zeros((customers, weeks), dtype=np.float32)
    baskets[purchases.customer, purchases.week] = 1.0
    none = np.zeros_like(baskets)
    ids = tuple(f"{i:04d}" for i in range(customers))
    events = WeeklyEvents(
        ids, np.arange(1, weeks + 1), baskets, spend.sum(axis=2), none, none, none, none, none, spend, categories,
        ("FOOD",) * (len(categories) - 1) + ("",),
    )  # fmt: skip
    quality = Quality({}, {}, (), "USD", "2024-01-01", 1, weeks, {}, CouponValues(0, 0, 0, ()))
    splits = split_history(ids, full_weeks(weeks), SplitConfig())
    return PreparedHistory(build_panel(events), pd.DataFrame(), quality, splits, purchases)
