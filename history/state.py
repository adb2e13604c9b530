"""The one physics: how a week's events turn a customer's last state into the next, and what a decision may see.

The panel replays recorded events through `advance`; the market replays simulated ones. SQL only aggregates raw
weekly events, so there is no second definition of a feature to drift away (the tests hold an independent one in SQL).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Final, Self

import torch
from torch import Tensor

VISIT_HALF_LIVES: Final = (1.0, 4.0, 13.0, 52.0)
"""Half-lives of the averages of visits and spend [weeks]."""
HABIT_HALF_LIFE: Final = 13.0
"""Half-life of the averages of promotion, coupon and exposure habits [weeks]."""
TASTE_HALF_LIFE: Final = 26.0
"""Half-life of the average of category spend [weeks]."""
PANTRY_HALF_LIFE: Final = 2.0
"""Half-life of what a coupon made a customer buy ahead [weeks]."""
CONTACT_WINDOW: Final = 8
"""Weeks for which single contacts are remembered."""
NEVER: Final = 53.0
"""Weeks since something that has not happened, and the ceiling of that clock."""


@dataclass(frozen=True, eq=False)
class WeekEvents:
    """What happened to n customers in one week; every tensor float32, shape (n,) unless said otherwise."""

    baskets: Tensor  # number of baskets
    spend: Tensor  # paid at shelf prices [USD]
    promo_spend: Tensor  # part of spend on lines with a shelf discount [USD]
    saving: Tensor  # saved by coupons and other targeted offers [USD]
    redeemed: Tensor  # number of redemptions
    contacted: Tensor  # 1 where a targeted offer was sent
    exposure: Tensor  # share of the customer's usual products on feature or display, 0..1
    category_spend: Tensor  # [USD], shape (n, n_categories)


@dataclass(frozen=True, eq=False)
class State:
    """What is remembered of n customers at the end of a week; float32, shape (n,) unless said otherwise.

    Averages are raw exponential sums: divide by 1 - decay**weeks_seen to remove the start from zero. Tables lie in
    memory column by column, as `initial_state` lays them, so that what is done to a column or to a row's sum is quick.
    """

    weeks_seen: Tensor
    weeks_since_visit: Tensor
    weeks_since_contact: Tensor
    weeks_since_redemption: Tensor
    visit_average: Tensor  # (n, len(VISIT_HALF_LIVES))
    spend_average: Tensor  # [USD], (n, len(VISIT_HALF_LIVES))
    basket_average: Tensor
    promo_average: Tensor  # [USD]
    saving_average: Tensor  # [USD]
    redeemed_average: Tensor
    exposure_average: Tensor
    pantry: Tensor  # [USD] bought ahead and not yet used up
    recent_contacts: Tensor  # (n, CONTACT_WINDOW), newest first
    category_average: Tensor  # [USD], (n, n_categories)

    @property
    def n(self) -> int:
        return self.weeks_seen.shape[0]

    @property
    def n_categories(self) -> int:
        return self.category_average.shape[1]

    def take(self, index: Tensor) -> Self:
        """Return the rows named by `index`, shape (m,), int64."""
        return self._each(lambda values: take_rows(values, index))

    def rows(self, part: slice) -> Self:
        """Return a stretch of rows, without a copy."""
        return self._each(lambda values: values[part])

    def to(self, device: torch.device | str) -> Self:
        return self._each(lambda values: values.to(device))

    def columnwise(self) -> Self:
        """Return the same state with its tables laid out column by column."""
        return self._each(columnwise)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        return replace(self, **{f.name: change(getattr(self, f.name)) for f in fields(self)})


def columnwise(values: Tensor) -> Tensor:
    """Lay a table out column by column; its values and shape stay."""
    return values.T.contiguous().T if values.ndim == 2 else values


def take_rows(values: Tensor, index: Tensor) -> Tensor:
    """Return the rows named by `index`, shape (m,), int64, laid out as `values` are."""
    if values.ndim == 2 and values.stride(0) == 1:
        return values.T.index_select(1, index).T
    return values.index_select(0, index)


def initial_state(n: int, n_categories: int, device: torch.device | str = "cpu") -> State:
    """Return the state of n customers of whom nothing is known yet."""

    def full(value: float, *shape: int) -> Tensor:
        return columnwise(torch.full((n, *shape), value, dtype=torch.float32, device=device))

    k = len(VISIT_HALF_LIVES)
    return State(
        weeks_seen=full(0.0),
        weeks_since_visit=full(NEVER),
        weeks_since_contact=full(NEVER),
        weeks_since_redemption=full(NEVER),
        visit_average=full(0.0, k),
        spend_average=full(0.0, k),
        basket_average=full(0.0),
        promo_average=full(0.0),
        saving_average=full(0.0),
        redeemed_average=full(0.0),
        exposure_average=full(0.0),
        pantry=full(0.0),
        recent_contacts=full(0.0, CONTACT_WINDOW),
        category_average=full(0.0, n_categories),
    )


def decay_of(half_life: float) -> float:
    """Return the weekly factor of an exponential average with this half-life [weeks]."""
    return math.exp(-math.log(2.0) / half_life)


def advance(state: State, events: WeekEvents) -> State:
    """Turn last week's state and this week's events into this week's state."""
    visited = events.baskets > 0
    visit = visited.to(torch.float32)
    newest = events.contacted.unsqueeze(0)
    return State(
        weeks_seen=state.weeks_seen + 1.0,
        weeks_since_visit=_clock(state.weeks_since_visit, visited),
        weeks_since_contact=_clock(state.weeks_since_contact, events.contacted > 0),
        weeks_since_redemption=_clock(state.weeks_since_redemption, events.redeemed > 0),
        visit_average=_averages(state.visit_average, visit),
        spend_average=_averages(state.spend_average, events.spend),
        basket_average=_average(state.basket_average, events.baskets, HABIT_HALF_LIFE),
        promo_average=_average(state.promo_average, events.promo_spend, HABIT_HALF_LIFE),
        saving_average=_average(state.saving_average, events.saving, HABIT_HALF_LIFE),
        redeemed_average=_average(state.redeemed_average, events.redeemed, HABIT_HALF_LIFE),
        exposure_average=_average(state.exposure_average, events.exposure, HABIT_HALF_LIFE),
        pantry=state.pantry * decay_of(PANTRY_HALF_LIFE) + events.saving,
        recent_contacts=torch.cat([newest, state.recent_contacts.T[:-1]]).T,
        category_average=_average(state.category_average, events.category_spend, TASTE_HALF_LIFE),
    )


def _clock(weeks: Tensor, happened: Tensor) -> Tensor:
    return (weeks + 1.0).clamp_(max=NEVER).mul_(~happened)


def _averages(averages: Tensor, value: Tensor) -> Tensor:
    return torch.lerp(averages, value.unsqueeze(1), visit_gains(averages.device))


def _average(average: Tensor, value: Tensor, half_life: float) -> Tensor:
    return torch.lerp(average, value, 1.0 - decay_of(half_life))


@cache
def visit_gains(device: torch.device) -> Tensor:
    """Return how much a week counts in the averages of `VISIT_HALF_LIVES`, shape (k,), kept on each device."""
    return torch.tensor([1.0 - decay_of(half_life) for half_life in VISIT_HALF_LIVES], device=device)


def join_states(states: list[State]) -> State:
    """Stack the rows of several states."""
    return State(**{f.name: torch.cat([getattr(state, f.name) for state in states]) for f in fields(State)})


def where_state(condition: Tensor, one: State, other: State) -> State:
    """Take the rows of `one` where `condition`, shape (n,), holds, else those of `other`."""

    def pick(name: str) -> Tensor:
        first = getattr(one, name)
        return torch.where(condition.view(-1, *[1] * (first.ndim - 1)), first, getattr(other, name))

    return State(**{f.name: pick(f.name) for f in fields(State)})


def interleave_states(states: list[State]) -> State:
    """Stack p states of the same n customers so that a customer's p rows are contiguous, n * p rows."""

    def mix(name: str) -> Tensor:
        return torch.stack([getattr(state, name) for state in states], dim=1).flatten(0, 1)

    return State(**{f.name: mix(f.name) for f in fields(State)})
