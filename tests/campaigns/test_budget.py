"""The ledger keeps every cent, whatever is asked of it; stock goes to those who came first."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from campaigns.budget import Ledger, serve
from campaigns.errors import InputError

N = 5
cents = st.lists(st.integers(-5, 300), min_size=N, max_size=N)
queues = st.permutations(range(N))
steps = st.one_of(
    st.tuples(st.just("grant"), cents, queues),
    st.tuples(st.just("commit"), cents),
    st.tuples(st.just("release"), st.lists(st.booleans(), min_size=N, max_size=N)),
)


def whole(values):
    return torch.tensor(values, dtype=torch.int64)


def apply(ledger, step):
    name, *arguments = step
    if name == "grant":
        return ledger.grant(whole(arguments[0]), whole(arguments[1]))[0]
    return ledger.commit(whole(arguments[0])) if name == "commit" else ledger.release(torch.tensor(arguments[0]))


@given(st.integers(0, 1000), st.lists(steps, max_size=12))
def test_no_sequence_of_operations_exceeds_the_budget_or_loses_a_cent(budget, sequence):
    ledger = Ledger.open(budget, N)
    for step in sequence:
        ledger = apply(ledger, step)
        assert ledger.remaining + ledger.reserved.sum() + ledger.spent == budget
        assert ledger.remaining >= 0 and (ledger.reserved >= 0).all() and 0 <= ledger.spent <= budget


@given(st.integers(0, 1000), st.lists(steps, min_size=1, max_size=8))
def test_spending_never_falls_and_only_a_grant_lowers_what_remains(budget, sequence):
    before = Ledger.open(budget, N)
    for step in sequence:
        after = apply(before, step)
        assert after.spent >= before.spent
        assert after.remaining <= before.remaining if step[0] == "grant" else after.remaining >= before.remaining
        before = after


def test_requests_are_granted_in_the_order_of_the_queue():
    ledger, granted = Ledger.open(100, 4).grant(whole([60, 50, 40, 0]), torch.tensor([0.1, 0.9, 0.2, 0.95]))
    assert granted.tolist() == [True, False, True, True]
    assert (int(ledger.remaining), ledger.reserved.tolist(), int(ledger.spent)) == (0, [60, 0, 40, 0], 0)


def test_the_first_request_that_does_not_fit_ends_the_queue():
    _, granted = Ledger.open(100, 3).grant(whole([60, 50, 40]), torch.tensor([0.1, 0.2, 0.3]))
    assert granted.tolist() == [True, False, False]


def test_a_week_of_a_campaign_is_the_one_worked_out_by_hand():
    # Three offers of at most 200 cents and 2 cents of contact: one redeemed for 150, one expired, one still waiting.
    ledger, granted = Ledger.open(1000, 3).grant(whole([202, 202, 202]), whole([0, 1, 2]))
    ledger = ledger.commit(whole([2, 2, 2]) * granted)
    assert (int(ledger.remaining), ledger.reserved.tolist(), int(ledger.spent)) == (394, [200, 200, 200], 6)
    ledger = ledger.commit(whole([150, 0, 0])).release(torch.tensor([True, True, False]))
    assert (int(ledger.remaining), ledger.reserved.tolist(), int(ledger.spent)) == (644, [0, 0, 200], 156)
    assert int(ledger.excess) == 0


def test_a_cost_beyond_the_reservation_is_not_paid_and_is_shown():
    ledger, _ = Ledger.open(1000, 2).grant(whole([100, 100]), whole([0, 1]))
    ledger = ledger.commit(whole([130, 100]))
    assert (int(ledger.spent), int(ledger.excess)) == (200, 30)


def test_a_negative_cost_gives_nothing_back_and_is_shown():
    ledger, _ = Ledger.open(1000, 1).grant(whole([100]), whole([0]))
    ledger = ledger.commit(whole([-40]))
    assert (int(ledger.spent), ledger.reserved.tolist(), int(ledger.excess)) == (0, [100], 40)


def test_an_old_ledger_stays_as_it_was():
    ledger = Ledger.open(500, 2)
    ledger.grant(whole([100, 100]), whole([0, 1]))
    assert (int(ledger.remaining), ledger.reserved.tolist()) == (500, [0, 0])


@given(st.integers(0, 1000), cents, queues, queues)
def test_permuting_the_customers_permutes_what_is_granted(budget, liability, queue, order):
    ledger, granted = Ledger.open(budget, N).grant(whole(liability), whole(queue))
    moved, regranted = Ledger.open(budget, N).grant(whole(liability)[list(order)], whole(queue)[list(order)])
    assert regranted.tolist() == granted[list(order)].tolist()
    assert moved.reserved.tolist() == ledger.reserved[list(order)].tolist()


@given(st.integers(0, 1000), cents, queues)
def test_the_queue_is_served_as_a_loop_would_serve_it(budget, liability, queue):
    expected, asked = [False] * N, 0
    for customer in sorted(range(N), key=lambda i: queue[i]):
        asked += max(liability[customer], 0)
        expected[customer] = asked <= budget or liability[customer] <= 0
    assert Ledger.open(budget, N).grant(whole(liability), whole(queue))[1].tolist() == expected


def test_stock_goes_to_those_who_came_first():
    claims = torch.tensor([True, True, False, True])
    arrival = torch.tensor([0.9, 0.1, 0.0, 0.5])
    assert serve(claims, arrival, torch.tensor(2)).tolist() == [False, True, False, True]
    assert serve(claims, arrival, torch.tensor(0)).tolist() == [False] * 4
    assert serve(claims, arrival, torch.tensor(-1)).tolist() == claims.tolist()


def test_every_cohort_has_its_own_stock():
    claims = torch.tensor([[True, True, True], [True, True, False], [False, True, True]])
    arrival = torch.tensor([[0.3, 0.2, 0.1], [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
    served = serve(claims, arrival, torch.tensor([[1], [-1], [0]]))
    assert served.tolist() == [[False, False, True], [True, True, False], [False, False, False]]
    alone = torch.stack([serve(row, queue, 1) for row, queue in zip(claims, arrival, strict=True)])
    assert serve(claims, arrival, 1).tolist() == alone.tolist()
    assert serve(claims, arrival, -1).tolist() == claims.tolist()


@given(
    st.integers(0, 1000), st.lists(st.tuples(steps, steps).filter(lambda pair: pair[0][0] == pair[1][0]), max_size=6)
)
def test_cohorts_side_by_side_are_each_cohort_alone(budget, pairs):
    both, alone = Ledger.open(budget, (2, N)), [Ledger.open(budget, N), Ledger.open(budget, N)]
    for pair in pairs:
        both = apply(both, (pair[0][0], *([x, y] for x, y in zip(pair[0][1:], pair[1][1:], strict=True))))
        alone = [apply(ledger, step) for ledger, step in zip(alone, pair, strict=True)]
        for field in ("remaining", "reserved", "spent", "excess"):
            assert getattr(both, field).tolist() == [getattr(ledger, field).tolist() for ledger in alone]


@given(st.lists(st.booleans(), min_size=N, max_size=N), queues, st.integers(0, N))
def test_nobody_is_sold_stock_that_is_not_there_and_none_is_left_while_someone_waits(claims, arrival, stock):
    served = serve(torch.tensor(claims), whole(arrival), torch.tensor(stock))
    assert int(served.sum()) == min(stock, sum(claims))
    assert not (served & ~torch.tensor(claims)).any()


@given(st.lists(st.booleans(), min_size=N, max_size=N), queues, st.integers(-1, N), queues)
def test_permuting_the_customers_permutes_who_is_served(claims, arrival, stock, order):
    served = serve(torch.tensor(claims), whole(arrival), torch.tensor(stock))
    moved = serve(torch.tensor(claims)[list(order)], whole(arrival)[list(order)], torch.tensor(stock))
    assert moved.tolist() == served[list(order)].tolist()
    assert serve(torch.tensor(claims), whole(arrival), stock).tolist() == served.tolist()


@pytest.mark.parametrize("shape", [(4,), (3, 4)])
def test_ledger_and_stock_run_without_looking_at_a_value(shape):
    ledger = Ledger.open(1000, shape, device="meta")
    request = torch.zeros(shape, dtype=torch.int64, device="meta")
    priority = torch.zeros(shape, device="meta")
    ledger, granted = ledger.grant(request, priority)
    ledger = ledger.commit(request * granted).release(granted)
    assert ledger.reserved.shape == granted.shape == shape and ledger.remaining.shape == shape[:-1]
    stock = torch.zeros((*shape[:-1], 1), dtype=torch.int64, device="meta")
    assert serve(granted, priority, stock).shape == serve(granted, priority, 7).shape == shape


def test_a_negative_budget_is_refused():
    with pytest.raises(InputError, match="budget: budget_cents is -1; expected 0 or more cents"):
        Ledger.open(-1, 3)
