"""Limits bind each decision: what the table, the clock, the ledger or the basket forbids is refused in words."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.errors import InputError
from history.artifacts import read_json
from serving.constraints import Basket, Circumstances, Constraints
from serving.lookup import Lookup
from serving.publishing import publish
from serving.table_check import check_rows
from tests.serving.signing import with_rows

DAY = date(2018, 1, 3)


@pytest.fixture(scope="session")
def policy(build, tmp_path_factory):
    folder = tmp_path_factory.mktemp("constraints") / "policy"
    publish(build(), folder)
    return folder


@pytest.fixture(scope="session")
def limits(policy):
    manifest = read_json(policy / "manifest.json")
    manifest["config"]["values"] = {"rules": {"contact_cap": 3, "margin_floor": 0.1}}
    return Constraints.of(manifest)


@pytest.fixture(scope="session")
def rows(policy):
    lookup = Lookup.of(policy)
    yield list(lookup)
    lookup.close()


@pytest.fixture(scope="session")
def coupon(rows):
    return next(row for row in rows if row["offer"] == "coupon_2")


def test_every_row_of_a_table_that_passes_is_a_decision_that_passes(policy, limits, rows):
    check_rows(limits, [policy / "policy_by_customer.parquet"])
    assert {limits.refuse(row, Circumstances(DAY)) for row in rows} == {None}


@pytest.mark.parametrize(
    ("change", "now", "message"),
    [
        ({"offer": "coupon_9"}, {}, "offer 'coupon_9' is not in the catalog"),
        ({"offer": None}, {}, "offer None is not in the catalog"),
        ({"arm": "holdout"}, {}, "arm 'holdout' gives no offers"),
        ({"arm": "x"}, {}, "arm 'x' gives no offers"),
        ({"pscore": 0.5}, {}, "are not one chance above 0"),
        ({"weight_coupon_2": 0.0, "pscore": 0.0}, {}, "are not one chance above 0"),
        ({"weight_coupon_2": float("nan"), "pscore": float("nan")}, {}, "are not one chance above 0"),
        ({"weight_coupon_2": "1", "pscore": "1"}, {}, "are not one chance above 0"),
        ({"valid_from": "2018-01-04"}, {}, "the offer is valid from 2018-01-04 to 2018-01-28"),
        ({"valid_to": "2018-01-02"}, {}, "the offer is valid from 2018-01-01 to 2018-01-02"),
        ({}, {"day": date(2018, 1, 8)}, "the table's last day was 2018-01-07"),
        ({}, {"day": date(2017, 12, 31)}, "the offer is valid from 2018-01-01"),
        ({}, {"stock_left": {"coupon_2": 0}}, "no piece of 'coupon_2' is left"),
        ({}, {"budget_left_cents": 201}, "it may cost 202 cents, and 201 are left of the budget"),
        ({}, {"recent_contacts": 3}, "the customer had 3 contacts; the cap is 3"),
        ({}, {"basket": Basket(1000, 0, 2999)}, "it costs 200 cents of a basket that can spare 199 above the margin"),
    ],
)
def test_what_is_forbidden_is_refused(limits, coupon, change, now, message):
    assert message in limits.refuse(coupon | change, Circumstances(**({"day": DAY} | now)))


@pytest.mark.parametrize(
    "now",
    [
        {"day": date(2018, 1, 7)},
        {"stock_left": {"coupon_2": 1, "flash_sale": 0}},
        {"budget_left_cents": 202},
        {"recent_contacts": 2},
        {"basket": Basket(1000, 0, 3000)},
    ],
)
def test_what_is_just_allowed_passes(limits, coupon, now):
    assert limits.refuse(coupon, Circumstances(**({"day": DAY} | now))) is None


@settings(deadline=None)
@given(st.integers(-400, 400), st.none() | st.integers(-5, 5), st.none() | st.integers(0, 9))
def test_no_offer_is_always_allowed(limits, rows, days, money, contacts):
    none = next(row for row in rows if row["offer"] == "none")
    now = Circumstances(DAY + timedelta(days=days), {"none": 0}, money, contacts, Basket(0, 0, 0))
    assert limits.refuse(none, now) is None


def test_dates_may_be_dates(limits, coupon):
    dated = coupon | {"valid_from": date(2018, 1, 1), "valid_to": date(2018, 1, 2)}
    assert limits.refuse(dated, Circumstances(date(2018, 1, 2))) is None
    assert "valid from 2018-01-01 to 2018-01-02" in limits.refuse(dated, Circumstances(DAY))


def test_a_hard_limit_is_on_the_worst_case(build, tmp_path):
    table = build()
    worst = {"none": 0, "coupon_2": 202, "discount_20": 602}
    cents = int(table.customers["offer"].map(worst).sum())
    arms = [dict(arm) for arm in table.manifest["arms"]["arms"]]

    def with_budget(budget: float) -> Constraints:
        arms[0]["budget"] = budget
        hard = {
            "arms": {**table.manifest["arms"], "arms": arms},
            "budget": {**table.manifest["budget"], "mode": "hard"},
        }
        publish(build(manifest_changes=hard), tmp_path / "policy")
        return Constraints.of(read_json(tmp_path / "policy" / "manifest.json"))

    rows = tmp_path / "policy" / "policy_by_customer.parquet"
    check_rows(with_budget(cents / 100), [rows])
    limits = with_budget(cents / 100 - 1)
    with pytest.raises(InputError, match=f"cost {cents / 100:.2f} USD at worst; its budget is {cents / 100 - 1:.2f}"):
        check_rows(limits, [rows])


@pytest.mark.parametrize(
    ("pieces", "cost", "message"),
    [
        (0, 0.1, "it has 0 pieces a week for 1 weeks"),
        (1, 0.1, "means at least 1.6 redemptions; it has 1 pieces"),
        (2, 0.1, None),
    ],
)
def test_stock_binds_what_the_expected_cost_means_at_least(build, catalog, tmp_path, pieces, cost, message):
    table = build()
    rows = table.customers.copy()
    away = rows["offer"] == "discount_20"
    assert away.sum() > 20
    worst = 2 + catalog.offers[catalog.index("flash_sale")].cap_cents
    expected = 0.02 + 1.6 * (worst - 2) / 100 / away.sum()
    rows.loc[away, ["offer", "offer_label"]] = ("flash_sale", catalog.offers[catalog.index("flash_sale")].label)
    rows.loc[away, "weight_flash_sale"], rows.loc[away, "weight_discount_20"] = (
        rows.loc[away, "weight_discount_20"],
        rows.loc[away, "weight_flash_sale"],
    )
    rows.loc[away, "expected_cost_usd"] = expected
    changed = with_rows(table, rows)
    changed.manifest["arms"]["arms"][0]["stock"] = {"flash_sale": pieces}
    publish(changed, tmp_path / "policy")
    limits = Constraints.of(read_json(tmp_path / "policy" / "manifest.json"))
    path = tmp_path / "policy" / "policy_by_customer.parquet"
    if message is None:
        check_rows(limits, [path])
        return
    with pytest.raises(InputError, match=message):
        check_rows(limits, [path])
