"""Habits refreshed week by week are those counted at once, and say what was counted by hand."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from history.purchases import ATTRIBUTES, Purchases
from simulators.recommender.assortment import Assortment
from simulators.recommender.habits import HALF_LIVES, Habits, gather_habits, no_habits, refresh_habits

N, M, WEEKS = 4, 5, 9


def purchases(rows: list[tuple[int, int, int, int]]) -> Purchases:
    """Return purchases of rows (week, customer, product, lines), sorted, one per week, customer and product."""
    unique = {row[:3]: row for row in rows}
    table = np.array(sorted(unique.values()), dtype=np.int64).reshape(-1, 4)
    products = pd.DataFrame({"product_id": [str(j) for j in range(M)], **dict.fromkeys(ATTRIBUTES, ""), "position": 0})
    return Purchases(table[:, 1], table[:, 0], table[:, 2], table[:, 3], 100 * table[:, 3], products)


def assortment(known: int = M) -> Assortment:
    code = np.where(np.arange(M) < known, np.arange(M), -1)
    zeros = np.zeros(known, dtype=np.int64)
    return Assortment(np.arange(known), code, zeros, np.zeros((known, 1), np.float32), zeros > 0)


def equal(one: Habits, other: Habits) -> bool:
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(Habits))


def test_habits_are_those_counted_by_hand() -> None:
    habits = gather_habits(purchases([(0, 1, 2, 1), (3, 1, 2, 2), (3, 1, 0, 1), (5, 0, 4, 1)]), assortment(4), N, 6)
    assert list(zip(habits.customer.tolist(), habits.product.tolist(), strict=True)) == [(1, 0), (1, 2)]
    assert habits.weeks.tolist() == [1, 2]
    assert habits.lines.tolist() == [1, 3]
    assert habits.first.tolist() == [3, 0]
    assert habits.last.tolist() == [3, 3]
    assert habits.active.tolist() == [0, 2, 0, 0]
    for index, half_life in enumerate(HALF_LIVES):
        once = 0.5 ** (2 / half_life)
        assert habits.recent(index).tolist() == pytest.approx([once, once + 0.5 ** (5 / half_life)])


rows = st.lists(st.tuples(st.integers(0, WEEKS - 1), st.integers(0, N - 1), st.integers(0, M - 1), st.integers(1, 3)))


@settings(max_examples=60, deadline=None)
@given(rows, st.lists(st.integers(0, WEEKS), max_size=4))
def test_refreshing_gives_the_very_bits_of_counting_anew(
    bought: list[tuple[int, int, int, int]], stops: list[int]
) -> None:
    shop = purchases(bought)
    habits = no_habits((N, M))
    for stop in sorted({*stops, WEEKS}):
        habits = refresh_habits(habits, shop, assortment(), stop)
    assert equal(habits, gather_habits(shop, assortment(), N, WEEKS))


@settings(max_examples=40, deadline=None)
@given(rows, st.permutations(range(N)))
def test_customers_in_another_order_have_the_same_habits(
    bought: list[tuple[int, int, int, int]], order: list[int]
) -> None:
    habits = gather_habits(purchases(bought), assortment(), N, WEEKS)
    turned = habits.of(np.array(order))
    assert np.array_equal(turned.matrix(turned.lines).toarray(), habits.matrix(habits.lines).toarray()[order])
    assert np.array_equal(turned.active, habits.active[order])


def test_products_can_be_forgotten() -> None:
    habits = gather_habits(purchases([(0, 1, 2, 1), (3, 1, 0, 1)]), assortment(), N, 6)
    kept = habits.without(np.arange(M) == 2)
    assert kept.product.tolist() == [0]
