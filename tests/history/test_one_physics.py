"""The panel, the market and an independent SQL query agree on what is known of a customer before a week."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import history.panel
import simulators.market as market_side
from history.events import ARRAYS, WeeklyEvents
from history.features import features
from history.panel import build_panel, states_before
from history.state import State, WeekEvents, advance, initial_state, join_states
from simulators.market import Market, look, open_market
from simulators.promotion import Categories
from simulators.reference import reference_market
from tests.history.oracle import oracle_features

Table = NDArray[np.float64]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
PERTURBED = tuple(f.name for f in fields(State))


def market_with(n_categories: int) -> Market:
    share = torch.full((n_categories,), 1.0 / n_categories)
    names = tuple(f"category {i}" for i in range(n_categories))
    return replace(reference_market(), categories=Categories(names, 0.3 * torch.ones_like(share), share, share))


def features_in_market(events: WeeklyEvents) -> Tensor:
    """Live through the recorded weeks on the market's side, and note what it sees before each."""
    market, n = market_with(events.category_spend.shape[2]), events.n
    start = initial_state(n, events.category_spend.shape[2])
    state = open_market(market, start, torch.zeros(n, dtype=torch.int64))
    rows = []
    for week in range(len(events.weeks)):
        rows.append(look(market, state).features)
        cells = {name: torch.from_numpy(getattr(events, name)[:, week].copy()) for name in (*ARRAYS, "category_spend")}
        state = replace(state, customer=market_side.advance(state.customer, WeekEvents(**cells)))
    return torch.stack(rows, dim=1)


@pytest.fixture(scope="module")
def found(weeks: WeeklyEvents) -> Table:
    """Return the features of the fabricated weeks as SQL finds them."""
    return oracle_features(weeks)


@pytest.fixture(scope="module")
def found_in_journey(journey: WeeklyEvents) -> Table:
    return oracle_features(journey)


def agrees(events: WeeklyEvents, found: Table) -> bool:
    return bool(np.allclose(build_panel(events).features.numpy(), found, **TOLERANCE))


def test_replaying_recorded_weeks_through_the_market_gives_the_panel_to_the_bit(weeks: WeeklyEvents) -> None:
    assert torch.equal(features_in_market(weeks), build_panel(weeks).features)


def test_an_independent_sql_query_finds_the_same_features(weeks: WeeklyEvents, found: Table) -> None:
    np.testing.assert_allclose(build_panel(weeks).features.numpy(), found, **TOLERANCE)


@pytest.mark.parametrize("name", PERTURBED)
def test_the_sql_query_notices_when_one_part_of_the_state_goes_wrong(
    name: str, weeks: WeeklyEvents, found: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone_wrong(state: State, events: WeekEvents) -> State:
        after = advance(state, events)
        value = getattr(after, name)
        wrong = value + 0.01 * torch.arange(value.shape[1]) if name == "category_average" else 1.01 * value + 0.001
        return replace(after, **{name: wrong})

    assert agrees(weeks, found)
    monkeypatch.setattr(history.panel, "advance", gone_wrong)
    assert not agrees(weeks, found)


def test_features_of_customers_do_not_depend_on_their_order(weeks: WeeklyEvents) -> None:
    order = np.random.default_rng(0).permutation(weeks.n)
    cells = {name: getattr(weeks, name)[order] for name in (*ARRAYS, "category_spend")}
    shuffled = replace(weeks, customer_ids=tuple(weeks.customer_ids[i] for i in order), **cells)
    expected = build_panel(weeks).features[torch.from_numpy(order)]
    torch.testing.assert_close(build_panel(shuffled).features, expected, rtol=1e-6, atol=1e-6)


def test_later_weeks_change_nothing_that_is_known_before_them(weeks: WeeklyEvents) -> None:
    cells = {name: getattr(weeks, name).copy() for name in (*ARRAYS, "category_spend")}
    for values in cells.values():
        values[:, 30:] = 99.0
    told_otherwise = build_panel(replace(weeks, **cells)).features
    assert torch.equal(told_otherwise[:, :31], build_panel(weeks).features[:, :31])
    assert not torch.equal(told_otherwise[:, 31], build_panel(weeks).features[:, 31])


def test_the_states_before_weeks_give_the_features_of_these_weeks(weeks: WeeklyEvents) -> None:
    panel = build_panel(weeks)
    for week, state in zip(range(10, 13), states_before(weeks, range(10, 13)), strict=True):
        assert torch.equal(features(state), panel.features[:, week])
        assert torch.equal(features(panel.state_before(week)), panel.features[:, week])
    after_all = panel.state_before(panel.n_weeks)
    assert float(after_all.weeks_seen[0]) == panel.n_weeks


def test_a_customer_of_whom_nothing_is_known_has_finite_features() -> None:
    state = initial_state(3, 5)
    assert torch.isfinite(features(state)).all()
    silent = WeekEvents(*(torch.zeros(3) for _ in ARRAYS), category_spend=torch.zeros(3, 5))
    for _ in range(60):
        state = advance(state, silent)
        assert torch.isfinite(features(state)).all()


def test_joined_states_are_taken_apart_again_by_row(weeks: WeeklyEvents) -> None:
    before, after = states_before(weeks, range(20, 22))
    joined = join_states([before, after])
    taken = joined.take(torch.arange(weeks.n, 2 * weeks.n))
    for f in fields(State):
        assert torch.equal(getattr(taken, f.name), getattr(after, f.name)), f.name


@pytest.mark.slow
def test_replaying_the_complete_journey_through_the_market_gives_its_panel_to_the_bit(journey: WeeklyEvents) -> None:
    assert torch.equal(features_in_market(journey), build_panel(journey).features)


@pytest.mark.slow
def test_an_independent_sql_query_finds_the_features_of_the_complete_journey(
    journey: WeeklyEvents, found_in_journey: Table
) -> None:
    np.testing.assert_allclose(build_panel(journey).features.numpy(), found_in_journey, **TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("slip", [lambda spend: 1.002 * spend, lambda spend: spend + 0.05])
def test_the_sql_query_notices_a_slip_in_the_spend_of_the_complete_journey(
    slip: Callable[[Tensor], Tensor],
    journey: WeeklyEvents,
    found_in_journey: Table,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone_wrong(state: State, events: WeekEvents) -> State:
        return advance(state, replace(events, spend=slip(events.spend)))

    monkeypatch.setattr(history.panel, "advance", gone_wrong)
    assert not agrees(journey, found_in_journey)
