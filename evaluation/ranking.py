"""How good a ranking is: recall, NDCG and precision of the first ten, per customer, and how much is ever shown."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evaluation.estimate import Estimate, estimate_mean

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

MEASURES: Final = ("recall", "ndcg", "precision")


@dataclass(frozen=True, eq=False)
class Ranking:
    """Measures of the first k of a list per row, each shape (n,), float64; rows without anything relevant have NaN.

    Attributes:
        recall: Share of what is relevant that is among the first k.
        ndcg: Discounted gain over that of the best possible list.
        precision: Share of the first k that is relevant.
        shown: What was shown at least once, shape (m,), bool.
        candidates: What could have been shown to anybody, shape (m,), bool.
    """

    recall: NDArray[np.float64]
    ndcg: NDArray[np.float64]
    precision: NDArray[np.float64]
    shown: Flags
    candidates: Flags

    @property
    def coverage(self) -> float:
        """Share of the candidates that were shown to anybody."""
        return float(self.shown.sum() / max(int(self.candidates.sum()), 1))


def rank(scores: Floats, relevant: Flags, candidates: Flags, k: int = 10) -> Ranking:
    """Rank the candidates of n rows by score and compare the first k with what is relevant.

    Args:
        scores: Shape (n, m); of equal scores the earlier column comes first.
        relevant: Shape (n, m); what is no candidate does not count.
        candidates: Shape (n, m).
        k: Length of the list; a row with fewer candidates gets a shorter one, and empty places are misses.

    Reference:
        Järvelin & Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques", ACM TOIS 20(4), 2002.
    """
    k = min(k, scores.shape[1])
    top = _first(np.where(candidates, scores, -np.inf), k)
    listed = np.take_along_axis(candidates, top, axis=1)
    hit = np.take_along_axis(relevant, top, axis=1) & listed
    count = (relevant & candidates).sum(axis=1)
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    best = np.cumsum(discount)[np.clip(count, 1, k) - 1]
    judged = np.where(count > 0, 1.0, np.nan)
    shown = np.zeros(scores.shape[1], dtype=bool)
    shown[top[listed & (count > 0)[:, None]]] = True
    return Ranking(
        recall=judged * hit.sum(axis=1) / np.maximum(count, 1),
        ndcg=judged * (hit * discount).sum(axis=1) / best,
        precision=judged * hit.mean(axis=1),
        shown=shown,
        candidates=np.asarray(candidates.any(axis=0), dtype=bool),
    )


def _first(scores: Floats, k: int) -> NDArray[np.int64]:
    """Return the columns of the k highest scores of each row, best first, shape (n, k)."""
    near = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(scores, near, axis=1), axis=1, kind="stable")
    return np.take_along_axis(near, order, axis=1).astype(np.int64)


def estimates(ranking: Ranking, customer: NDArray[np.int64]) -> dict[str, Any]:
    """Return each measure's mean over customers with its interval, and the coverage, as plain data.

    Args:
        ranking: One row per list.
        customer: Whose list each row is, shape (n,): rows of one customer are averaged first.
    """
    found = {name: clustered_mean(getattr(ranking, name), customer) for name in MEASURES}
    return {**{name: _plain(mean and _as_share(mean)) for name, mean in found.items()}, "coverage": ranking.coverage}


def differences(ranking: Ranking, baseline: Ranking, customer: NDArray[np.int64]) -> dict[str, Any]:
    """Return the mean of each measure over that of a baseline, paired by customer."""
    return {
        name: _plain(clustered_mean(getattr(ranking, name) - getattr(baseline, name), customer)) for name in MEASURES
    }


def clustered_mean(values: NDArray[np.float64], customer: NDArray[np.int64]) -> Estimate | None:
    """Estimate the mean over customers of their mean over rows; None where fewer than two customers have a value."""
    has = ~np.isnan(values)
    _, place = np.unique(customer[has], return_inverse=True)
    count = np.bincount(place)
    if len(count) < 2:
        return None
    return estimate_mean(np.bincount(place, values[has]) / count)


def _as_share(mean: Estimate) -> Estimate:
    """Cut the interval of a mean share to [0, 1]: the normal one of a share near 1 reaches beyond."""
    return replace(mean, lo=max(mean.lo, 0.0), hi=min(mean.hi, 1.0))


def _plain(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.to_dict()
