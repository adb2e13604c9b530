"""Purchases by product, of a tiny shop, counted by hand."""

import numpy as np
import pytest

from campaigns.errors import InputError
from history.purchases import load_purchases
from tests.history.tiny_shop import Shop


def test_purchases_are_those_counted_by_hand(shop: Shop) -> None:
    shop.rows["transactions"].append("007,9,milk,s1,2017-01-24,1,3.00,0,0")
    bought = shop.prepare().purchases
    assert bought.products["product_id"].tolist() == ["beef", "milk", "soap"]
    assert bought.products["category"].tolist() == ["BEEF", "MILK", ""]
    assert bought.products["position"].tolist() == [0, 1, 2]
    rows = np.stack([bought.week, bought.customer, bought.product, bought.lines, bought.cents], axis=1)
    assert rows.tolist() == [
        [0, 0, 0, 1, 800],
        [0, 0, 1, 1, 110],
        [1, 0, 1, 1, 220],
        [1, 1, 1, 1, 110],
        [3, 0, 1, 1, 300],
        [3, 1, 2, 1, 0],
    ]


def test_purchases_add_up_to_the_weekly_spend_of_each_category(shop: Shop) -> None:
    prepared = shop.prepare()
    bought, events = prepared.purchases, prepared.events
    spend = np.zeros(events.category_spend.shape)
    np.add.at(
        spend, (bought.customer, bought.week, bought.products["position"].to_numpy()[bought.product]), bought.cents
    )
    np.testing.assert_allclose(spend / 100.0, events.category_spend, rtol=1e-6)


def test_a_name_and_a_package_are_kept_where_they_are_mapped(shop: Shop) -> None:
    shop.headers["products"] = "product,dept,cat,label,size"
    shop.columns["products"] |= {"name": "label", "package": "size"}
    shop.rows["products"] = ["milk,DAIRY,MILK,FRESH MILK,1 L", "beef,MEAT,BEEF,,"]
    products = shop.prepare().purchases.products
    assert products["name"].tolist() == ["", "FRESH MILK", ""]
    assert products["package"].tolist() == ["", "1 L", ""]


def test_without_a_table_of_products_nothing_describes_them(shop: Shop) -> None:
    bought = shop.keep("transactions").prepare().purchases
    assert bought.n_products == 3
    assert not bought.described
    assert set(bought.products["position"]) == {0}


def test_purchases_are_read_back_and_cut_by_week(shop: Shop) -> None:
    written = shop.prepare().purchases
    read = load_purchases(shop.out)
    for name in ("customer", "week", "product", "lines", "cents"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    assert read.products.equals(written.products)
    assert read.before(1).week.tolist() == [0, 0]
    assert read.between(1, 4).week.tolist() == [1, 1, 3]
    assert len(read.where(read.product == 1).week) == 3


def test_missing_or_broken_files_are_named(shop: Shop) -> None:
    shop.prepare()
    (shop.out / "products.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="run prepare again"):
        load_purchases(shop.out)
    (shop.out / "products.parquet").unlink()
    with pytest.raises(InputError, match=r"products\.parquet is missing"):
        load_purchases(shop.out)
