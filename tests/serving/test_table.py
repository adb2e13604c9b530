"""A table that is not fit to publish is refused with what is wrong in it."""

import numpy as np
import pandas as pd
import pytest

from campaigns.errors import InputError
from serving.manifest import ARM_KEYS, ARMS_KEYS, CARD_KEYS, MANIFEST_KEYS
from serving.table import columns


def test_rows_are_sorted_and_say_what_is_promoted_only_where_something_is(build, catalog):
    rows = build().customers
    assert tuple(rows.columns) == columns(catalog)
    assert rows["customer_id"].is_monotonic_increasing
    promotes = rows["offer"] == "discount_20"
    assert promotes.any()
    assert (rows["promoted_category"] == np.where(promotes, "SOFT DRINKS", "")).all()
    assert (rows["promoted_items"] == np.where(promotes, "COLA 2 LITER; =GINGER ALE", "")).all()


def test_an_offer_is_valid_for_the_weeks_it_lives(build):
    rows = build().customers.drop_duplicates("offer").set_index("offer")
    assert (rows["valid_from"] == pd.Timestamp(2018, 1, 1)).all()
    assert rows["valid_to"].to_dict() == {
        "coupon_2": pd.Timestamp(2018, 1, 28),
        "discount_20": pd.Timestamp(2018, 1, 7),
        "none": pd.Timestamp(2018, 1, 7),
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"customer_id": "7"}, "customer_id of customer '7' is '7' .299 rows like it.; expected one row per customer"),
        ({"offer": "coupon_3"}, "offer of customer '0000' is 'coupon_3'"),
        ({"offer_label": "a gift"}, "offer_label of customer '0000' is 'a gift'"),
        ({"promoted_category": ""}, "the offer is on a category: name it"),
        ({"promoted_category": "TEA"}, "the offer is on no category: leave it empty"),
        ({"promoted_items": "GREEN TEA"}, "promoted_items of customer .*the offer is on no category: leave it empty"),
        (
            {"expected_uplift_usd": np.nan},
            "expected_uplift_usd of customer '0000' is 'nan' .* every cell needs a value",
        ),
        ({"expected_uplift_hi_usd": np.inf}, "expected_uplift_hi_usd of customer '0000' is 'inf'"),
        ({"expected_uplift_lo_usd": 9.0}, "expected_uplift_lo_usd of customer '0000' is '9.0'"),
        ({"expected_uplift_hi_usd": -9.0}, "expected_uplift_hi_usd of customer '0000' is '-9.0'"),
        ({"expected_cost_usd": -0.01}, "expected_cost_usd of customer '0000' is '-0.01'"),
        ({"expected_cost_usd": 1}, "column expected_cost_usd has type int64; expected numbers"),
        ({"valid_to": pd.Timestamp(2017, 1, 1)}, "valid_to of customer '0000' is '2017-01-01"),
        ({"valid_from": pd.Timestamp(2018, 1, 1, 8)}, "expected a date without a time of day"),
        ({"valid_from": "2018-01-01"}, "column valid_from has type str; expected dates"),
        ({"segment": 99}, "segment of customer '0000' is '99'"),
        ({"segment": 1.0}, "column segment has type float64; expected whole numbers"),
        ({"reason": " "}, "reason of customer '0000' is ' '"),
        ({"reason": 7}, "column reason has type int64; expected text"),
        ({"arm": "vip"}, "arm of customer '0000' is 'vip' .*; expected one of optimised, random_control"),
        ({"arm": "holdout"}, "offer of customer .* the customer is in the holdout: no offer"),
        ({"pscore": 0.5}, "pscore of customer '0000' is '0.5' .*; expected the weight of the offer, above 0"),
        ({"pscore": 1}, "column pscore has type int64; expected numbers"),
        ({"arm_share": 0.5}, "arm_share of customer .*; expected the arm's parts in the manifest, as a share"),
        ({"weight_none": 0.9}, "expected weights of 0 or more that sum to exactly 1"),
        ({"weight_gift": -0.002}, "expected weights of 0 or more that sum to exactly 1"),
        ({"weight_gift": np.nan}, "weight_gift of customer '0000' is 'nan' .* every cell needs a value"),
        ({"expected_cost_lo_usd": 9.0}, "expected_cost_lo_usd of customer '0000' is '9.0'"),
        ({"bound": "whim"}, "bound of customer '0000' is 'whim' .*; expected some of nothing, holdout"),
        ({"reason_codes": "favoured, as_rule"}, "reason_codes of customer .*; expected some of favoured"),
        ({"disclosure": "secret"}, "disclosure of customer '0000' is 'secret'"),
        ({"extra": 1}, "policy table: columns are .*extra; expected customer_id"),
    ],
)
def test_a_wrong_column_is_named(build, changes, message):
    with pytest.raises(InputError, match=message):
        build(**changes)


@pytest.mark.parametrize("key", MANIFEST_KEYS)
def test_a_manifest_without_a_field_is_not_publishable(build, key):
    with pytest.raises(InputError, match=f"policy manifest: '{key}' is missing or empty"):
        build({key: None})


@pytest.mark.parametrize("key", CARD_KEYS)
def test_a_model_card_without_a_field_is_not_publishable(build, manifest, key):
    with pytest.raises(InputError, match=f"policy manifest: 'model_card.{key}' is missing or empty"):
        build({"model_card": {**manifest["model_card"], key: ""}})


@pytest.mark.parametrize("key", ARMS_KEYS)
def test_arms_without_a_field_are_not_publishable(build, manifest, key):
    with pytest.raises(InputError, match=f"policy manifest: 'arms.{key}' is missing or empty"):
        build({"arms": {name: value for name, value in manifest["arms"].items() if name != key}})


@pytest.mark.parametrize("key", ARM_KEYS)
def test_an_arm_without_a_field_is_not_publishable(build, manifest, key):
    arms = [{name: value for name, value in arm.items() if name != key} for arm in manifest["arms"]["arms"]]
    with pytest.raises(InputError, match=rf"policy manifest: 'arms.arms\[0\].{key}' is missing"):
        build({"arms": {**manifest["arms"], "arms": arms}})


def test_a_model_outlives_the_table_that_it_made(build, manifest):
    with pytest.raises(InputError, match=r"'model_card\.expires' 2018-01-06 lies before 'not_after' 2018-01-07"):
        build({"model_card": {**manifest["model_card"], "expires": "2018-01-06"}})
    with pytest.raises(InputError, match="'not_after' is 'never'; expected a date"):
        build({"not_after": "never"})
    with pytest.raises(InputError, match=r"arms have parts .*; expected optimised, random_control"):
        build({"arms": {**manifest["arms"], "arms": manifest["arms"]["arms"][:2]}})


def test_a_manifest_holds_plain_finite_data_and_leaves_our_keys_alone(build):
    with pytest.raises(InputError, match="policy manifest: not plain JSON data"):
        build({"values": {"uplift": float("nan")}})
    with pytest.raises(InputError, match="'files' is written when the table is published"):
        build({"files": {}})
