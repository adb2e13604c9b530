"""Shapes of customers' lives, simulated against recorded: gaps, baskets, autocorrelation, migration."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp, wasserstein_distance

from evaluation.fidelity.trajectories import Trajectories

Floats = NDArray[np.float64]
Assign = Callable[[Trajectories], NDArray[np.int64]]
"""Puts each customer into a segment by some weeks of theirs, shape (..., customers)."""
LAGS = 6
HALVES = 20
"""Random divisions of the real customers behind a floor."""
RHYTHMS = ("away", "occasional", "every other week", "weekly")


def gaps_of(lives: Trajectories) -> Floats:
    """Return the weeks from each week with a visit to the same customer's next, pooled."""
    visits = (lives.baskets > 0).reshape(-1, lives.weeks)
    row, week = np.nonzero(visits)
    same = row[1:] == row[:-1]
    gaps: Floats = (week[1:] - week[:-1])[same].astype(np.float64)
    return gaps


def basket_values_of(lives: Trajectories) -> Floats:
    """Return the mean spend per basket of each week with a visit [currency], pooled."""
    seen = lives.baskets > 0
    values: Floats = lives.spend[seen] / lives.baskets[seen]
    return values


def baskets_of(lives: Trajectories) -> Floats:
    """Return the number of baskets of each week with a visit, pooled."""
    return lives.baskets[lives.baskets > 0]


SHAPES: Mapping[str, Callable[[Trajectories], Floats]] = {
    "gap": gaps_of,
    "basket_value": basket_values_of,
    "baskets": baskets_of,
}


def compare_shape(
    of: Callable[[Trajectories], Floats], real: Trajectories, simulated: Trajectories, seed: int
) -> dict[str, Any] | None:
    """Return distances between recorded and simulated cases, with those between halves of the customers as floor.

    Returns:
        Kolmogorov-Smirnov and Wasserstein distance (a share of the recorded mean), their floors (medians over random
        halves, which hold fewer cases and so lie above what the whole sample would give), and both distribution
        functions at the recorded quantiles; None where either side has fewer than ten cases.
    """
    recorded, told = of(real), of(simulated)
    if min(len(recorded), len(told)) < 10:
        return None
    scale = max(float(np.abs(recorded).mean()), 1e-9)
    floors = [_distances(of(one), of(other), scale) for one, other in halves(real, seed)]
    ks, moved = _distances(recorded, told, scale)
    at = np.unique(np.quantile(recorded, np.linspace(0.0, 0.99, 34)))
    return {
        "ks": ks,
        "wasserstein": moved,
        "ks_floor": float(np.median([floor[0] for floor in floors])),
        "wasserstein_floor": float(np.median([floor[1] for floor in floors])),
        "at": at.tolist(),
        "recorded": _share_up_to(recorded, at),
        "simulated": _share_up_to(told, at),
        "recorded_mean": float(recorded.mean()),
        "simulated_mean": float(told.mean()),
    }


def halves(real: Trajectories, seed: int, times: int = HALVES) -> list[tuple[Trajectories, Trajectories]]:
    """Return random divisions of the customers into two disjoint halves."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(real.customers) for _ in range(times)]
    middle = real.customers // 2
    return [(real.take(order[:middle]), real.take(order[middle:])) for order in orders]


def _distances(one: Floats, other: Floats, scale: float) -> tuple[float, float]:
    if min(len(one), len(other)) == 0:
        return 0.0, 0.0
    return float(ks_2samp(one, other, method="asymp").statistic), float(wasserstein_distance(one, other)) / scale


def _share_up_to(values: Floats, at: Floats) -> list[float]:
    shares: list[float] = (np.searchsorted(np.sort(values), at, side="right") / len(values)).tolist()
    return shares


def autocorrelation(series: Floats, lags: int = LAGS) -> Floats:
    """Return the mean over customers of each one's autocorrelation, shape (lags,); of a constant series there is none.

    Args:
        series: Shape (..., weeks); weeks > lags.
        lags: 1 to this.

    Reference:
        Box & Jenkins, "Time Series Analysis", 1976, eq. 2.1.12; short series bias it down, on both sides alike.
    """
    centred = series - series.mean(axis=-1, keepdims=True)
    power = (centred**2).sum(axis=-1)
    moves = power > 1e-9
    if not moves.any():
        return np.zeros(lags)
    weeks = series.shape[-1]
    shifted = [(centred[..., lag:] * centred[..., : weeks - lag]).sum(axis=-1) for lag in range(1, lags + 1)]
    return np.array([(product[moves] / power[moves]).mean() for product in shifted])


MEMORIES: Mapping[str, Callable[[Trajectories], Floats]] = {
    "visits": lambda lives: lives.active,
    "log_spend": lambda lives: np.log1p(lives.spend),
}


def compare_autocorrelation(real: Trajectories, simulated: Trajectories, seed: int) -> dict[str, Any]:
    """Return the autocorrelation of visits and of log spend at each lag on both sides, and the mean difference."""
    compared: dict[str, Any] = {}
    for name, of in MEMORIES.items():
        recorded, told = autocorrelation(of(real)), autocorrelation(of(simulated))
        floors = [
            np.abs(autocorrelation(of(one)) - autocorrelation(of(other))).mean() for one, other in halves(real, seed)
        ]
        compared[name] = {
            "recorded": recorded.tolist(),
            "simulated": told.tolist(),
            "difference": float(np.abs(recorded - told).mean()),
            "floor": float(np.median(floors)),
        }
    return compared


def by_rhythm(lives: Trajectories) -> NDArray[np.int64]:
    """Put customers into `RHYTHMS` by their share of weeks with a visit, with the limits that profiles use."""
    segment: NDArray[np.int64] = np.digitize(lives.active.mean(axis=-1), [1e-9, 0.35, 0.75])
    return segment


def compare_migration(real: Trajectories, simulated: Trajectories, assign: Assign, seed: int) -> dict[str, float]:
    """Return the share of customers in the same segment in the first and in the last half of the weeks."""
    recorded = _staying(real, assign)
    floors = [abs(_staying(one, assign) - _staying(other, assign)) for one, other in halves(real, seed)]
    told = _staying(simulated, assign)
    return {
        "recorded": recorded,
        "simulated": told,
        "difference": abs(recorded - told),
        "floor": float(np.median(floors)),
    }


def _staying(lives: Trajectories, assign: Assign) -> float:
    middle = lives.weeks // 2
    first = Trajectories(*(a[..., :middle] for a in (lives.baskets, lives.spend, lives.promo_spend)))
    last = Trajectories(*(a[..., -middle:] for a in (lives.baskets, lives.spend, lives.promo_spend)))
    return float((assign(first) == assign(last)).mean())
