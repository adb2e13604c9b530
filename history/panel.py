"""The panel: one row per customer and week, features before and outcome in it, by replaying the one physics."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from history.events import WeeklyEvents
from history.features import features
from history.state import State, WeekEvents, advance, initial_state


@dataclass(frozen=True, eq=False)
class Panel:
    """A history of n customers over t weeks.

    Attributes:
        events: What happened, as the history recorded it.
        features: Before each week, shape (n, t, n_features), float32.
    """

    events: WeeklyEvents
    features: Tensor

    @property
    def n_weeks(self) -> int:
        return self.features.shape[1]

    def week(self, position: int) -> WeekEvents:
        """Return the events of one week, by position."""
        return week_events(self.events, position)

    def state_before(self, position: int) -> State:
        """Return the state at the beginning of the week at `position`; `n_weeks` gives the state after the last."""
        *_, last = _replay(self.events, position)
        return last


def build_panel(events: WeeklyEvents) -> Panel:
    """Replay recorded weeks through the state update and note the features before each."""
    n_weeks = events.baskets.shape[1]
    rows = [features(state) for state in _replay(events, n_weeks)]
    return Panel(events, torch.stack(rows[:-1], dim=1))


def states_before(events: WeeklyEvents, positions: range) -> list[State]:
    """Return the states at the beginning of each of the weeks at `positions`, in one replay."""
    return [state for week, state in enumerate(_replay(events, positions.stop - 1)) if week in positions]


def week_events(events: WeeklyEvents, position: int) -> WeekEvents:
    """Cut one week out of the dense events, as tensors on the CPU."""

    def cut(name: str) -> Tensor:
        return torch.from_numpy(getattr(events, name)[:, position].copy())

    return WeekEvents(
        baskets=cut("baskets"),
        spend=cut("spend"),
        promo_spend=cut("promo_spend"),
        saving=cut("saving"),
        redeemed=cut("redeemed"),
        contacted=cut("contacted"),
        exposure=cut("exposure"),
        category_spend=cut("category_spend"),
    )


def _replay(events: WeeklyEvents, weeks: int) -> Iterator[State]:
    """Yield the state before week 0, before week 1, ..., after week `weeks` - 1."""
    state = initial_state(events.baskets.shape[0], events.category_spend.shape[2])
    yield state
    for position in range(weeks):
        state = advance(state, week_events(events, position))
        yield state
