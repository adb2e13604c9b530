"""What is promoted to whom, what their baskets hold, and how many baskets luck gives."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from history.state import State, initial_state
from simulators.promotion import Categories, choose_category, open_wallet, to_cents

K = 5
MARGIN = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])


def categories(promotable: list[bool], popularity: list[float]) -> Categories:
    share = torch.tensor(popularity)
    names = tuple(f"category {i}" for i in range(K))
    return Categories(names, MARGIN, share / share.sum(), torch.tensor(promotable, dtype=torch.float32))


def buying(spend: list[list[float]]) -> State:
    """Return customers with one week of baskets behind them, spend per category [USD]."""
    state, amounts = initial_state(len(spend), K), torch.tensor(spend)
    ones = torch.ones(len(spend))
    total = amounts.sum(dim=1)
    return replace(
        state,
        weeks_seen=ones,
        category_average=amounts,
        spend_average=total.unsqueeze(1).expand(-1, 4).contiguous(),
        visit_average=(total > 0).float().unsqueeze(1).expand(-1, 4).contiguous(),
        basket_average=(total > 0).float(),
    )


amounts = st.lists(st.floats(0.0, 1000.0, width=32), min_size=K, max_size=K)
popularities = st.lists(st.floats(0.0, 1.0), min_size=K, max_size=K).filter(any)
flags = st.lists(st.booleans(), min_size=K, max_size=K).filter(any)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(amounts, min_size=1, max_size=8), flags, st.lists(st.floats(0.0, 1.0), min_size=K, max_size=K).filter(any)
)
def test_what_may_not_be_promoted_never_is(spend: list[list[float]], allowed: list[bool], share: list[float]) -> None:
    chosen = choose_category(categories(allowed, share), buying(spend))
    assert torch.tensor(allowed)[chosen].all()


def test_the_most_distinctive_category_is_promoted_not_the_biggest() -> None:
    shop = categories([True] * K, [0.6, 0.1, 0.1, 0.1, 0.1])
    assert choose_category(shop, buying([[60.0, 40.0, 0.0, 0.0, 0.0]])).tolist() == [1]
    barred = categories([True, False, True, True, True], [0.6, 0.1, 0.1, 0.1, 0.1])
    assert choose_category(barred, buying([[60.0, 35.0, 0.0, 5.0, 0.0]])).tolist() != [1]


def test_a_wallet_is_what_the_customer_bought() -> None:
    shop = categories([True] * K, [1.0] * K)
    wallet = open_wallet(shop, buying([[30.0, 10.0, 0.0, 0.0, 0.0]]), torch.tensor([0]))
    assert float(wallet.week) == pytest.approx(40.0)
    assert float(wallet.basket) == pytest.approx(40.0)
    assert float(wallet.share) == pytest.approx(0.75)
    assert float(wallet.margin) == pytest.approx(0.75 * 0.1 + 0.25 * 0.2)


def test_the_average_taste_stands_in_for_a_customer_who_never_bought() -> None:
    shop = categories([True] * K, [1.0, 2.0, 3.0, 4.0, 0.0])
    wallet = open_wallet(shop, initial_state(2, K), torch.tensor([1, 3]))
    assert torch.equal(wallet.taste, shop.popularity.expand(2, -1))
    assert wallet.share.tolist() == pytest.approx([0.2, 0.4])
    assert wallet.basket.tolist() == [0.0, 0.0]


def test_dollars_become_cents_to_the_nearest() -> None:
    assert to_cents(torch.tensor([0.0, 0.014, 19.99, 1234.56])).tolist() == [0, 1, 1999, 123456]
