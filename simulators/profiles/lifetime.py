"""What customers will be worth: fits of the spend distribution and of survival, and the forecasts they give."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from history.events import WeeklyEvents
from history.state import State
from simulators.profiles.bg_bb import BgBb, chance_alive, expected_weeks, fit_bg_bb, weeks_of
from simulators.profiles.spend_quantiles import SpendQuantiles, fit_spend_quantiles, forecast_spend, past_spend

Floats = NDArray[np.float64]
HALF_YEAR = 26
FEWEST = 100
"""Training customers with a purchase below which nothing is fitted."""
SETTLED = 8
"""Weeks of history before which a customer's averages say too little to learn from."""
SPREAD, EVERY = 6, 2
"""Customers are learned from as they stood at the last possible week and every second of the six before it."""


@dataclass(frozen=True, eq=False)
class Lifetime:
    """How customers spend and stay, as fitted up to some week; `spend` is None where the history is too thin."""

    spend: SpendQuantiles | None
    survival: BgBb


@dataclass(frozen=True, eq=False)
class Value:
    """What n customers are worth; money in the history's currency at shelf prices.

    Attributes:
        half_year: Quantiles of spend in the next 26 weeks, ascending, shape (n, 20).
        year_ratio: Spend in 52 weeks as a multiple of that in 26: 2 less who will have left, shape (n,).
        alive: Chance of still being a customer, shape (n,).
    """

    half_year: Floats
    year_ratio: Floats
    alive: Floats


def fit_lifetime(
    events: WeeklyEvents, states: Sequence[State], customers: NDArray[np.int64], end: int, horizon: int
) -> Lifetime:
    """Fit to some customers' weeks before position `end`; the first week, which may be partial, counts for no visit.

    Args:
        events: What happened.
        states: Before each week, at least up to `end`.
        customers: Positions of the customers.
        end: Position of the first week that is not learned from.
        horizon: Weeks ahead that spend is learned for.
    """
    active = (events.baskets[customers, 1:end] > 0).astype(np.float64)
    survival = fit_bg_bb(weeks_of(active))
    origins = learning_weeks(end, horizon)
    bought = (events.spend[customers, :end] > 0).any(axis=1).sum()
    if not len(origins) or bought < FEWEST:
        return Lifetime(None, survival)
    past = np.concatenate([past_spend(states[week])[customers] for week in origins])
    spend = events.spend[customers].astype(np.float64)
    future = np.concatenate([spend[:, week : week + horizon].mean(axis=1) for week in origins])
    return Lifetime(fit_spend_quantiles(past, future), survival)


def learning_weeks(end: int, horizon: int) -> range:
    """Return the positions from which `horizon` weeks are learned; empty for a short history."""
    last = end - horizon
    first = max(last - SPREAD, SETTLED + (last - SETTLED) % EVERY)
    return range(first, last + 1, EVERY) if horizon > 0 else range(0)


def value_customers(fit: Lifetime, state: State, active: Floats) -> Value:
    """Forecast every customer's value.

    Without a fitted distribution the recent spend goes on, give or take all of it: a convention, not an estimate.

    Args:
        fit: Of training customers.
        state: Of n customers now.
        active: 1 where they visited in the weeks until now, shape (n, t).
    """
    weeks = weeks_of(active)
    near, far = (expected_weeks(fit.survival, weeks, ahead) for ahead in (HALF_YEAR, 2 * HALF_YEAR))
    if fit.spend is None:
        per_week: Floats = past_spend(state)[:, -1:] * np.linspace(0.0, 2.0, 20)
    else:
        per_week = forecast_spend(fit.spend, state).cpu().numpy()
    alive = np.clip(chance_alive(fit.survival, weeks), 0.0, 1.0)
    return Value(HALF_YEAR * per_week, far / np.maximum(near, 1e-12), alive)
