"""Customers and weeks are divided so that nothing is judged where it was learned."""

from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from campaigns.errors import InputError
from history.splits import SplitConfig, Splits, split_history

IDS = tuple(f"household {i}" for i in range(800))
WEEKS = range(1, 52)


def split(ids: tuple[str, ...] = IDS, weeks: range = WEEKS) -> Splits:
    return split_history(ids, weeks, SplitConfig())


def members(splits: Splits, ids: tuple[str, ...]) -> dict[str, set[str]]:
    return {part.name: {ids[i] for i in part.customers} for part in splits}


def test_joining_the_customers_of_two_splits_gives_no_row() -> None:
    with duckdb.connect() as connection:
        for part in split():
            connection.register(part.name, pa.table({"customer_id": [IDS[i] for i in part.customers]}))
        for pair in (("train", "test"), ("train", "validation"), ("validation", "test")):
            joined = connection.execute(f"SELECT * FROM {pair[0]} JOIN {pair[1]} USING (customer_id)").fetchall()
            assert joined == []


def test_every_customer_is_in_one_split_in_ascending_order() -> None:
    parts = list(split())
    assert sorted(np.concatenate([part.customers for part in parts])) == list(range(len(IDS)))
    assert all((np.diff(part.customers) > 0).all() for part in parts)


def test_weeks_of_a_later_split_come_after_those_of_an_earlier_one() -> None:
    splits = split()
    assert splits.train.weeks.start == WEEKS.start + SplitConfig().warmup_weeks
    for earlier, later in pairwise(splits):
        assert earlier.weeks.stop == later.weeks.start
        assert len(later.weeks) >= 4
    assert splits.test.weeks.stop == WEEKS.stop


def test_the_shares_of_customers_are_those_asked_for() -> None:
    sizes = [len(part.customers) for part in split(tuple(map(str, range(20_000))))]
    for size, share in zip(sizes, (0.5, 0.2, 0.3), strict=True):
        assert abs(size / 20_000 - share) < 4 * np.sqrt(share * (1 - share) / 20_000)


def test_a_customer_stays_in_the_same_split_whatever_the_order_and_company() -> None:
    shuffled = tuple(np.random.default_rng(1).permutation(IDS).tolist())
    assert members(split(shuffled), shuffled) == members(split(), IDS)
    more = (*IDS, *(f"newcomer {i}" for i in range(300)))
    joined = members(split(more), more)
    assert all(names <= joined[name] for name, names in members(split(), IDS).items())


def test_another_seed_divides_the_customers_otherwise() -> None:
    other = split_history(IDS, WEEKS, SplitConfig(seed=1))
    assert members(other, IDS) != members(split(), IDS)


@pytest.mark.parametrize(
    ("n", "weeks", "message"),
    [
        (800, 20, "20 full weeks are too few"),
        (800, 30, "30 full weeks are too few"),
        (150, 51, "each needs at least 50"),
        (0, 51, r"the splits have \[0, 0, 0\] customers"),
    ],
)
def test_a_history_too_short_or_too_small_is_refused(n: int, weeks: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split(IDS[:n], range(weeks))


@pytest.mark.parametrize(
    "wrong",
    [
        {"train_share": 0.0},
        {"validation_share": -0.1},
        {"train_share": 0.8, "validation_share": 0.2},
        {"train_until": 0.9},
        {"validation_until": 1.0},
        {"train_share": float("nan")},
    ],
)
def test_shares_that_leave_a_split_empty_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"^split: "):
        SplitConfig(**wrong)


def test_a_negative_warm_up_is_refused() -> None:
    with pytest.raises(InputError, match="split: warmup_weeks is -3"):
        SplitConfig(warmup_weeks=-3)
