"""How many segments: as many as come out the same in other samples and lie as far apart as the best."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.profiles.segments import cluster

Floats = NDArray[np.float64]
MOST = 9
STABLE = 0.8
"""Least median adjusted Rand index between the segments and those of a resample."""
NEAR_BEST = 0.9
"""Share of the best stable silhouette that more segments must keep."""
FEWEST_ROWS = 100
"""Distinct customers below which no segments are told apart."""
FEWEST = 3
"""Least number taken where one is stable: two segments only tell busy customers from quiet ones."""
RULE = (
    "Those numbers of segments count as stable whose median adjusted Rand index over bootstrap fits is at least "
    f"{STABLE}. Of {FEWEST} to {MOST} the largest stable one is taken whose silhouette is at least "
    f"{100 * NEAR_BEST:.0f} % of the best stable one; two only tell busy customers from quiet ones and are taken where "
    "no larger number is stable."
)


@dataclass(frozen=True)
class Trial:
    """How well one number of segments does.

    Attributes:
        k: Number of segments.
        silhouette: Mean silhouette of the training customers, -1..1.
        stability: Median adjusted Rand index with the fits on resampled customers, at most 1.
        lo, hi: 10 % and 90 % of those indices.
    """

    k: int
    silhouette: float
    stability: float
    lo: float
    hi: float


def try_counts(z: Floats, seed: int, resamples: int = 20) -> list[Trial]:
    """Cluster standardised rows, shape (n, d), into 2 to 9 segments; [] where too few rows differ."""
    if len(np.unique(z.round(6), axis=0)) < FEWEST_ROWS:
        return []
    rng = np.random.default_rng(seed)
    samples = [rng.integers(len(z), size=len(z)) for _ in range(resamples)]
    return [_try(z, k, samples, seed) for k in range(2, MOST + 1)]


def choose_count(trials: list[Trial]) -> int:
    """Apply `RULE`; 1 where no number of segments is stable."""
    stable = [trial for trial in trials if trial.stability >= STABLE and trial.silhouette > 0]
    if not stable:
        return 1
    enough = [trial for trial in stable if trial.k >= FEWEST] or stable
    best = max(trial.silhouette for trial in enough)
    return max(trial.k for trial in enough if trial.silhouette >= NEAR_BEST * best)


def nearest(z: Floats, centroids: Floats) -> NDArray[np.int64]:
    """Return the nearest centroid of each row, shape (n,)."""
    own: NDArray[np.int64] = ((z[:, None, :] - centroids[None]) ** 2).sum(axis=2).argmin(axis=1)
    return own


def _try(z: Floats, k: int, samples: list[NDArray[np.int64]], seed: int) -> Trial:
    from sklearn.metrics import adjusted_rand_score, silhouette_score  # a second that other verbs need not wait

    labels = nearest(z, cluster(z, k, seed, starts=5))
    again = [nearest(z, cluster(z[sample], k, seed + i, starts=2)) for i, sample in enumerate(samples, 1)]
    index = [float(adjusted_rand_score(labels, other)) for other in again]
    lo, middle, hi = np.quantile(index, [0.1, 0.5, 0.9])
    silhouette = float(silhouette_score(z, labels)) if len(np.unique(labels)) > 1 else 0.0
    return Trial(k, silhouette, float(middle), float(lo), float(hi))
