"""How well a ranking of customers by expected uplift finds those who respond: Qini and AUUC, with their uncertainty."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evaluation.estimate import middle_95, middle_95_of_each, resample_clusters

Floats = NDArray[np.float64]
POINTS: Final = 21
RESAMPLES: Final = 200


@dataclass(frozen=True, eq=False)
class Ranked:
    """Units of an uplift evaluation, n rows.

    Attributes:
        customer: Whom the row belongs to; rows of one customer are resampled together.
        predicted: Uplift by the model that is judged; it has seen nothing of these rows.
        score: Doubly robust pseudo-outcome of treated less untreated, whose mean is the effect: where who was treated
            was not drawn by lot, plain differences would rank the shop's targeting, not the response.
    """

    customer: NDArray[np.int64]
    predicted: Floats
    score: Floats


def judge_ranking(rows: Ranked, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Any] | None:
    """Return the Qini curve with a 95 % band, the Qini coefficient and the AUUC with intervals; None without rows.

    The curve is the gain per unit of treating the best-ranked share alone; the straight line treats at random. The
    Qini coefficient is the area between the two, the AUUC the area under the curve. Intervals resample customers.

    Reference:
        Radcliffe, "Using control groups to target on predicted lift", 2007; with doubly robust scores as in Yadlowsky
        et al., "Evaluating treatment prioritization rules via rank-weighted average treatment effects", JASA 120, 2025.
    """
    if len(rows.score) < 2 * POINTS:
        return None
    order = np.argsort(-rows.predicted, kind="stable")
    score = rows.score[order]
    shares = np.linspace(0.0, 1.0, POINTS)
    curve = _curve(score, np.ones(len(score)), shares)
    resampled = resample_clusters(rows.customer[order], seed, resamples)
    draws = np.stack([_curve(score, weight, shares) for weight in resampled])
    lo, hi = middle_95_of_each(draws)
    return {
        "share": shares.tolist(),
        "gain": curve.tolist(),
        "lo": lo.tolist(),
        "hi": hi.tolist(),
        "random": (shares * curve[-1]).tolist(),
        "qini": _interval(_area(curve - shares * curve[-1]), [_area(d - shares * d[-1]) for d in draws]),
        "auuc": _interval(_area(curve), [_area(d) for d in draws]),
        "rows": len(score),
        "customers": len(np.unique(rows.customer)),
    }


def _curve(score: Floats, weight: Floats, shares: Floats) -> Floats:
    """Return the gain per unit when the first `shares` of the weighted rows are treated, shape (len(shares),)."""
    reached = np.concatenate([[0.0], np.cumsum(weight)])
    gained = np.concatenate([[0.0], np.cumsum(weight * score)])
    return np.asarray(np.interp(shares * reached[-1], reached, gained) / reached[-1])


def _area(curve: Floats) -> float:
    return float(np.trapezoid(curve, dx=1.0 / (len(curve) - 1)))


def _interval(value: float, draws: list[float]) -> dict[str, float]:
    lo, hi = middle_95(draws)
    return {"value": value, "lo": lo, "hi": hi}
