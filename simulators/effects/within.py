"""Regression within units and times: what moves one unit from week to week, beyond what moves all of them."""

from typing import Final

import numpy as np

from simulators.effects.crossfit import Floats, Ints
from simulators.effects.inference import Effect, effect_of

SWEEPS: Final = 50
FEWEST_ROWS: Final = 200


def within_effects(outcome: Floats, regressors: Floats, unit: Ints, time: Ints, cluster: Ints) -> list[Effect] | None:
    """Return the slopes of a regression with unit and time effects; None without variation to learn from.

    Args:
        outcome: Shape (n,).
        regressors: Shape (n, k), no gaps.
        unit, time: Groups whose means are swept out, shape (n,).
        cluster: Rows of one cluster are alike, shape (n,).

    Returns:
        One effect per regressor, its interval clustered.

    Reference:
        Frisch & Waugh, Econometrica 1(4), 1933; means swept out by alternating projections as in Guimarães & Portugal,
        Stata Journal 10(4), 2010.
    """
    swept = within_fit(outcome, regressors, unit, time)
    if swept is None:
        return None
    slopes, influence = swept
    return [effect_of(influence[:, j], float(slopes[j]), cluster) for j in range(len(slopes))]


def within_fit(outcome: Floats, regressors: Floats, unit: Ints, time: Ints) -> tuple[Floats, Floats] | None:
    """Return the slopes, shape (k,), and each row's influence on them, shape (n, k); None without variation."""
    if len(outcome) < FEWEST_ROWS:
        return None
    columns = np.column_stack([outcome, regressors])
    swept = _sweep(columns - columns.mean(axis=0), _codes(unit), _codes(time))
    y, x = swept[:, 0], swept[:, 1:]
    spread = x.std(axis=0)
    if float(y.std()) < 1e-9 or float(spread.min()) < 1e-6:
        return None
    gram = x.T @ x
    if float(np.linalg.cond(gram / np.outer(spread, spread) / len(x))) > 1e8:
        return None
    inverse = np.linalg.inv(gram)
    slopes = inverse @ x.T @ y
    return slopes, (x * (y - x @ slopes)[:, None]) @ inverse


def ratio_of_slopes(slopes: Floats, influence: Floats, top: int, bottom: int, cluster: Ints) -> Effect:
    """Return one slope over another, with its interval by the delta method."""
    ratio = float(slopes[top] / slopes[bottom])
    moved = (influence[:, top] - ratio * influence[:, bottom]) / slopes[bottom]
    return effect_of(moved, ratio, cluster)


def _sweep(columns: Floats, unit: Ints, time: Ints) -> Floats:
    units, times = np.bincount(unit), np.bincount(time)
    swept = np.empty_like(columns)
    for j in range(columns.shape[1]):
        column = columns[:, j]
        for _ in range(SWEEPS):
            column = column - (np.bincount(unit, column) / units)[unit]
            shift = (np.bincount(time, column) / times)[time]
            column = column - shift
            if float(np.abs(shift).max()) < 1e-9:
                break
        swept[:, j] = column
    return swept


def _codes(group: Ints) -> Ints:
    return np.unique(group, return_inverse=True)[1].astype(np.int64)
