"""A shop of 320 customers and 45 weeks, written as CSV files: each customer has a pace, a purse and a taste."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

CUSTOMERS, WEEKS = 420, 45
FIRST_MONDAY = date(2024, 1, 1)
PRODUCTS = pd.DataFrame(
    {
        "product_id": [f"p{i:02d}" for i in range(18)],
        "department": np.repeat(["GROCERY", "PRODUCE", "MEAT"], 6),
        "category": np.repeat(["SOUP", "COFFEE", "APPLES", "SALAD", "BEEF", "FISH"], 3),
    }
)
CAMPAIGN_WEEKS = (4, 9, 14, 20, 26, 32, 38, 42)
"""Weeks in which a campaign of four weeks begins."""


def write_shop(folder: Path, *tables: str) -> Path:
    """Write the shop's tables and their mapping.

    Args:
        folder: Where to; is made.
        tables: Which ones; all of them if none is named.

    Returns:
        The mapping's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    lines = _lines(rng)
    shop = {"transactions": lines, "products": PRODUCTS, **_campaigns(rng, lines)}
    mapping: dict[str, object] = {"currency": "USD"}
    for name in tables or shop:
        shop[name].to_csv(folder / f"{name}.csv", index=False)
        mapping[name] = {"file": f"{name}.csv", "columns": {column: column for column in shop[name].columns}}
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump(mapping), "utf-8")
    return path


def day_of(week: "np.typing.NDArray[np.int64]", weekday: int) -> list[str]:
    """Return the ISO dates of a weekday of weeks counted from 0."""
    return [(FIRST_MONDAY + timedelta(days=7 * int(w) + weekday)).isoformat() for w in week]


def _lines(rng: np.random.Generator) -> pd.DataFrame:
    """Return one basket of one to four products per visit."""
    pace, purse = rng.beta(2.0, 1.5, CUSTOMERS).clip(min=0.2), rng.gamma(4.0, 4.0, CUSTOMERS)
    taste = rng.dirichlet(np.full(len(PRODUCTS), 0.4), CUSTOMERS)
    customer, week = np.nonzero(rng.random((CUSTOMERS, WEEKS)) < pace[:, None])
    size = rng.integers(1, 5, len(customer))
    basket = np.repeat(np.arange(len(customer)), size)
    owner = customer[basket]
    product = [rng.choice(len(PRODUCTS), p=taste[c]) for c in owner]
    lines = pd.DataFrame(
        {
            "customer_id": np.char.mod("%04d", owner),
            "basket_id": np.char.mod("b%06d", basket),
            "product_id": PRODUCTS["product_id"].to_numpy()[product],
            "date": day_of(week[basket], 3),
            "spend": np.maximum(purse[owner] * rng.lognormal(0.0, 0.4, len(owner)), 0.5).round(2),
            "retail_discount": np.where(rng.random(len(owner)) < 0.3, 1.0, 0.0),
            "coupon_discount": 0.0,
        }
    )
    return lines.drop_duplicates(["customer_id", "basket_id", "product_id"], ignore_index=True)


def _campaigns(rng: np.random.Generator, lines: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Target a third of the customers in each campaign; a quarter of these redeem a coupon in its second week."""
    names = np.char.mod("%04d", np.arange(CUSTOMERS))
    targeted, redeemed = [], []
    for number, week in enumerate(CAMPAIGN_WEEKS):
        who = rng.random(CUSTOMERS) < 1 / 3
        dates = day_of(np.array([week, week + 3]), 0)
        targeted.append(
            pd.DataFrame(
                {"customer_id": names[who], "campaign_id": f"k{number}", "start_date": dates[0], "end_date": dates[1]}
            )
        )
        uses = who & (rng.random(CUSTOMERS) < 0.25)
        redeemed.append(
            pd.DataFrame(
                {
                    "customer_id": names[uses],
                    "coupon_id": f"c{number}",
                    "campaign_id": f"k{number}",
                    "date": day_of(np.array([week + 1]), 3)[0],
                }
            )
        )
    redemptions = pd.concat(redeemed, ignore_index=True)
    coupons = pd.DataFrame(
        [
            {"coupon_id": f"c{number}", "product_id": product, "campaign_id": f"k{number}"}
            for number in range(len(CAMPAIGN_WEEKS))
            for product in PRODUCTS["product_id"]
        ]
    )
    _save(lines, redemptions)
    return {"campaigns": pd.concat(targeted, ignore_index=True), "coupons": coupons, "redemptions": redemptions}


def _save(lines: pd.DataFrame, redemptions: pd.DataFrame) -> None:
    """Let whoever redeems save one dollar on a line of that day, where they bought."""
    day = lines["customer_id"] + lines["date"]
    used = day.isin(redemptions["customer_id"] + redemptions["date"]) & ~day.duplicated() & (lines["spend"] > 1.0)
    lines.loc[used, "coupon_discount"] = 1.0
