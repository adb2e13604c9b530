"""Can a classifier tell real from simulated lives? The sharpest of the fidelity tests, and the most honest one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from evaluation.fidelity.trajectories import Trajectories
from evaluation.response_fit import auc_interval

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
FOLDS = 5
MOST_CUSTOMERS = 3000
"""Of these a classifier is trained; more would take longer and say the same."""
FAMILIES = ("visits", "baskets", "spend", "promotion")
RESAMPLES = 300


@dataclass(frozen=True, eq=False)
class Samples:
    """Rows to be told apart: features (n, k), label 1 for the second kind (n,), customer (n,)."""

    features: Floats
    label: Codes
    customer: Codes


def describe_lives(lives: Trajectories) -> tuple[Floats, tuple[str, ...]]:
    """Return features of whole trajectories, shape (customers, k), and their names: by week, then summaries.

    Names begin with their family, as in "spend week 3"; a week without spend has promotion share 0.
    """
    share = np.divide(lives.promo_spend, lives.spend, out=np.zeros_like(lives.spend), where=lives.spend > 0)
    weekly = (lives.active, lives.baskets, np.log1p(lives.spend), share)
    columns, names = [], []
    for family, values in zip(FAMILIES, weekly, strict=True):
        columns += [values, values.mean(axis=1, keepdims=True), values.std(axis=1, keepdims=True)]
        names += [f"{family} week {week + 1}" for week in range(lives.weeks)] + [f"{family} mean", f"{family} spread"]
    changes = np.abs(np.diff(lives.active, axis=1)).sum(axis=1, keepdims=True)
    return np.concatenate([*columns, changes], axis=1), (*names, "visits changes")


def judge_two_samples(real: Trajectories, simulated: Trajectories, seed: int) -> dict[str, Any]:
    """Train classifiers to tell recorded from simulated trajectories, and judge them on customers never seen.

    A customer's real and simulated trajectory always stand on the same side of a division.

    Args:
        real: Shape (customers, weeks).
        simulated: One simulated life of each of the same customers, same shape.
        seed: Same seed, same result.

    Returns:
        By classifier its AUC with the 95 % interval over customers and, as floor, the AUC between two disjoint halves
        of the real customers, folded at .5; then what gives the simulation away: the AUC by one family of features
        alone and by all others, and the loss of AUC when one feature is shuffled.

    Reference:
        Lopez-Paz & Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017; the AUC in place of the accuracy.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(real.customers)[:MOST_CUSTOMERS])
    real, simulated = real.take(chosen), simulated.take(chosen)
    (first, names), (second, _) = describe_lives(real), describe_lives(simulated)
    both = Samples(
        np.concatenate([first, second]),
        np.repeat([0, 1], real.customers).astype(np.int64),
        np.tile(np.arange(real.customers), 2),
    )
    result: dict[str, Any] = {"customers": real.customers, "classifiers": {}}
    for kind in ("boosting", "logistic"):
        scores = _held_out_scores(kind, both, seed)
        auc = float(roc_auc_score(both.label, scores))
        lo, hi = auc_interval(both.customer, both.label.astype(np.float64), scores, seed, RESAMPLES)
        result["classifiers"][kind] = {"auc": auc, "lo": lo, "hi": hi, "floor": _floor(kind, first, seed)}
    of = np.array([name.split()[0] for name in names])
    result["families"] = {
        family: {"alone": _auc_by(both, of == family, seed), "without": _auc_by(both, of != family, seed)}
        for family in FAMILIES
    }
    result["giveaways"] = _giveaways(both, names, seed)
    return result


def _classifier(kind: str, seed: int) -> ClassifierMixin:
    if kind == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    return HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.1, max_leaf_nodes=8, min_samples_leaf=20, l2_regularization=1.0, random_state=seed
    )


def _folds(customers: int, seed: int, folds: int = FOLDS) -> Codes:
    """Return the fold of each customer, shape (customers,): all of a customer's rows fall into it."""
    return np.random.default_rng(seed).permutation(np.arange(customers) % folds)


def _held_out_scores(kind: str, rows: Samples, seed: int, folds: int = FOLDS) -> Floats:
    fold = _folds(int(rows.customer.max()) + 1, seed, folds)[rows.customer]
    scores = np.empty(len(rows.label))
    for number in range(folds):
        out = fold == number
        fitted = _classifier(kind, seed).fit(rows.features[~out], rows.label[~out])
        scores[out] = fitted.predict_proba(rows.features[out])[:, 1]
    return scores


def _floor(kind: str, real: Floats, seed: int, times: int = 3) -> float:
    """Return the mean AUC between random halves of the real customers, each folded to at least .5."""
    rng = np.random.default_rng(seed + 1)
    found = []
    for number in range(times):
        label = rng.permutation(np.arange(len(real)) % 2)
        scores = _held_out_scores(kind, Samples(real, label, np.arange(len(real))), seed + number)
        auc = float(roc_auc_score(label, scores))
        found.append(max(auc, 1.0 - auc))
    return float(np.mean(found))


def _auc_by(rows: Samples, columns: NDArray[np.bool_], seed: int) -> float:
    part = Samples(rows.features[:, columns], rows.label, rows.customer)
    return float(roc_auc_score(part.label, _held_out_scores("boosting", part, seed, folds=2)))


def _giveaways(rows: Samples, names: tuple[str, ...], seed: int, most: int = 5) -> list[dict[str, Any]]:
    """Return the features whose shuffling costs the classifier most, on one fold that it has not seen.

    Reference:
        Breiman, "Random Forests", Machine Learning 45, 2001, section 10 (permutation importance).
    """
    out = _folds(int(rows.customer.max()) + 1, seed)[rows.customer] == 0
    fitted = _classifier("boosting", seed).fit(rows.features[~out], rows.label[~out])
    features, label = rows.features[out], rows.label[out]
    whole = float(roc_auc_score(label, fitted.predict_proba(features)[:, 1]))
    order = np.random.default_rng(seed).permutation(len(features))
    losses = []
    for column, name in enumerate(names):
        shuffled = features.copy()
        shuffled[:, column] = features[order, column]
        losses.append((whole - float(roc_auc_score(label, fitted.predict_proba(shuffled)[:, 1])), name))
    return [{"feature": name, "auc_lost": loss} for loss, name in sorted(losses, key=lambda pair: -pair[0])[:most]]
