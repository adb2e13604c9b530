"""The brake lets out what the budget bears, one by one, and learns what offers really cost."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.brake import SPREAD, Ahead, Belief, Outlook, brake, brake_each

N, KINDS = 6, 3
usd = st.lists(st.floats(0, 5), min_size=N, max_size=N)
kinds = st.lists(st.integers(0, KINDS - 1), min_size=N, max_size=N)
FACE = torch.tensor([0.0, 5.0, 9.0])


def ahead(offer: list[int], cost: list[float]) -> Ahead:
    money = torch.tensor([cost], dtype=torch.float64)
    return Ahead(torch.tensor([offer]), money, 2.0 * money)


def look_ahead(offer: list[int], cost: list[float]) -> Outlook:
    return Outlook.of(Belief.open(FACE, 1), ahead(offer, cost))


def worth(outlook: Outlook, offer: list[int], cost: list[float], let: list[int], quantile: float) -> float:
    """Return the quantile of what the campaign costs with some of the new offers, added up one by one."""
    new = [i for i in let if offer[i] > 0]
    mean = float(outlook.mean) + sum(cost[i] + 0.02 for i in new)
    variance = float(outlook.variance) + sum(2.0 * cost[i] for i in new)
    doubt = float(outlook.doubt) + SPREAD * sum(cost[i] for i in new)
    return mean + quantile * float(variance + doubt**2) ** 0.5


@settings(deadline=None)
@given(kinds, usd, kinds, usd, st.permutations(range(N)), st.floats(0, 60), st.sampled_from([0.0, 2.33, 4.0]))
def test_the_brake_lets_out_what_a_loop_over_the_queue_would(
    held: list[int], owed: list[float], offer: list[int], cost: list[float], turn: list[int], most: float,
    quantile: float,
) -> None:  # fmt: skip
    outlook = look_ahead(held, owed)
    expected, out = [kind == 0 for kind in offer], list[int]()
    for i in sorted(range(N), key=lambda customer: turn[customer]):
        if abs(worth(outlook, offer, cost, [*out, i], quantile) - most) < 1e-9:
            return  # rounding may fall to either side
        if worth(outlook, offer, cost, [*out, i], quantile) > most:
            break
        out.append(i)
        expected[i] = True
    budget, free = torch.tensor([most], dtype=torch.float64), torch.tensor([1e9], dtype=torch.float64)
    contact, queue = torch.full((1, N), 0.02), torch.tensor([turn])
    found = brake(outlook, ahead(offer, cost), contact, queue, (budget, free), quantile)
    assert found.tolist() == [expected]
    shared = brake(outlook, ahead(offer, cost), contact, queue, (free, budget), quantile)
    assert float(sum(c + 0.02 for c, out, o in zip(cost, shared[0], offer, strict=True) if out and o)) <= most + 1e-9


@settings(deadline=None)
@given(kinds, usd, kinds, usd, st.permutations(range(N)), st.floats(0, 60), st.sampled_from([0.0, 2.33, 4.0]))
def test_what_would_go_out_is_what_goes_out_once_it_is_wanted(
    held: list[int], owed: list[float], offer: list[int], cost: list[float], turn: list[int], most: float,
    quantile: float,
) -> None:  # fmt: skip
    outlook, queue = look_ahead(held, owed), torch.tensor([turn])
    limit, contact = torch.tensor([most + 1e-7], dtype=torch.float64), torch.full((1, N), 0.02)
    rows = [ahead([kind] * N, cost) for kind in range(KINDS)]
    every = Ahead(*(torch.cat([getattr(row, name) for row in rows]) for name in ("offer", "cost", "square")))
    would = brake_each(
        outlook, (ahead(offer, cost), contact), (every, contact.expand(KINDS, -1)), queue, (limit, limit), quantile
    )
    for i in range(N):
        for kind in range(KINDS):
            asked = [*offer[:i], kind, *offer[i + 1 :]]
            assert would[kind, i] == brake(outlook, ahead(asked, cost), contact, queue, (limit, limit), quantile)[0, i]


def test_what_was_seen_moves_the_factor_and_sharpens_it() -> None:
    belief, due = Belief.open(FACE, 1), ahead([1] * N, [0.5] * N)
    factor, spread = belief.factor()
    assert factor.tolist() == [[1.0] * KINDS]
    assert spread.tolist() == [pytest.approx([SPREAD] * KINDS)]
    for _ in range(40):
        belief = belief.see(due, torch.full((1, N), 1.0), torch.zeros(1, N))
    after, sharper = belief.factor()
    assert 1.7 < float(after[0, 1]) < 2.0 and float(sharper[0, 1]) < 0.5 * SPREAD
    assert float(after[0, 2]) == 1.0
    assert float(belief.spent) == 40 * N


def test_nothing_here_looks_at_a_value() -> None:
    def empty(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return torch.zeros(shape, dtype=dtype, device="meta")

    offers = Ahead(empty(2, N, dtype=torch.int64), empty(2, N), empty(2, N))
    belief = Belief.open(empty(KINDS), 2).see(offers, empty(2, N), empty(2, N))
    outlook = Outlook.of(belief, offers)
    out = brake(outlook, offers, empty(2, N), empty(2, N), (empty(2), outlook.margin(2.0)), 2.0)
    assert out.shape == (2, N)
