"""Bad rows are set aside and counted; what the user got wrong is one line."""

import json

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.errors import InputError
from tests.history.tiny_shop import Shop

GOOD = "007,{basket},milk,s1,2017-01-05,1,1.10,0,0"
BAD = {
    "007,{basket},milk,s1,2017-01-05,1,-1,0,0": "spend is negative",
    "007,{basket},milk,s1,2017-01-05,1,1,-0.5,0": "retail_discount is negative",
    "007,{basket},milk,s1,2017-01-05,1,1,0,-2": "coupon_discount is negative",
    "007,{basket},milk,s1,2017-01-05,-1,1,0,0": "quantity is negative",
    "007,{basket},milk,s1,2017-02-30,1,1,0,0": "date is not a date",
    "007,{basket},milk,s1,1017-02-20,1,1,0,0": "date is outside 1990-01-01..2099-12-31",
    "007,{basket},milk,s1,,1,1,0,0": "date is missing",
    "007,{basket},milk,s1,2017-01-05,1,nan,0,0": "spend is not finite",
    "007,{basket},milk,s1,2017-01-05,1,inf,0,0": "spend is not finite",
    "007,{basket},milk,s1,2017-01-05,1,1e300,0,0": "spend is above 1e+12",
    "007,{basket},milk,s1,2017-01-05,1,,0,0": "spend is missing",
    "007,{basket},milk,s1,2017-01-05,1,cheap,0,0": "spend is not a number",
    ",{basket},milk,s1,2017-01-05,1,1,0,0": "customer_id is missing",
    "007,{basket},  ,s1,2017-01-05,1,1,0,0": "product_id is missing",
    "007,1,milk,s1,2017-01-05,1,1,0,0": "customer_id, basket_id, product_id repeated",
    "007,{basket},milk,s1,2017-01-05,1,1,0": "line is torn: missing columns",
    "007,{basket},milk,s1,2017-01-05,1,1,0,0,0": "line is torn: too many columns",
}


def rejected(shop: Shop) -> pd.DataFrame:
    return pd.read_parquet(shop.out / "rejected.parquet")


@pytest.mark.parametrize(("row", "reason"), BAD.items(), ids=BAD.values())
def test_a_bad_transaction_is_set_aside_with_its_reason(shop: Shop, row: str, reason: str) -> None:
    shop.keep("transactions").rows["transactions"].insert(2, row.format(basket=99))
    quality = shop.prepare(max_rejected_share=0.5).quality.tables["transactions"]
    assert (quality.read, quality.kept, quality.reasons) == (6, 5, {reason: 1})
    (found,) = rejected(shop).to_dict("records")
    assert (found["table"], found["row"], found["reason"]) == ("transactions", 3, reason)
    source_row = json.loads(found["source_row"])
    assert "milk" in source_row.get("line", source_row.get("product")) or "product_id" in reason


@pytest.mark.parametrize(
    ("table", "row", "reason"),
    [
        ("products", "milk,DAIRY,CREAM", "product_id repeated"),
        ("products", ",DAIRY,CREAM", "product_id is missing"),
        ("customers", "b,35-44", "customer_id repeated"),
        ("campaigns", "k1,007,2017-01-09,2017-01-22,A", "campaign_id, customer_id repeated"),
        ("campaigns", "k9,007,2017-02-09,2017-01-22,A", "end_date is before start_date"),
        ("redemptions", "007,x,k1,2017-01-08", "redeemed before its campaign started"),
        ("redemptions", "007,x,k7,2017-01-18", "campaign_id is in no campaign"),
        ("redemptions", "nobody,x,k1,2017-01-18", "customer_id neither bought nor was targeted"),
        ("redemptions", "007,x,k1,2017-01-10", "customer_id, coupon_id, campaign_id, date repeated"),
        ("coupons", "x,,k1", "product_id is missing"),
        ("promotions", "milk,s1,2.5,A,0", "week is not a whole number"),
        ("promotions", "milk,s1,second,A,0", "week is not a number"),
        ("promotions", "milk,s1,-3,A,0", "week is negative"),
    ],
)
def test_a_bad_row_of_any_table_is_set_aside(shop: Shop, table: str, row: str, reason: str) -> None:
    before = shop.prepare()
    shop.rows[table].append(row)
    after = shop.prepare(max_rejected_share=0.5)
    quality = after.quality.tables[table]
    assert quality.reasons == {reason: 1}
    assert quality.kept == before.quality.tables[table].kept
    assert (after.events.redeemed == before.events.redeemed).all()
    assert (after.events.exposure == before.events.exposure).all()


def test_a_campaign_without_description_is_set_aside(shop: Shop) -> None:
    shop.headers |= {"campaigns": "campaign,customer", "campaign_descriptions": "campaign,start,end"}
    shop.columns |= {
        "campaigns": {"campaign_id": "campaign", "customer_id": "customer"},
        "campaign_descriptions": {"campaign_id": "campaign", "start_date": "start", "end_date": "end"},
    }
    shop.rows |= {
        "campaigns": ["k1,007", "k1,b", "k2,b"],
        "campaign_descriptions": ["k1,2017-01-09,2017-01-22"],
    }
    prepared = shop.prepare(max_rejected_share=0.5)
    assert prepared.quality.tables["campaigns"].reasons == {"campaign_id is in no campaign description": 1}
    assert prepared.targeting[["customer_id", "start_week"]].to_numpy().tolist() == [["007", 2], ["b", 2]]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(picks=st.lists(st.sampled_from([GOOD, *BAD]), max_size=30))
def test_every_row_is_kept_or_set_aside_and_the_bad_ones_are_named(shop: Shop, picks: list[str]) -> None:
    shop.keep("transactions")
    fresh = ["007,1,milk,s1,2017-01-02,1,1.10,0,0"]
    shop.rows["transactions"] = fresh + [pick.format(basket=100 + i) for i, pick in enumerate(picks)]
    quality = shop.prepare(max_rejected_share=1.0).quality.tables["transactions"]
    expected = {2 + i: BAD[pick] for i, pick in enumerate(picks) if pick in BAD}
    assert quality.read == 1 + len(picks)
    assert quality.kept == quality.read - len(expected)
    found = rejected(shop)
    assert dict(zip(found["row"], found["reason"], strict=True)) == expected


def test_zero_spend_and_zero_quantity_are_legal(shop: Shop) -> None:
    shop.rows["transactions"].append("b,9,milk,s2,2017-01-23,0,0,0,0")
    assert shop.prepare().quality.tables["transactions"].rejected == 0


def test_too_many_bad_rows_stop_the_run_and_say_why(shop: Shop) -> None:
    shop.rows["transactions"] += ["b,8,milk,s2,2017-01-23,1,-1,0,0", "b,9,milk,s2,2017-01-23,1,-1,0,0"]
    with pytest.raises(InputError) as error:
        shop.prepare()
    message = str(error.value)
    assert "transactions.csv: 28.6% of the 7 rows of table 'transactions' were rejected" in message
    assert "spend is negative (2 rows)" in message
    assert "rejected.parquet" in message and "\n" not in message
    assert len(rejected(shop)) == 2


def test_transactions_alone_are_enough_and_the_rest_is_named_with_its_cost(shop: Shop) -> None:
    columns = shop.columns["transactions"]
    for name in ("store_id", "quantity", "retail_discount", "coupon_discount"):
        del columns[name]
    prepared = shop.keep("transactions").prepare()
    assert prepared.events.spend.sum() == pytest.approx(12.40)
    assert prepared.events.category_names == ("other",)
    assert not prepared.events.exposure.any()
    assert prepared.targeting.empty
    assert prepared.customers["customer_id"].tolist() == ["007", "b"]
    quality = prepared.quality
    assert quality.missing_tables["promotions"] == "exposure to shelf promotions is 0 for everyone"
    assert set(quality.missing_tables) == {
        "products", "customers", "campaigns", "coupons", "redemptions", "promotions", "decisions"
    }  # fmt: skip
    assert quality.tables["transactions"].missing_columns["retail_discount"] == "nobody has a promotion habit"


def test_promotions_without_stores_are_matched_by_product(shop: Shop) -> None:
    del shop.columns["promotions"]["store_id"]
    shop.rows["promotions"] = ["milk,,4,A,0"]
    assert shop.prepare().events.exposure[:, 3].tolist() == pytest.approx([2 / 3, 1, 0])


def test_oddities_that_are_kept_are_counted_in_words(shop: Shop) -> None:
    notes = " | ".join(shop.prepare().quality.notes)
    assert "1 lines of products that the products table does not know" in notes
    assert "1 customers who were targeted but never bought" in notes
    assert "1 repeated rows of the coupons table" in notes
    assert "1 targetings whose campaign ends after the last week" in notes
    assert "1,000 times" not in notes


def test_a_basket_of_a_million_is_kept_and_pointed_at(shop: Shop) -> None:
    shop.rows["transactions"].append("b,5,milk,s2,2017-01-24,1,1000000,0,0")
    prepared = shop.prepare()
    assert prepared.events.spend.max() == pytest.approx(1e6)
    assert "1 lines of more than 1,000 times the spend of the middle line" in " | ".join(prepared.quality.notes)
