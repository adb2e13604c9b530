"""The distribution of what a customer will spend, as twenty quantiles that rise with what they spent before."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor

from history.features import spend_rates
from history.state import VISIT_HALF_LIVES, State

Floats = NDArray[np.float64]
LEVELS = tuple((i + 0.5) / 20 for i in range(20))
"""Midpoints of twenty equal shares: the quantiles' mean is that of the distribution, the outermost two hold 95 %."""
HALF_LIVES = VISIT_HALF_LIVES[1:]
"""Of the averages of spend that the quantiles rise with [weeks]; a single week's spend says no more than noise."""
SMOOTHING = 0.01
"""Share of the mean spend over which the corner of the pinball loss is rounded, so that it has a gradient."""


@dataclass(frozen=True, eq=False)
class SpendQuantiles:
    """Linear quantiles of future spend per week.

    Attributes:
        weights: Constant [currency per week], then one weight >= 0 per half-life; shape (20, 1 + len(HALF_LIVES)),
            float64.
    """

    weights: Tensor


def fit_spend_quantiles(past: Floats, future: Floats) -> SpendQuantiles:
    """Fit every level by the pinball loss, weights of past spend never negative: more spend never forecasts less.

    Args:
        past: Averages of spend at `HALF_LIVES` [currency per week], shape (n, len(HALF_LIVES)).
        future: Spend of the weeks after [currency per week], shape (n,).

    Reference:
        Koenker & Bassett, "Regression Quantiles", Econometrica 46(1), 1978.
    """
    scale = max(float(future.mean()), 1e-9)
    design = np.concatenate([np.ones((len(past), 1)), past / scale], axis=1)
    rows = [_fit_level(design, future / scale, level) for level in LEVELS]
    weights = np.stack(rows)
    weights[:, 0] *= scale
    return SpendQuantiles(torch.from_numpy(weights))


def forecast_spend(model: SpendQuantiles, state: State) -> Tensor:
    """Return the quantiles of the future spend per week [currency], ascending, shape (n, 20), float64."""
    rates = spend_rates(state)[:, 1:].double()
    constant, slope = model.weights[:, 0].to(rates.device), model.weights[:, 1:].to(rates.device)
    return (rates @ slope.T + constant).clamp(min=0.0).sort(dim=1).values


def past_spend(state: State) -> Floats:
    """Return the averages of spend that the model is fitted to, shape (n, len(HALF_LIVES))."""
    rates: Floats = spend_rates(state)[:, 1:].double().cpu().numpy()
    return rates


def _fit_level(design: Floats, future: Floats, level: float) -> Floats:
    def loss(weights: Floats) -> tuple[float, Floats]:
        residual = future - design @ weights
        value = level * residual + SMOOTHING * np.logaddexp(0.0, -residual / SMOOTHING)
        slope = level - expit(-residual / SMOOTHING)
        return float(value.mean()), -(design * slope[:, None]).mean(axis=0)

    past = design.shape[1] - 1
    start = np.array([0.0, *[2 * level / (past * 1.5)] * past])
    bounds = [(None, None), *[(0.0, None)] * past]
    found: Floats = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500}).x
    return found
