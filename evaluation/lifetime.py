"""How well customers' value was forecast, judged on customers and weeks never learned from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from evaluation.estimate import estimate_mean, middle_95
from evaluation.response_fit import deciles
from simulators.profiles.demographics import wilson_interval

Floats = NDArray[np.float64]


def judge_forecast(forecast: Floats, naive: Floats, truth: Floats) -> dict[str, Any]:
    """Return the mean absolute error, its gain over a naive forecast with a 95 % interval, bias and rank correlation.

    One row is one customer, so the rows are independent; each array has shape (n,) [currency].
    """
    error, reference = np.abs(forecast - truth), np.abs(naive - truth)
    return {
        "mae": float(error.mean()),
        "gain": estimate_mean(reference - error).to_dict(),
        "bias": float((forecast - truth).mean()),
        "rank_correlation": rank_correlation(forecast, truth),
    }


def judge_quantiles(quantiles: Floats, naive: Floats, truth: Floats) -> dict[str, Any]:
    """Return how a forecast distribution did: the error of its median, CRPS, coverage, its mean by deciles.

    The median is judged by the absolute error, which it minimises, and the mean by the deciles: an absolute error
    favours the median and a mean observation the mean. The naive forecast is a single number, whose CRPS is its
    absolute error.

    Args:
        quantiles: At the midpoints of m equal shares, ascending, shape (n, m) [currency].
        naive: Shape (n,).
        truth: Shape (n,).

    Reference:
        Gneiting, "Making and Evaluating Point Forecasts", JASA 106, 2011; Gneiting & Raftery, "Strictly Proper Scoring
        Rules", JASA 102, 2007.
    """
    middle = quantiles.shape[1] // 2
    median, mean = quantiles[:, middle - 1 : middle + 1].mean(axis=1), quantiles.mean(axis=1)
    score = crps(quantiles, truth)
    inside = (truth >= quantiles[:, 0]) & (truth <= quantiles[:, -1])
    rows = deciles(mean, truth)
    return judge_forecast(median, naive, truth) | {
        "crps": float(score.mean()),
        "crps_gain": estimate_mean(np.abs(naive - truth) - score).to_dict(),
        "coverage": _share(inside),
        "mean": judge_forecast(mean, naive, truth),
        "deciles": rows,
        "deciles_inside": sum(row["lo"] <= row["predicted"] <= row["hi"] for row in rows),
        "observed_mean": float(truth.mean()),
    }


def _share(hits: NDArray[np.bool_]) -> dict[str, float]:
    """Return the share of customers that were hit, with its 95 % interval within [0, 1]."""
    lo, hi = wilson_interval(int(hits.sum()), len(hits))
    return {"value": float(hits.mean()), "lo": lo, "hi": hi}


def crps(quantiles: Floats, truth: Floats) -> Floats:
    """Return the continuous ranked probability score as twice the mean pinball loss, shape (n,)."""
    m = quantiles.shape[1]
    level = (np.arange(m) + 0.5) / m
    miss = truth[:, None] - quantiles
    score: Floats = 2 * np.maximum(level * miss, (level - 1) * miss).mean(axis=1)
    return score


def rank_correlation(one: Floats, other: Floats) -> float:
    """Return Spearman's rank correlation; 0 where either is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one, other).statistic)


def rank_interval(one: Floats, other: Floats, seed: int, resamples: int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the rank correlation over customers."""
    rng = np.random.default_rng(seed)
    samples = [rng.integers(len(one), size=len(one)) for _ in range(resamples)]
    return middle_95([rank_correlation(one[s], other[s]) for s in samples])


def cumulate(spend: Floats) -> list[dict[str, float]]:
    """Return the mean spend per customer added up over weeks, with 95 % intervals, from weekly spend, shape (n, t)."""
    total = np.cumsum(spend, axis=1)
    estimates = [estimate_mean(column) for column in total.T]
    return [{"observed": e.value, "lo": e.lo, "hi": e.hi} for e in estimates]
