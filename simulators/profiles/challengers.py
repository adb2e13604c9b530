"""Other ways to forecast a customer's spend, to judge the chosen one against."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from history.events import WeeklyEvents
from history.features import features
from history.state import State
from simulators.profiles.bg_bb import expected_weeks, fit_bg_bb, weeks_of
from simulators.profiles.bg_nbd import Purchases, expected_purchases, fit_bg_nbd, purchases_of
from simulators.profiles.gamma_gamma import expected_amount, fit_gamma_gamma
from simulators.profiles.lifetime import learning_weeks

Floats = NDArray[np.float64]


def forecast_by_challengers(
    events: WeeklyEvents, states: Sequence[State], customers: NDArray[np.int64], end: int, horizon: int
) -> dict[str, Floats]:
    """Return each challenger's forecast of everyone's spend in the next 26 weeks [currency], each shape (n,).

    All are fitted to `customers` in the weeks before `end`; the arguments are those of `fit_lifetime`.
    """
    active = (events.baskets[:, 1:end] > 0).astype(np.float64)
    spend = events.spend[:, 1:end].astype(np.float64)
    amount = _amounts(active.sum(axis=1), spend.sum(axis=1), customers)
    weeks = weeks_of(active)
    survival = fit_bg_bb(weeks_of(active[customers]))
    rows, bought = purchases_of(active)
    learned = customers[bought[customers]]
    rates = fit_bg_nbd(Purchases(rows.repeats[learned], rows.last[learned], rows.age[learned]))
    return {
        "BG/BB + gamma-gamma": expected_weeks(survival, weeks, 26) * amount,
        "BG/NBD + gamma-gamma": np.where(bought, expected_purchases(rates, rows, 26.0), 0.0) * amount,
        "gradient boosting": 26 * _boost(events, states, customers, end, horizon),
    }


def _amounts(visits: Floats, spend: Floats, customers: NDArray[np.int64]) -> Floats:
    """Return the expected spend of a week with a visit [currency], shape (n,)."""
    mean = spend / np.maximum(visits, 1)
    known = customers[(visits[customers] > 0) & (mean[customers] > 0)]
    return expected_amount(fit_gamma_gamma(visits[known], mean[known]), visits, mean)


def _boost(
    events: WeeklyEvents, states: Sequence[State], customers: NDArray[np.int64], end: int, horizon: int
) -> Floats:
    """Return the median spend per week by trees on all features of the state, shape (n,)."""
    origins = learning_weeks(end, horizon)
    rows = np.concatenate([features(states[week]).numpy()[customers] for week in origins])
    spend = events.spend[customers].astype(np.float64)
    future = np.concatenate([spend[:, week : week + horizon].mean(axis=1) for week in origins])
    trees = HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=100, learning_rate=0.06, max_leaf_nodes=8, min_samples_leaf=40, random_state=0
    ).fit(rows, future)
    result: Floats = np.maximum(trees.predict(features(states[end]).numpy()), 0.0)
    return result
