"""A synthetic history as the tables that a shop would hand over: the whole way from them to a policy can be walked.

A week's spend in each category is split into lines on whole cents; of them, shelf discounts cover just the cents that
the week's promotion share names (the line in which it ends is cut in two), so that the weeks that are read back equal
the weeks that were written. What a till would add, the product, the day, the depth of the shelf discount, is made up.
"""

import datetime
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import yaml
from numpy.typing import NDArray

from history.artifacts import write_atomic, write_text
from history.events import WeeklyEvents
from simulators.synthetic.lines import PRODUCTS, Ints, find_cells, split_cells
from simulators.synthetic.log import FIRST_WEEK, SyntheticLog
from simulators.synthetic.truth import SyntheticTruth, TrueShop

MONDAY: Final = datetime.date(2024, 1, 1)
"""First day of week 1."""
CUT: Final = 0.2
"""Depth of a shelf discount, a share of the price before it."""
CHUNK: Final = 10_000
"""Customers whose lines are made at a time."""
MAPPING: Final = "shop.yaml"

_COLUMNS: Final = {
    "transactions": (
        "customer_id", "basket_id", "product_id", "line_id", "date", "spend", "retail_discount", "coupon_discount",
    ),
    "products": ("product_id", "department", "category", "name"),
    "campaigns": ("customer_id", "campaign_id", "start_date", "end_date", "campaign_type", "offer"),
    "coupons": ("coupon_id", "product_id", "campaign_id"),
    "redemptions": ("customer_id", "coupon_id", "campaign_id", "date"),
    "decisions": ("customer_id", "date", "offer", "pscore"),
}  # fmt: skip
_LINES: Final = pa.schema(
    {
        "customer_id": pa.string(), "basket_id": pa.int64(), "product_id": pa.int64(), "line_id": pa.int64(),
        "date": pa.date32(), "spend": pa.float64(), "retail_discount": pa.float64(), "coupon_discount": pa.float64(),
    }
)  # fmt: skip

Days = NDArray[np.datetime64]


def write_tables(shop: TrueShop, log: SyntheticLog, folder: Path) -> Path:
    """Write the tables of a synthetic history and the mapping that describes them (docs/data.md).

    `history.prepare` takes them in without setting a row aside, and finds the log's baskets, redemptions and contacts
    again, its spend, savings and spend on promotion to the cent, and its category spend to a cent per category. It
    finds no exposure, for a synthetic shop has no shelf promotions that are seen by all; a customer without a basket
    and a campaign is not in the tables.

    Args:
        shop: The shop.
        log: What it left behind.
        folder: Where the files go; made if it is not there.

    Returns:
        The mapping, which is written last: where it is, the tables are whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MAPPING
    path.unlink(missing_ok=True)
    tables = ["transactions", "products"]
    write_atomic(folder / "transactions.parquet", lambda file: _write_lines(log.events, shop.truth.seed, file))
    products = _products(log.events)
    _write(folder, "products", products)
    if len(log.targeting):
        for name, table in _campaign_tables(log, products).items():
            _write(folder, name, table)
            tables.append(name)
        if log.decisions is not None:
            _write(folder, "decisions", _decisions(log.decisions, log.events.customer_ids))
            tables.append("decisions")
    write_text(path, mapping_text(shop.truth, shop.market.catalog.currency, tables))
    return path


def mapping_text(truth: SyntheticTruth, currency: str, tables: list[str]) -> str:
    """Return the mapping of a synthetic history; a comment in it holds the truth, so that its hash tells shops apart.

    Args:
        truth: Of the shop.
        currency: Of its money.
        tables: Names of the tables that there are.
    """
    head: dict[str, Any] = {"currency": currency, "week_origin": MONDAY}
    told = {n: {"file": f"{n}.parquet", "columns": {c: c for c in _COLUMNS[n]}} for n in tables}
    note = "".join(f"# {line}\n" for line in yaml.safe_dump(asdict(truth), sort_keys=False).splitlines())
    return "# A synthetic history; what is true of its shop:\n" + note + yaml.safe_dump(head | told, sort_keys=False)


def _write(folder: Path, name: str, table: pd.DataFrame) -> None:
    write_atomic(folder / f"{name}.parquet", lambda file: table.to_parquet(file, index=False))


def _write_lines(events: WeeklyEvents, seed: int, path: Path) -> None:
    with pq.ParquetWriter(path, _LINES) as writer:
        for lines in _chunks(events, seed):
            writer.write_table(pa.table(lines, schema=_LINES))


def _chunks(events: WeeklyEvents, seed: int) -> Iterator[dict[str, Any]]:
    """Return the lines, a few thousand customers at a time: of a big shop they fill many times its weeks' memory."""
    names = np.array(events.customer_ids)
    most = int(events.baskets.max(initial=1.0)) + 1
    for begin in range(0, events.n, CHUNK):
        cells = find_cells(events, slice(begin, begin + CHUNK))
        lines = split_cells(cells, np.random.default_rng([seed, begin]))
        cell = lines.cell
        basket = (cells.customer * len(events.weeks) + cells.week)[cell] * most + lines.basket
        gross = np.where(lines.promoted, np.maximum(np.rint(lines.cents / (1.0 - CUT)), lines.cents + 1), lines.cents)
        yield {
            "customer_id": names[cells.customer[cell]],
            "basket_id": basket,
            "product_id": lines.product,
            "line_id": lines.promoted.astype(np.int64),
            "date": day_of(cells.customer[cell], cells.week[cell], lines.basket),
            "spend": lines.cents / 100.0,
            "retail_discount": (gross - lines.cents) / 100.0,
            "coupon_discount": np.where(lines.first, cells.saving[cell], 0) / 100.0,
        }


def day_of(customer: Ints, week: Ints, basket: Ints) -> Days:
    """Return the day of a customer's basket of a week, each shape (n,); `week` counts from 0."""
    day = 7 * week + (3 * customer + 5 * week + 2 * basket) % 7
    return np.datetime64(MONDAY, "D") + day.astype("timedelta64[D]")


def _products(events: WeeklyEvents) -> pd.DataFrame:
    """Return the assortment; the products of the last category have none, and so are read back as the rest."""
    names = events.category_names
    kept = [None if name == names[-1] else name for name in names]
    departments = [department or None for department in events.category_departments]
    return pd.DataFrame(
        {
            "product_id": np.arange(len(names) * PRODUCTS),
            "department": np.repeat(np.array(departments, dtype=object), PRODUCTS),
            "category": np.repeat(np.array(kept, dtype=object), PRODUCTS),
            "name": [f"{name} {i + 1}" for name in names for i in range(PRODUCTS)],
        }
    )


def _campaign_tables(log: SyntheticLog, products: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return campaigns, their coupons (one each, on everything) and redemptions (on the day of the first basket)."""
    sent = log.targeting
    week = sent["start_week"].to_numpy() - FIRST_WEEK
    start = np.datetime64(MONDAY, "D") + (7 * week).astype("timedelta64[D]")
    campaigns = sent[["customer_id", "campaign_id", "campaign_type", "offer"]].assign(
        start_date=pa_dates(start), end_date=pa_dates(start + np.timedelta64(6, "D"))
    )
    each = sent[["campaign_id"]].drop_duplicates().sort_values("campaign_id")
    coupons = each.assign(coupon_id=each["campaign_id"]).merge(products[["product_id"]], how="cross")
    used = sent["redeemed"].to_numpy(dtype=bool)
    day = day_of(sent["customer"].to_numpy(), week, np.zeros(len(sent), dtype=np.int64))
    redemptions = sent[["customer_id", "campaign_id"]].assign(coupon_id=sent["campaign_id"], date=pa_dates(day))[used]
    return {"campaigns": campaigns, "coupons": coupons, "redemptions": redemptions}


def _decisions(decided: pd.DataFrame, customer_ids: tuple[str, ...]) -> pd.DataFrame:
    """Return the logged decisions, each on the first day of its week."""
    week = decided["week"].to_numpy() - FIRST_WEEK
    start = np.datetime64(MONDAY, "D") + (7 * week).astype("timedelta64[D]")
    names = np.array(customer_ids)[decided["customer"].to_numpy()]
    return pd.DataFrame({"customer_id": names, "date": pa_dates(start), **decided[["offer", "pscore"]]})


def pa_dates(days: Days) -> pd.Series:
    """Return days as a column that Parquet keeps as dates without a time."""
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(days, type=pa.date32())))
