"""The mask of allowed offers: each rule by hand, and the same answer from numpy, torch and any order of customers."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from campaigns.catalog import load_catalog
from campaigns.errors import InputError
from campaigns.offers import Catalog, Offer, OfferKind
from campaigns.rules import Facts, Rules, allowed

DEFAULT = load_catalog(Path("conf/offers/default.yaml"))
PER_COHORT = ("budget_left", "stock_left")


def facts(n=1, **given):
    """Return n customers who may get every offer, but for what is given."""
    values = {
        "basket": 100_00,
        "category_eligible": 20_00,
        "margin_bp": 3000,
        "recent_contacts": 0,
        "live": False,
        "weeks_since_visit": 1,
        "reachable": True,
    }
    customers = {name: np.full(n, given.pop(name, value)) for name, value in values.items()}
    cohort = {"budget_left": np.array(10**6), "stock_left": DEFAULT.columns().stock}
    return Facts(**customers, **(cohort | given))


def allowed_names(rules=None, columns=None, **given):
    mask = allowed(columns or DEFAULT.columns(), rules or Rules(), facts(**given))
    return [name for name, open_ in zip(DEFAULT.names, mask[0], strict=True) if open_]


def test_a_customer_whom_no_rule_concerns_may_get_everything():
    assert allowed_names() == list(DEFAULT.names)


@pytest.mark.parametrize("given", [{"reachable": False}, {"live": True}, {"recent_contacts": 3}])
def test_an_unreachable_a_waiting_or_a_tired_customer_gets_no_offer(given):
    assert allowed_names(**given) == ["none"]


def test_the_contact_cap_closes_at_the_cap_and_not_before():
    assert allowed_names(recent_contacts=2) == list(DEFAULT.names)
    assert allowed_names(Rules(contact_cap=2), recent_contacts=2) == ["none"]
    assert allowed_names(Rules(contact_cap=0)) == ["none"]


def test_the_worst_case_and_the_contact_must_fit_the_budget():
    assert allowed_names(budget_left=np.array(202)) == ["none", "coupon_1", "coupon_2", "gift"]
    assert allowed_names(budget_left=np.array([201])) == ["none", "coupon_1", "gift"]
    assert allowed_names(budget_left=np.array(0)) == ["none"]


def test_sold_out_stock_closes_its_offer_alone():
    stock = DEFAULT.columns().stock
    stock[-1] = 0
    assert allowed_names(stock_left=stock) == list(DEFAULT.names[:-1])
    stock[-1] = 1
    assert allowed_names(stock_left=stock) == list(DEFAULT.names)


def test_the_margin_floor_is_exact_at_the_last_cent():
    # A basket of 10 USD at 30 % earns 3 USD; the promoted category is 4 USD of it.
    given = {"basket": 10_00, "category_eligible": 4_00}
    assert "coupon_5" not in allowed_names(**given)
    assert "coupon_2" in allowed_names(Rules(margin_floor=0.1), **given)
    assert "coupon_2" not in allowed_names(Rules(margin_floor=0.1001), **given)
    assert "coupon_5" in allowed_names(Rules(margin_floor=-0.2), **given)


def test_an_offer_for_the_long_absent_waits_for_them():
    back = Offer("back", OfferKind.COUPON, "come back", value_cents=100, cap_cents=100, min_weeks_since_visit=4)
    catalog = Catalog("USD", 0.5, (DEFAULT.offers[0], back))
    stock = catalog.columns().stock
    masks = [allowed(catalog.columns(), Rules(), facts(weeks_since_visit=w, stock_left=stock)) for w in (3, 4)]
    assert [mask.tolist() for mask in masks] == [[[True, False]], [[True, True]]]


def test_no_offer_is_allowed_even_where_everything_else_is_not():
    hopeless = facts(reachable=False, live=True, recent_contacts=9, budget_left=np.array(-5), margin_bp=-9000)
    assert allowed(DEFAULT.columns(), Rules(margin_floor=1.0), hopeless).tolist() == [[True] + [False] * 9]


@st.composite
def cohorts(draw):
    n = draw(st.integers(1, 6))

    def column(strategy, kind):
        return np.array(draw(st.lists(strategy, min_size=n, max_size=n)), dtype=kind)

    basket = column(st.integers(0, 10**5), np.int64)
    return Facts(
        basket=basket,
        category_eligible=basket // draw(st.integers(1, 5)),
        margin_bp=column(st.integers(0, 6000), np.int64),
        recent_contacts=column(st.integers(0, 4), np.float32),
        live=column(st.booleans(), np.bool_),
        weeks_since_visit=column(st.integers(0, 53), np.float32),
        reachable=column(st.booleans(), np.bool_),
        budget_left=np.array(draw(st.integers(0, 1500)), dtype=np.int64),
        stock_left=np.array(draw(st.lists(st.integers(-1, 2), min_size=10, max_size=10)), dtype=np.int64),
    )


def converted(cohort, convert):
    return replace(cohort, **{f.name: convert(getattr(cohort, f.name)) for f in fields(cohort)})


@given(cohorts())
def test_numpy_and_torch_allow_the_same(cohort):
    tensors = allowed(DEFAULT.columns().to(torch.from_numpy), Rules(), converted(cohort, torch.from_numpy))
    assert tensors.dtype == torch.bool
    assert tensors.tolist() == allowed(DEFAULT.columns(), Rules(), cohort).tolist()


@given(cohorts(), st.data())
def test_permuting_the_customers_permutes_the_mask(cohort, data):
    order = data.draw(st.permutations(range(len(cohort.basket))))
    rows = {f.name: getattr(cohort, f.name)[order] for f in fields(cohort) if f.name not in PER_COHORT}
    columns = DEFAULT.columns()
    straight = allowed(columns, Rules(), cohort)[order]
    assert allowed(columns, Rules(), replace(cohort, **rows)).tolist() == straight.tolist()


def test_the_mask_is_made_without_looking_at_a_value():
    columns = DEFAULT.columns().to(lambda column: torch.from_numpy(column).to("meta"))
    mask = allowed(columns, Rules(), converted(facts(n=4), lambda values: torch.from_numpy(values).to("meta")))
    assert mask.shape == (4, DEFAULT.n) and mask.dtype == torch.bool


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"contact_cap": -1}, "rules: contact_cap is -1; expected 0 or more contacts"),
        ({"contact_window_weeks": 9}, "rules: contact_window_weeks is 9; expected 1 to 8 weeks"),
        ({"contact_window_weeks": 0}, "rules: contact_window_weeks is 0; expected 1 to 8 weeks"),
        ({"margin_floor": 1.5}, "rules: margin_floor is 1.5; expected a share of the basket in [-1, 1]"),
        ({"margin_floor": float("nan")}, "rules: margin_floor is nan; expected a share of the basket in [-1, 1]"),
    ],
)
def test_rules_out_of_range_are_refused_by_name(given, message):
    with pytest.raises(InputError) as error:
        Rules(**given)
    assert str(error.value) == message
