"""Who answers more: doubly robust pseudo-outcomes regressed on what was known before."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from simulators.effects.bundles import Bundles
from simulators.effects.crossfit import LIMIT, Floats, Ints
from simulators.effects.doubly_robust import fit_nuisances, has_overlap, scores

PENALTY: Final = 300.0
"""Ridge penalty, as so many rows that show no difference: pseudo-outcomes are noisy."""
LARGEST: Final = 99.0
"""Percentile at which pseudo-outcomes are held for fitting, not for judging."""


@dataclass(frozen=True, eq=False)
class PseudoOutcomes:
    """Units with overlap: covariates (n, k), pseudo-outcome of spend per week (n,), households (n,)."""

    x: Floats
    score: Floats
    household: Ints


def pseudo_outcomes(bundles: Bundles | None, seed: int) -> PseudoOutcomes | None:
    """Return doubly robust pseudo-outcomes of the units with overlap; None where there are too few."""
    if bundles is None or bundles.after.treated.all() or not bundles.after.treated.any():
        return None
    units = bundles.after
    nuisances = fit_nuisances(units, seed)
    if not has_overlap(units, nuisances):
        return None
    keep = nuisances.overlap
    return PseudoOutcomes(units.x[keep], scores(units, nuisances)[keep, 0], units.household[keep])


def predict_uplift(train: PseudoOutcomes, x: Floats, seed: int) -> dict[str, Floats]:
    """Predict the uplift of other units by two models fitted to pseudo-outcomes (the DR-learner).

    Reference:
        Kennedy, "Towards optimal doubly robust estimation of heterogeneous causal effects", EJS 17(2), 2023.
    """
    edge = float(np.percentile(np.abs(train.score), LARGEST))
    score = np.clip(train.score, -edge, edge)
    trees = HistGradientBoostingRegressor(
        max_iter=40, learning_rate=0.05, max_leaf_nodes=5, min_samples_leaf=100, random_state=seed
    )
    return {
        "ridge": _ridge(train.x, score, x),
        "boosted trees": np.asarray(trees.fit(train.x, score).predict(x), dtype=np.float64),
    }


def _ridge(x: Floats, score: Floats, new: Floats) -> Floats:
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
    z, new = (np.clip((rows - mean) / scale, -LIMIT, LIMIT) for rows in (x, new))
    beta = np.linalg.solve(z.T @ z + PENALTY * np.eye(z.shape[1]), z.T @ (score - score.mean()))
    return np.asarray(score.mean() + new @ beta)
