"""Logged decisions come in as they stand, and the first one that cannot be is named with its row and a way out."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from campaigns.errors import InputError
from history.decisions import FILE, load_decisions
from tests.history.tiny_shop import Shop

ROWS = [
    "007,2017-01-09,coupon_2,0.25",
    "b,2017-01-10,none,0.5",
    "z,2017-01-10,none,0.75",
    "007,2017-01-16,none,1",
]


def logging(shop: Shop, rows: list[str], header: str = "customer,day,given,chance") -> Shop:
    names = ("customer_id", "date", "offer", "pscore")
    shop.rows["decisions"], shop.headers["decisions"] = rows, header
    shop.columns["decisions"] = dict(zip(names, header.split(","), strict=False))
    return shop


def test_decisions_stand_at_their_customer_and_week_and_count_whom_they_were_made_for(shop: Shop) -> None:
    prepared = logging(shop, ROWS).prepare()
    assert prepared.events.customer_ids == ("007", "b", "c", "z")  # z neither bought nor was targeted
    found = load_decisions(shop.out)
    assert found is not None
    expected = pd.DataFrame(
        {
            "customer": [0, 1, 3, 0],
            "slot": [1, 1, 1, 2],
            "offer": ["coupon_2", "none", "none", "none"],
            "pscore": [0.25, 0.5, 0.75, 1.0],
            "row": [1, 2, 3, 4],
        }
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_a_source_without_decisions_has_no_such_file_and_is_told_what_that_costs(shop: Shop) -> None:
    prepared = shop.prepare()
    assert load_decisions(shop.out) is None and not (shop.out / FILE).exists()
    assert "begin from none" in prepared.quality.missing_tables["decisions"]


def test_decisions_without_chances_come_in_and_the_quality_record_says_what_that_costs(shop: Shop) -> None:
    rows = [row.rsplit(",", 1)[0] for row in ROWS]
    prepared = logging(shop, rows, "customer,day,given").prepare()
    found = load_decisions(shop.out)
    assert found is not None and found["pscore"].isna().all()
    assert "no bandit begins" in prepared.quality.tables["decisions"].missing_columns["pscore"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("007,2017-01-16,none,0", r"row 4: pscore is 0; expected the chance in \(0, 1\]"),
        ("007,2017-01-16,none,-0.1", r"row 4: pscore is -0\.1; expected the chance"),
        ("007,2017-01-16,none,1.01", r"row 4: pscore is 1\.01; expected the chance"),
        ("007,2017-01-16,none,nan", r"row 4: pscore is not finite \(found 'nan'\); mend the row"),
        ("007,2017-01-16,none,much", r"row 4: pscore is not a number \(found 'much'\); mend"),
        ("007,2017-01-16,none,", r"row 4: pscore is empty; expected the chance"),
        ("007,2017-01-16,,0.5", r"row 4: offer is missing; mend the row"),
        (",2017-01-16,none,0.5", r"row 4: customer_id is missing; mend"),
        ("007,soon,none,0.5", r"row 4: date is not a date \(found 'soon'\)"),
        ("007,2016-12-30,none,0.5", r"row 4: date is 2016-12-30; expected a day in .* weeks 1 to 4 \(2017-01-02 until"),
        ("007,2017-02-01,none,0.5", r"row 4: date is 2017-02-01; expected a day in the transactions' weeks 1 to 4"),
        ("007,2017-01-11,coupon_5,0.9", r"row 4: customer '007' has a second decision in week 2, .* row 1; their "
                                        r"pscores sum to 1\.15; expected one row per customer and week"),
        ("007,2017-01-16,none,0.5,0.5", r"row 4: line is torn"),
    ],
)  # fmt: skip
def test_the_first_decision_that_cannot_be_stops_the_run(shop: Shop, row: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"decisions\.csv: table 'decisions', {message}"):
        logging(shop, [*ROWS[:3], row]).prepare()


def drawn(keep: Callable[[float], bool], shown: float = 1.0) -> list[str]:
    """Return decisions of 400 customers in week 2, of whom one in twenty is given a coupon."""
    luck = np.random.default_rng(3).random(400)
    rows = [(f"n{i:03d}", "coupon_2", 0.05 * shown) if u < 0.05 else (f"n{i:03d}", "none", 0.95) for i, u in
            enumerate(luck) if keep(float(u))]  # fmt: skip
    return [f"{name},2017-01-10,{offer},{chance}" for name, offer, chance in rows]


def test_chances_that_do_not_sum_up_are_refused_and_those_that_do_are_not(shop: Shop) -> None:
    logging(shop, drawn(lambda u: True)).prepare()
    told = r"row \d+: the chances of offer 'coupon_2' cannot be: 1 / pscore sums to [\d,]+ over its rows, of all "
    with pytest.raises(InputError, match=told + r"\d+ decisions .*; .*log every decision, those for no offer too"):
        logging(shop, drawn(lambda u: u < 0.05)).prepare()  # decisions for no offer were left out
    with pytest.raises(InputError, match=told):
        logging(shop, drawn(lambda u: True, shown=0.01)).prepare()  # chances in per cent of what they were


def test_decisions_need_the_campaigns_that_they_led_to(shop: Shop) -> None:
    with pytest.raises(InputError, match="table 'decisions' is mapped without 'campaigns'; add that too"):
        logging(shop.keep("transactions"), ROWS).prepare()
