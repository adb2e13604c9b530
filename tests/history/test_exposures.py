"""What was shown and cut in price of usual products, counted by hand; and what campaigns covered."""

from pathlib import Path

import pandas as pd
import pytest

from campaigns.errors import InputError
from history.artifacts import hash_file
from history.exposures import USUAL_WEEKS, load_exposures
from tests.history.tiny_shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Return a shop of 14 weeks: a buys milk and beef in week 1; in weeks 13 and 14 others show what they cost."""
    shop = Shop(tmp_path)
    shop.rows["transactions"] = [
        "a,1,milk,s1,2017-01-02,1,1.00,0,0",
        "a,7,milk,s1,2017-01-03,1,1.00,0,0",
        "a,2,beef,s1,2017-01-09,1,8.00,0,0",
        "a,3,milk,s1,2017-03-27,1,0.10,0.90,0",  # week 13, her own price: not evidence
        "b,4,milk,s1,2017-03-28,1,0.75,0.25,0",  # week 13, another's
        "b,5,milk,s2,2017-03-28,1,0.10,0.90,0",  # another store
        "b,6,beef,s1,2017-04-04,1,6.00,2.00,0",  # week 14
    ]
    shop.rows["promotions"] = ["milk,s1,13,A,0", "beef,s2,13,A,0", "beef,s1,14,0,0"]
    return shop.keep("transactions", "products", "promotions", "campaigns", "coupons")


def test_exposure_of_usual_products_is_that_counted_by_hand(shop: Shop) -> None:
    prepared = shop.prepare()
    table = load_exposures(shop.out).shelf
    names = prepared.events.category_names
    table = table[table["customer"] == prepared.events.customer_ids.index("a")]
    rows = {(names[r.position], r.slot + 1): r for r in table.itertuples()}
    assert set(rows) == {("MILK", 13), ("MILK", 14), ("BEEF", 13), ("BEEF", 14)}
    assert [rows["MILK", week].shown for week in (13, 14)] == [1.0, 0.0]
    assert [rows["BEEF", week].shown for week in (13, 14)] == [0.0, 0.0]
    assert rows["MILK", 13].lines == 2
    assert rows["MILK", 13].depth == 0.25
    assert rows["BEEF", 14].depth == 0.25


def test_a_price_that_nobody_else_paid_is_missing_and_not_zero(shop: Shop) -> None:
    prepared = shop.prepare()
    table = load_exposures(shop.out).shelf
    mine = table[(table["customer"] == prepared.events.customer_ids.index("a")) & table["depth"].isna()]
    names = prepared.events.category_names
    assert {(names[r.position], r.slot + 1) for r in mine.itertuples()} == {("MILK", 14), ("BEEF", 13)}


def test_departments_add_up_to_the_weekly_spend_and_cuts_are_kept(shop: Shop) -> None:
    events = shop.prepare().events
    table = load_exposures(shop.out).departments
    total = table.groupby(["customer", "slot"])["spend"].sum()
    for (customer, slot), spend in total.items():
        assert spend == pytest.approx(float(events.spend[customer, slot]), abs=1e-4)
    assert table["cut"].sum() == pytest.approx(0.90 + 0.25 + 0.90 + 2.00)


def test_departments_of_a_campaigns_coupons_are_named(shop: Shop) -> None:
    shop.prepare()
    assert load_exposures(shop.out).covered.to_dict("records") == [
        {"campaign_id": "k1", "department": "DAIRY", "products": 1}
    ]


def test_a_shop_without_products_promotions_and_campaigns_has_empty_tables(tmp_path: Path) -> None:
    shop = Shop(tmp_path).keep("transactions")
    shop.prepare()
    exposures = load_exposures(shop.out)
    assert len(exposures.shelf) == 0  # four weeks are fewer than it takes to know what is usual
    assert len(exposures.covered) == 0
    assert set(exposures.departments["department"]) == {""}
    assert USUAL_WEEKS > 4


def test_equal_tables_give_equal_bytes_of_exposures(shop: Shop) -> None:
    def hashes() -> dict[str, str]:
        shop.prepare()
        return {name: hash_file(shop.out / f"{name}.parquet") for name in ("shelf", "departments", "covered")}

    assert hashes() == hashes()


def test_a_file_that_is_lost_is_named(shop: Shop) -> None:
    shop.prepare()
    (shop.out / "shelf.parquet").unlink()
    with pytest.raises(InputError, match=r"shelf\.parquet"):
        load_exposures(shop.out)


@pytest.mark.parametrize("where", ["campaigns", "campaign_descriptions"])
def test_the_offer_that_a_campaign_made_reaches_the_log(tmp_path: Path, where: str) -> None:
    shop = Shop(tmp_path)
    if where == "campaigns":
        shop.headers["campaigns"] += ",offer"
        shop.columns["campaigns"]["offer"] = "offer"
        shop.rows["campaigns"] = [f"{row},coupon_1" for row in shop.rows["campaigns"]]
    else:
        shop.headers |= {"campaigns": "campaign,customer", where: "campaign,start,end,offer"}
        shop.columns["campaigns"] = {"campaign_id": "campaign", "customer_id": "customer"}
        shop.columns[where] = {
            "campaign_id": "campaign", "start_date": "start", "end_date": "end", "offer": "offer"
        }  # fmt: skip
        shop.rows["campaigns"] = ["k1,007", "k1,c", "k0,b"]
        shop.rows[where] = ["k1,2017-01-09,2017-01-22,coupon_1", "k0,2016-12-20,2017-02-28,coupon_1"]
    log: pd.DataFrame = shop.prepare().targeting
    assert log["offer"].tolist() == ["coupon_1"] * 3


def test_a_log_without_offers_says_what_that_costs(tmp_path: Path) -> None:
    prepared = Shop(tmp_path).prepare()
    assert prepared.targeting["offer"].tolist() == [""] * 3
    assert "bundle of coupons" in prepared.quality.tables["campaigns"].missing_columns["offer"]
