"""Recency, frequency, money and rhythm of each customer, in units that people read."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from history.features import spend_per_active_week, spend_rates, visit_rates
from history.state import VISIT_HALF_LIVES, State

Floats = NDArray[np.float64]


def describe_rhythm(state: State, active: Floats, currency: str) -> pd.DataFrame:
    """Return recency, frequency and money at every half-life, and the rhythm of visits; one row per customer.

    Columns: weeks_since_visit; visit_weeks_<h>w, the share of weeks with a visit, and spend_<h>w_<cur>, spend per week,
    at each half-life; spend_per_visit_week_<cur>; weeks_between_visits and regularity as `visit_gaps` defines them.

    Args:
        state: Of n customers after the weeks of `active`.
        active: 1 where a customer visited, shape (n, t).
        currency: Code.
    """
    code = currency.lower()
    visits, spend = visit_rates(state).double().cpu().numpy(), spend_rates(state).double().cpu().numpy()
    columns = {"weeks_since_visit": state.weeks_since_visit.double().cpu().numpy()}
    for i, half_life in enumerate(VISIT_HALF_LIVES):
        columns[f"visit_weeks_{half_life:g}w"] = visits[:, i]
        columns[f"spend_{half_life:g}w_{code}"] = spend[:, i]
    columns[f"spend_per_visit_week_{code}"] = spend_per_active_week(state).double().cpu().numpy()
    columns["weeks_between_visits"], columns["regularity"] = visit_gaps(active)
    return pd.DataFrame(columns)


def visit_gaps(active: Floats) -> tuple[Floats, Floats]:
    """Return the mean weeks between two weeks with a visit, and how regular they are; each shape (n,).

    Regularity is 1 / (1 + CV^2) of the gaps: 1 where all are equal, about 0.5 where visits come at random and seldom.
    With fewer than two visits the gap is the length of the history, with fewer than three the regularity is 0.

    Args:
        active: 1 where a customer visited, shape (n, t).
    """
    weeks = active.shape[1]
    came = active > 0
    position = np.where(came, np.arange(weeks), -1)
    latest = np.maximum.accumulate(position, axis=1)
    before = np.concatenate([np.full((len(came), 1), -1), latest[:, :-1]], axis=1)
    gap = np.where(came & (before >= 0), np.arange(weeks) - before, 0).astype(float)
    count = (gap > 0).sum(axis=1)
    mean = gap.sum(axis=1) / np.maximum(count, 1)
    square = (gap**2).sum(axis=1) / np.maximum(count, 1)
    regularity = np.where(count >= 2, mean**2 / np.maximum(square, 1e-9), 0.0)
    return np.where(count >= 1, mean, float(weeks)), regularity
