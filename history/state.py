"""The one physics: how a week's events turn a customer's last state into the next, and what a decision may see.

The panel replays recorded events through `advance`; the market replays simulated ones. SQL only aggregates raw
weekly events, so there is no second definition of a feature to drift away (the tests hold an independent one in SQL).
"""

import math
from dataclasses import dataclass, fields, replace
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

    Averages are raw exponential sums: divide by 1 - decay**weeks_seen to remove the start from zero.
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
        return replace(self, **{f.name: getattr(self, f.name).index_select(0, index) for f in fields(self)})

    def to(self, device: torch.device | str) -> Self:
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def initial_state(n: int, n_categories: int, device: torch.device | str = "cpu") -> State:
    """Return the state of n customers of whom nothing is known yet."""

    def full(value: float, *shape: int) -> Tensor:
        return torch.full((n, *shape), value, dtype=torch.float32, device=device)

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
        recent_contacts=torch.cat([events.contacted.unsqueeze(1), state.recent_contacts[:, :-1]], dim=1),
        category_average=_average(state.category_average, events.category_spend, TASTE_HALF_LIFE),
    )


def _clock(weeks: Tensor, happened: Tensor) -> Tensor:
    return torch.where(happened, torch.zeros_like(weeks), (weeks + 1.0).clamp(max=NEVER))


def _averages(averages: Tensor, value: Tensor) -> Tensor:
    columns = zip(averages.unbind(dim=1), VISIT_HALF_LIVES, strict=True)
    return torch.stack([_average(average, value, half_life) for average, half_life in columns], dim=1)


def _average(average: Tensor, value: Tensor, half_life: float) -> Tensor:
    decay = decay_of(half_life)
    return average * decay + value * (1.0 - decay)


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
