"""What a planner would reach for: boosted trees and a random forest, judged on the same rows as the market's model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.metrics import log_loss, roc_auc_score

Floats = NDArray[np.float64]
EDGE: Final = 1e-4
BOOSTED: Final = {"max_iter": 80, "learning_rate": 0.08, "max_leaf_nodes": 12, "min_samples_leaf": 100}
FOREST: Final = {"n_estimators": 40, "max_depth": 9, "min_samples_leaf": 50, "max_samples": 0.3, "n_jobs": 1}
NAMES: Final = ("boosted trees", "random forest")


@dataclass(frozen=True, eq=False)
class Weeks:
    """Customer-weeks: features before them (n, k), whether there was a visit, and the spend [currency], shape (n,)."""

    features: Floats
    visited: NDArray[np.bool_]
    spend: Floats


def compare_models(
    train: Weeks, test: Weeks, others: Mapping[str, tuple[Floats, Floats]], seed: int
) -> list[dict[str, Any]]:
    """Fit the trees on the training rows and judge them beside the `others` on the test rows.

    Args:
        train: Rows to fit on.
        test: Rows of other customers and later weeks.
        others: Predictions for the test rows by model: chance of a visit, spend of a week with a visit [currency].
        seed: Of the trees.

    Returns:
        Per model: log-loss and AUC of a visit, mean absolute error of the spend of a week with a visit and of a week.
    """
    models = {**others, **_trees(train, test, seed)}
    return [{"model": name, **_figures(test, *predicted)} for name, predicted in models.items()]


def _trees(train: Weeks, test: Weeks, seed: int) -> dict[str, tuple[Floats, Floats]]:
    """Return chance and spend by boosted trees and by a forest; means where there is nothing to tell apart."""
    seen = train.visited & (train.spend > 0)
    if len(np.unique(train.visited)) < 2 or int(seen.sum()) < 200:
        return {}
    classifiers = (
        HistGradientBoostingClassifier(**BOOSTED, random_state=seed),
        RandomForestClassifier(**FOREST, random_state=seed),
    )
    regressors = (
        HistGradientBoostingRegressor(**BOOSTED, random_state=seed),
        RandomForestRegressor(**FOREST, random_state=seed),
    )
    result = {}
    for name, classifier, regressor in zip(NAMES, classifiers, regressors, strict=True):
        chance = classifier.fit(train.features, train.visited).predict_proba(test.features)[:, 1]
        spend = regressor.fit(train.features[seen], train.spend[seen]).predict(test.features)
        result[name] = (chance, spend)
    return result


def _figures(test: Weeks, chance: Floats, spend: Floats) -> dict[str, float | None]:
    clipped = np.clip(chance, EDGE, 1.0 - EDGE)
    both = len(np.unique(test.visited)) == 2
    seen = test.visited
    return {
        "log_loss": float(log_loss(test.visited, clipped, labels=[False, True])),
        "auc": float(roc_auc_score(test.visited, clipped)) if both else None,
        "spend_error": float(np.abs(spend[seen] - test.spend[seen]).mean()) if seen.any() else None,
        "week_error": float(np.abs(chance * spend - test.spend).mean()),
    }
