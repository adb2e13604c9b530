"""Weekly events, targeting and coupon values of a tiny shop, computed by hand."""

import math
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from campaigns.errors import InputError
from history.artifacts import hash_file
from history.events import ARRAYS
from history.prepare import load_prepared, prepare
from history.sources import CompleteJourney
from history.weekly import CategoryChoice
from tests.history.tiny_shop import Shop


def test_weekly_events_are_those_counted_by_hand(shop: Shop) -> None:
    events = shop.prepare().events
    assert events.customer_ids == ("007", "b", "c")
    assert events.weeks.tolist() == [1, 2, 3, 4]
    expected = {
        "baskets": [[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]],
        "spend": [[9.10, 2.20, 0, 0], [0, 1.10, 0, 0], [0, 0, 0, 0]],
        "promo_spend": [[8, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        "saving": [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        "redeemed": [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        "contacted": [[0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]],
        "exposure": [[0, 1 / 2, 0, 1 / 3], [0, 0, 0, 1], [0, 0, 0, 0]],
    }
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(events, name), np.array(expected[name], np.float32), err_msg=name)


def test_category_spend_puts_unknown_products_into_other(shop: Shop) -> None:
    shop.rows["transactions"].append("b,5,soap,s2,2017-01-24,1,3.00,0,0")
    events = shop.prepare().events
    assert events.category_names == ("BEEF", "MILK", "other")
    assert events.category_departments == ("MEAT", "DAIRY", "")
    assert events.category_spend.shape == (3, 4, 3)
    np.testing.assert_allclose(events.category_spend.sum((0, 1)), [8.00, 4.40, 3.00], rtol=1e-6)
    np.testing.assert_allclose(events.category_spend.sum(2), events.spend, rtol=1e-6)


def test_categories_are_chosen_on_the_given_customers_and_weeks_alone(shop: Shop) -> None:
    def only_b(ids: tuple[str, ...], _: object) -> CategoryChoice:
        return CategoryChoice(count=1, last_week=3, customers=["b"])

    events = prepare(shop.write(), shop.out, choose=only_b).events
    assert events.category_names == ("MILK", "other")
    np.testing.assert_allclose(events.category_spend.sum((0, 1)), [4.40, 8.00], rtol=1e-6)


def test_a_category_name_of_two_departments_carries_its_department(shop: Shop) -> None:
    shop.rows["products"] = ["milk,DAIRY,FOOD", "beef,MEAT,FOOD"]
    assert shop.prepare().events.category_names == ("FOOD (MEAT)", "FOOD (DAIRY)", "other")


def test_targeting_has_a_row_per_customer_and_campaign(shop: Shop) -> None:
    table = shop.prepare().targeting
    expected = pd.DataFrame(
        {
            "customer_id": ["007", "b", "c"],
            "campaign_id": ["k1", "k0", "k1"],
            "campaign_type": ["A", "B", "A"],
            "offer": ["", "", ""],
            "start_week": [2, -1, 2],
            "end_week": [3, 9, 3],
            "duration_weeks": [2, 11, 2],
            "n_coupons": [1, 1, 1],
            "n_redeemed": [1, 0, 0],
            "redeemed": [True, False, False],
            "first_redeem_week": pd.array([2, None, None], "Int64"),
            "censored": [False, True, False],
        }
    )
    pd.testing.assert_frame_equal(table.drop(columns="customer"), expected, check_dtype=False)


def test_a_coupon_is_worth_what_was_saved_per_unit_on_the_day(shop: Shop) -> None:
    values = shop.prepare().quality.coupon_values
    assert (values.redemptions, values.matched, values.lines) == (1, 1, 1)
    assert values.quartiles == (0.5, 0.5, 0.5)


def test_utc_timestamps_fall_on_the_day_of_the_shops_clock(shop: Shop) -> None:
    shop.keep("transactions")
    shop.rows["transactions"] = ["a,1,milk,s1,2017-01-09 04:30:00,1,1,0,0", "a,2,milk,s1,2017-01-09 05:30:00,1,1,0,0"]
    source = shop.write()
    path = Path(source.mapping)
    path.write_text(path.read_text().replace("  file:", "  time_zone: America/New_York\n  file:"))
    assert prepare(source, shop.out).events.baskets.tolist() == [[1, 1]]


def test_given_weeks_count_where_they_are_mapped(shop: Shop) -> None:
    shop.headers["transactions"] += ",week"
    shop.columns["transactions"]["week"] = "week"
    weeks = [5, 5, 6, 6, 8]
    shop.rows["transactions"] = [f"{row},{week}" for row, week in zip(shop.rows["transactions"], weeks, strict=True)]
    prepared = shop.prepare()
    assert prepared.events.weeks.tolist() == [5, 6, 7, 8]
    assert prepared.quality.calendar.monday(5).isoformat() == "2017-01-02"


def test_weeks_without_dates_need_to_be_told_when_week_1_begins(shop: Shop) -> None:
    shop.headers["transactions"] = shop.headers["transactions"].replace("date", "week")
    shop.columns["transactions"]["week"] = "week"
    del shop.columns["transactions"]["date"]
    shop.rows["transactions"] = ["007,1,milk,s1,1,1,1.10,0,0", "007,2,milk,s1,3,2,2.20,0,0"]
    with pytest.raises(InputError, match="add week_origin"):
        shop.prepare()
    shop.extra = {"week_origin": date(2017, 1, 2)}
    prepared = shop.prepare()
    assert prepared.events.baskets[0].tolist() == [1, 0, 1]
    assert prepared.events.redeemed[0].tolist() == [0, 1, 0]
    assert prepared.quality.coupon_values.quartiles == ()


def test_what_is_written_is_read_back(shop: Shop) -> None:
    written, read = shop.prepare(), load_prepared(shop.out)
    assert read.quality == written.quality
    assert read.events.customer_ids == written.events.customer_ids
    for name in (*ARRAYS, "category_spend", "weeks"):
        np.testing.assert_array_equal(getattr(read.events, name), getattr(written.events, name))
    pd.testing.assert_frame_equal(read.targeting, written.targeting)
    pd.testing.assert_frame_equal(read.customers, written.customers)


def test_equal_tables_give_equal_bytes(shop: Shop) -> None:
    def hashes() -> dict[str, str]:
        shop.prepare()
        return {path.name: hash_file(path) for path in shop.out.iterdir()}

    assert hashes() == hashes()


@pytest.mark.slow
def test_complete_journey_has_its_published_totals(tmp_path: Path) -> None:
    prepared = prepare(CompleteJourney(), tmp_path)
    events, quality = prepared.events, prepared.quality
    assert events.baskets.shape == (2469, 53)
    assert events.baskets.sum() == 155_848
    assert round(float(events.spend.sum(dtype=np.float64)), 1) == 4_596_039.6
    assert quality.totals["spend"] == 4_596_039.58
    assert len(prepared.targeting) == 6_589
    assert events.redeemed.sum() == 2_102 == prepared.targeting["n_redeemed"].sum()
    assert quality.coupon_values.quartiles == (0.5, 1.0, 1.0)
    assert {name: table.rejected for name, table in quality.tables.items() if table.rejected} == {}
    assert quality.tables["promotions"].read == 20_940_529
    assert math.isclose(events.exposure.mean(dtype=np.float64), 0.1245, abs_tol=1e-4)
