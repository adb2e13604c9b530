"""Cross-fitting: every unit's nuisance predictions come from models that saw nothing of its household."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Fit = Callable[[Floats, Floats], Callable[[Floats], Floats]]
"""Takes rows (n, k) and targets (n,) or (n, m); returns a function from rows to predictions."""

FOLDS: Final = 3
LIMIT: Final = 4.0
"""Standardised covariates are held within this many standard deviations."""


def fold_of(cluster: Ints, seed: int, folds: int = FOLDS) -> Ints:
    """Return the fold of each row, shape (n,): rows of one cluster share it, folds are of about equal size."""
    _, code = np.unique(cluster, return_inverse=True)
    n = int(code.max()) + 1 if len(code) else 0
    place = np.random.default_rng(seed).permutation(n) % folds
    return place[code].astype(np.int64)


def curved(x: Floats) -> Floats:
    """Return standardised covariates, then their squares; constant columns are left out, shape (n, 2k)."""
    scale = x.std(axis=0)
    z = (x - x.mean(axis=0))[:, scale > 1e-9] / scale[scale > 1e-9]
    z = np.clip(z, -LIMIT, LIMIT)
    return np.concatenate([z, z**2 - 1.0], axis=1)


def dummies(group: Ints) -> Floats:
    """Return one 0/1 column per group, shape (n, groups): they also stand for the constant."""
    names, code = np.unique(group, return_inverse=True)
    return np.eye(len(names))[code]


def ridge(penalty: float = 3.0) -> Fit:
    """Return a ridge regression towards the mean of the targets; several targets are fitted at once."""

    def fit(x: Floats, y: Floats) -> Callable[[Floats], Floats]:
        gram = x.T @ x + penalty * np.eye(x.shape[1])
        mean = y.mean(axis=0)
        beta = np.linalg.solve(gram, x.T @ (y - mean))
        return lambda rows: np.asarray(mean + rows @ beta)

    return fit


def logistic(penalty: float = 3.0, steps: int = 30) -> Fit:
    """Return a ridge logistic regression towards the mean of the targets, by Newton's method; of probabilities.

    Drawn towards one half instead, rare events come out too likely where rows are few. A step that does not lower the
    loss is halved: of rare events whole steps run away.
    """

    def fit(x: Floats, y: Floats) -> Callable[[Floats], Floats]:
        beta, unit = np.zeros(x.shape[1]), penalty * np.eye(x.shape[1])
        share = np.clip(y.mean(), 1e-4, 1.0 - 1e-4)
        centre = np.log(share / (1.0 - share))

        def loss(at: Floats) -> float:
            logit = centre + x @ at
            return float(np.logaddexp(0.0, logit).sum() - y @ logit + penalty * (at @ at) / 2.0)

        now = loss(beta)
        for _ in range(steps):
            p = sigmoid(centre + x @ beta)
            step = np.linalg.solve((x * (p * (1.0 - p))[:, None]).T @ x + unit, x.T @ (y - p) - penalty * beta)
            while (then := loss(beta + step)) > now and float(np.abs(step).max(initial=0.0)) > 1e-6:
                step = step / 2.0
            beta, now = beta + step, then
            if float(np.abs(step).max(initial=0.0)) < 1e-6:
                break
        return lambda rows: sigmoid(centre + rows @ beta)

    return fit


def sigmoid(logit: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0))))


def cross_fit(fit: Fit, x: Floats, y: Floats, fold: Ints, learn: Flags) -> Floats:
    """Predict every row by a model of the other folds' rows.

    Args:
        fit: The learner.
        x: Rows, shape (n, k).
        y: Targets, shape (n,) or (n, m).
        fold: Shape (n,).
        learn: Which rows may be learned from, shape (n,).

    Returns:
        Predictions in the shape of `y`.
    """
    predicted = np.zeros_like(y, dtype=np.float64)
    for part in np.unique(fold):
        mine = fold == part
        others = learn & ~mine
        if not others.any():
            others = learn
        predicted[mine] = fit(x[others], y[others])(x[mine])
    return predicted
