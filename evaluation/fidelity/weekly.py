"""Weekly totals of a market against the record: bands, and CRPS beside two forecasts that need no market."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.estimate import middle_95
from evaluation.fidelity.trajectories import Trajectories

Floats = NDArray[np.float64]
RECENT_WEEKS = 13
"""Weeks before the held-out ones that the flat forecast stands on."""
REFERENCE_RUNS = 200
"""Copies of the customers behind the forecast by household means."""
SERIES = ("active", "baskets", "spend")


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What is said of one weekly total; the record is never among the inputs.

    Attributes:
        market: Runs of the market, shape (runs, weeks).
        recent: The total in the weeks just before, shape (k,).
        household: Totals of the household forecast, shape (draws, weeks).
    """

    market: Floats
    recent: Floats
    household: Floats


def crps(sample: Floats, truth: Floats) -> Floats:
    """Return the continuous ranked probability score of a sample: lower is better, a point's is its absolute error.

    Args:
        sample: Shape (m, weeks).
        truth: Shape (weeks,).

    Returns:
        E|X - y| - E|X - X'| / 2, in the unit of the truth, shape (weeks,); the second mean is over pairs of different
        draws, so that a sample of 20 and one of 200 from the same forecast have the same expected score.

    Reference:
        Gneiting & Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", JASA 102(477), 2007, eq. 21;
        Ferro, "Fair Scores for Ensemble Forecasts", Quarterly J. of the Royal Meteorological Society 140(683), 2014.
    """
    m = len(sample)
    ordered = np.sort(sample, axis=0)
    weight = 2.0 * np.arange(1, m + 1) - m - 1.0
    spread = (weight[:, None] * ordered).sum(axis=0) / max(m * (m - 1), 1)  # E|X - X'| / 2
    error: Floats = np.abs(sample - truth).mean(axis=0) - spread
    return error


def band(sample: Floats) -> tuple[Floats, Floats]:
    """Return the 90 % prediction band of a sample, each shape (weeks,).

    Limits are at ranks .05 (m + 1) and .95 (m + 1): one more draw of the same world lies inside with chance 90 %. Of 20
    runs that is almost the whole range; interpolation between ranks 1 and m, numpy's default, would hold only 81 %.
    """
    lo, hi = np.quantile(sample, [0.05, 0.95], axis=0, method="weibull")
    return lo, hi


def household_totals(past: Trajectories, weeks: int, seed: int, runs: int = REFERENCE_RUNS) -> dict[str, Floats]:
    """Forecast each household by its own mean: every week is one of its own past weeks, drawn at random.

    So the expected total is the sum of the households' means, and active customers are Poisson-binomial around it.

    Args:
        past: Weeks before the held-out ones, shape (customers, t).
        weeks: Weeks to forecast.
        seed: Same seed, same forecast.
        runs: Draws of all customers.

    Returns:
        Totals by name, each shape (runs, weeks).
    """
    rng = np.random.default_rng(seed)
    rows = np.arange(past.customers)[:, None]
    totals: dict[str, list[Floats]] = {name: [] for name in SERIES}
    for _ in range(runs):
        drawn = rng.integers(past.weeks, size=(past.customers, weeks))
        copy = Trajectories(past.baskets[rows, drawn], past.spend[rows, drawn], past.promo_spend[rows, drawn])
        for name, total in copy.totals().items():
            totals[name].append(total)
    return {name: np.stack(parts) for name, parts in totals.items()}


def compare_weeks(truth: Floats, said: Forecasts) -> dict[str, Any]:
    """Set one weekly total beside its forecasts.

    Returns:
        Per week truth, mean, limits of the band and whether it holds the truth; the band's mean width, as a share of
        the truth too; CRPS of the market and of each reference, with the 95 % interval of the market's gain per week
        (weeks resampled, so that it is narrow where errors of one week go on into the next).
    """
    lo, hi = band(said.market)
    inside = (lo <= truth) & (truth <= hi)
    weeks = len(truth)
    references = {
        "flat": np.broadcast_to(said.recent.mean(), (1, weeks)),
        "flat_with_spread": np.broadcast_to(said.recent[:, None], (len(said.recent), weeks)),
        "household": said.household,
    }
    mine = crps(said.market, truth)
    rows = {name: _against(mine, crps(sample, truth)) for name, sample in references.items()}
    return {
        "truth": truth.tolist(),
        "mean": said.market.mean(axis=0).tolist(),
        "lo": lo.tolist(),
        "hi": hi.tolist(),
        "inside": inside.tolist(),
        "weeks_inside": int(inside.sum()),
        "width": float((hi - lo).mean()),
        "width_share": float((hi - lo).mean() / truth.mean()) if truth.mean() > 0 else None,
        "crps": float(mine.mean()),
        "references": rows,
    }


def _against(mine: Floats, other: Floats) -> dict[str, Any]:
    """Return a reference's CRPS and the market's over it; both exact is a draw."""
    gain = other - mine
    rng = np.random.default_rng(0)
    means = gain[rng.integers(len(gain), size=(1000, len(gain)))].mean(axis=1)
    lo, hi = middle_95(means)
    below = float(other.mean())
    ratio = float(mine.mean()) / below if below > 0 else 1.0 if mine.mean() == 0 else None
    return {
        "crps": below,
        "ratio": ratio,
        "gain": float(gain.mean()),
        "gain_lo": lo,
        "gain_hi": hi,
        "weeks_better": int((gain > 0).sum()),
    }
