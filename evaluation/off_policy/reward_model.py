"""A reward model that never predicts a round it was fitted on: ridge per action, drawn to a pooled one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from campaigns.errors import InputError
from evaluation.off_policy.checks import check_rounds
from evaluation.off_policy.rounds import CHUNK, Floats, Ints, Log, slices
from simulators.effects.crossfit import fold_of

RIDGE = 1.0
"""Rounds' worth of belief that an effect is that of all actions together, per standardised feature."""


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """Predicts every action's reward in the rounds that it was fitted beside; call it with a slice of rounds.

    Attributes:
        features: Of the log, shape (n, n_features).
        fold: Part that a round belongs to, shape (n,).
        weights: Intercepts (first) and slopes for each part, fitted to the others, shape
            (folds, 1 + n_features, n_actions), in the unit of the reward.
    """

    features: NDArray[np.floating]
    fold: Ints
    weights: Floats

    def __call__(self, rows: slice) -> Floats:
        """Return predictions, shape (rows, n_actions), float64."""
        x = _with_one(self.features[rows])
        fold = self.fold[rows]
        found = np.empty((len(x), self.weights.shape[2]))
        for number, weights in enumerate(self.weights):
            mine = fold == number
            found[mine] = x[mine] @ weights
        return found


def fit_reward(log: Log, features: NDArray[np.floating], seed: int, folds: int = 3, chunk: int = CHUNK) -> CrossFitted:
    """Fit rewards on features and actions, each part of the customers by the others.

    Sums of squares are taken once per part and action; a part's fit uses the total less its own. An action without a
    round, or a part without a success, is drawn to the pooled fit, so nothing here can fail for lack of either.

    Args:
        log: Past rounds.
        features: Context, shape (n, n_features); standardised here.
        seed: Deals customers (or rounds) to the parts.
        folds: Number of parts, 2 to the number of customers.
        chunk: Rounds taken at once.

    Raises:
        InputError: Features are misaligned or not finite, or there are fewer customers or rounds than parts.

    Reference:
        Chernozhukov et al., "Double/debiased machine learning for treatment and structural parameters", Econometrics
        Journal 21(1), 2018, section 3; Hoerl & Kennard, "Ridge Regression", Technometrics 12(1), 1970.
    """
    check_rounds("features", features, log.n, features.shape[1] if features.ndim == 2 else -1)
    fold = deal(log.customer, log.n, seed, folds)
    x_size = 1 + features.shape[1]
    gram = np.zeros((folds, log.n_actions, x_size, x_size))
    moment = np.zeros((folds, log.n_actions, x_size))
    for rows in slices(log.n, chunk):
        x, reward = _with_one(features[rows]), log.reward[rows]
        code = fold[rows] * log.n_actions + log.action[rows]
        order = np.argsort(code, kind="stable")
        code, x, reward = code[order], x[order], reward[order]
        starts = np.flatnonzero(np.diff(code, prepend=-1))
        for start, end in zip(starts, [*starts[1:], len(code)], strict=True):
            part, action = divmod(int(code[start]), log.n_actions)
            here = x[start:end]
            gram[part, action] += here.T @ here
            moment[part, action] += here.T @ reward[start:end]
    weights = np.stack([_solve(gram.sum(0) - gram[k], moment.sum(0) - moment[k]) for k in range(folds)])
    return CrossFitted(features, fold, weights)


def ridge_per_action(
    features: NDArray[np.floating], action: Ints, target: Floats, train: NDArray[np.bool_], n_actions: int
) -> Floats:
    """Fit a target on the rows to train on and predict every action in all rows, shape (n, n_actions).

    Args:
        features: Shape (n, n_features).
        action: Shape (n,).
        target: Shape (n,).
        train: True where a row is fitted on, shape (n,).
        n_actions: Size of the catalog.
    """
    x = _with_one(features)
    gram, moment = np.zeros((n_actions, x.shape[1], x.shape[1])), np.zeros((n_actions, x.shape[1]))
    for one in range(n_actions):
        mine = train & (action == one)
        gram[one], moment[one] = x[mine].T @ x[mine], x[mine].T @ target[mine]
    return np.asarray(x @ _solve(gram, moment))


def deal(customer: Ints | None, n: int, seed: int, folds: int) -> Ints:
    """Deal customers, or the n rounds where each is its own, to parts of the same size: shape (n,).

    Raises:
        InputError: There are fewer of them than parts, or fewer than 2 parts.
    """
    whose = np.arange(n) if customer is None else customer
    groups = len(np.unique(whose))
    if not 2 <= folds <= groups:
        raise InputError(
            f"off-policy: folds is {folds} for {groups} customers in {n} rounds, expected 2 to {groups}; "
            "take fewer folds or a longer log"
        )
    return fold_of(whose, seed, folds)


def _solve(gram: Floats, moment: Floats) -> Floats:
    """Return the weights of each action, shape (1 + n_features, n_actions), from (n_actions, x, x) and (n_actions, x).

    Features are scaled by their spread over all rounds before they are drawn, so that the unit of none matters.
    """
    whole, target = gram.sum(axis=0), moment.sum(axis=0)
    count = max(float(whole[0, 0]), 1.0)
    mean = whole[0] / count
    spread = np.sqrt(np.maximum(np.diag(whole) / count - mean**2, 0.0))
    spread[0] = 1.0
    held = spread > 1e-9 * np.sqrt(np.maximum(np.diag(whole) / count, 1e-300))
    centred = np.diag(np.where(held, 1 / np.where(held, spread, 1.0), 0.0))
    centred[0, 1:] = -mean[1:] * np.diag(centred)[1:]
    centred[0, 0] = 1.0  # (1, x) @ centred = (1, (x - mean) / spread)
    drawn = RIDGE * np.eye(len(whole))
    pooled = np.linalg.solve(centred.T @ whole @ centred + drawn * 1e-6 + _tiny(held), centred.T @ target)
    scaled = np.einsum("xi,axy,yj->aij", centred, gram, centred)
    right = moment @ centred + RIDGE * pooled
    own = np.linalg.solve(scaled + drawn, right[..., None])[..., 0]
    return np.asarray((own @ centred.T).T)


def _tiny(held: NDArray[np.bool_]) -> Floats:
    """Keep the pooled fit solvable where a feature never varies."""
    return np.diag(np.where(held, 0.0, 1.0))


def _with_one(features: NDArray[np.floating]) -> Floats:
    x = np.empty((len(features), 1 + features.shape[1]))
    x[:, 0], x[:, 1:] = 1.0, features
    return x
