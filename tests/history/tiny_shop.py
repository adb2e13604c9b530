"""A tiny shop whose tables tests write, and break."""

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from history.prepare import Prepared, prepare
from history.sources import Tables

HEADERS = {
    "transactions": "customer,basket,product,store,date,quantity,paid,shelf,coupon",
    "products": "product,dept,cat",
    "campaigns": "campaign,customer,start,end,kind",
    "coupons": "coupon,product,campaign",
    "redemptions": "customer,coupon,campaign,date",
    "promotions": "product,store,week,display,mailer",
    "customers": "customer,age",
}
COLUMNS = {
    "transactions": {
        "customer_id": "customer",
        "basket_id": "basket",
        "product_id": "product",
        "store_id": "store",
        "date": "date",
        "quantity": "quantity",
        "spend": "paid",
        "retail_discount": "shelf",
        "coupon_discount": "coupon",
    },
    "products": {"product_id": "product", "department": "dept", "category": "cat"},
    "campaigns": {
        "campaign_id": "campaign",
        "customer_id": "customer",
        "start_date": "start",
        "end_date": "end",
        "campaign_type": "kind",
    },
    "coupons": {"coupon_id": "coupon", "product_id": "product", "campaign_id": "campaign"},
    "redemptions": {"customer_id": "customer", "coupon_id": "coupon", "campaign_id": "campaign", "date": "date"},
    "promotions": {
        "product_id": "product",
        "store_id": "store",
        "week": "week",
        "display": "display",
        "mailer": "mailer",
    },
    "customers": {"customer_id": "customer", "age": "age"},
}
ROWS = {
    # 2017-01-02 is a Monday; weeks 1 to 4.
    "transactions": [
        "007,1,milk,s1,2017-01-02,1,1.10,0,0",
        "007,1,beef,s1,2017-01-02,1,8.00,2.00,0",
        "007,2,milk,s1,2017-01-10 18:30:00,2,2.20,0,1.00",
        "b,3,milk,s2,2017-01-15,1,1.10,0,0",
        "b,4,soap,s2,2017-01-23,0,0,0,0",
    ],
    "products": ["milk,DAIRY,MILK", "beef,MEAT,BEEF"],
    "campaigns": ["k1,007,2017-01-09,2017-01-22,A", "k1,c,2017-01-09,2017-01-22,A", "k0,b,2016-12-20,2017-02-28,B"],
    "coupons": ["x,milk,k1", "x,milk,k1", "y,soap,k0"],
    "redemptions": ["007,x,k1,2017-01-10"],
    "promotions": ["milk,s1,2,A,0", "milk,s1,2,0,F", "milk,s1,3,0,0", "beef,s1,4,1,0", "milk,s2,4,0,D"],
    "customers": ["b,45-54"],
}


@dataclass
class Shop:
    """Tables as lists of CSV lines, in a folder of their own."""

    folder: Path
    rows: dict[str, list[str]] = field(default_factory=lambda: {name: list(rows) for name, rows in ROWS.items()})
    headers: dict[str, str] = field(default_factory=lambda: dict(HEADERS))
    columns: dict[str, dict[str, str]] = field(default_factory=lambda: {n: dict(c) for n, c in COLUMNS.items()})
    extra: dict[str, object] = field(default_factory=dict)

    def keep(self, *names: str) -> "Shop":
        """Drop every table but these."""
        self.rows = {name: rows for name, rows in self.rows.items() if name in names}
        return self

    def write(self) -> Tables:
        """Write the tables and their mapping, and return the source."""
        mapping: dict[str, object] = dict(self.extra)
        for name, rows in self.rows.items():
            path = self.folder / f"{name}.csv"
            path.write_text("\n".join([self.headers[name], *rows]) + "\n", "utf-8")
            mapping[name] = {"file": path.name, "columns": self.columns[name]}
        path = self.folder / "mapping.yaml"
        path.write_text(yaml.safe_dump(mapping), "utf-8")
        return Tables(mapping=str(path))

    @property
    def out(self) -> Path:
        return self.folder / "prepare"

    def prepare(self, max_rejected_share: float = 0.02) -> Prepared:
        return prepare(self.write(), self.out, max_rejected_share)
