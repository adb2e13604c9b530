"""What is not logged: probabilities of the log's actions, and contexts in which to look for their lack."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from campaigns.errors import InputError
from evaluation.off_policy.checks import check_rounds
from evaluation.off_policy.rounds import CHUNK, Floats, Ints, slices

FOREST_ROUNDS = 10_000
"""Most rounds that a forest is grown on; it looks for coarse groups."""
FOREST_TREES = 20
DOUBTFUL = 0.3
"""Share of its average frequency below which an action is doubted."""


@dataclass(frozen=True, eq=False)
class Propensity:
    """Estimated probabilities of a log's actions; made slice by slice, since a long log has no room for all.

    Attributes:
        features: Of the log, shape (n, n_features).
        action: Taken, shape (n,).
        seen: Actions that the log ever took, ascending, shape (seen,).
        n_actions: Size of the catalog.
        shift, scale: A feature less its shift times its scale is standardised, shape (n_features,) each.
        weights: Intercepts (first) and slopes of log odds, shape (1 + n_features, seen).
    """

    features: NDArray[np.floating]
    action: Ints
    seen: Ints
    n_actions: int
    shift: Floats
    scale: Floats
    weights: Floats

    def behavior(self, rows: slice) -> Floats:
        """Return the probability of every action, shape (rows, n_actions); rows sum to 1."""
        found = np.zeros((rows.stop - rows.start, self.n_actions))
        found[:, self.seen] = softmax(self._with_one(rows) @ self.weights, axis=1)
        return found

    @property
    def pscore(self) -> Floats:
        """Probability of each action that was taken, shape (n,)."""
        found = np.empty(len(self.action))
        for rows in slices(len(found), CHUNK):
            found[rows] = self.behavior(rows)[np.arange(rows.stop - rows.start), self.action[rows]]
        return found

    def score(self, rows: slice) -> Floats:
        """Return the derivative of each round's log likelihood, shape (rows, (seen - 1) * (1 + n_features))."""
        x, others = self._with_one(rows), self.seen[1:]
        surprise = (self.action[rows, None] == others) - self.behavior(rows)[:, others]
        return np.asarray(np.einsum("na,nx->nax", surprise, x).reshape(len(x), -1))

    def _with_one(self, rows: slice) -> Floats:
        x = np.ones((rows.stop - rows.start, len(self.weights)))
        x[:, 1:] = (self.features[rows] - self.shift) * self.scale
        return x


def estimate_propensity(action: Ints, features: NDArray[np.floating], n_actions: int) -> Propensity:
    """Estimate with which probability a log took its actions, by multinomial logistic regression on the context.

    An action that the log never took gets probability 0. Values are right only if this model is: they are marked, and
    their verdict is "weak" at best. Given the model, `Log.score` carries the error of its fit into every interval. The
    fit itself holds a number per round and action.

    Args:
        action: Taken, shape (n,).
        features: Context, shape (n, n_features).
        n_actions: Size of the catalog.

    Raises:
        InputError: Features are misaligned or not finite, the log took a single action, or the fit does not settle, as
            where the features all but tell the action.

    Reference:
        Rosenbaum & Rubin, "The central role of the propensity score", Biometrika 70(1), 1983; its error: Newey &
        McFadden, "Large sample estimation and hypothesis testing", 1994, section 6.
    """
    check_rounds("features", features, len(action), features.shape[1] if features.ndim == 2 else -1)
    seen = np.unique(action)
    if len(seen) < 2:
        raise InputError(
            f"log: every round takes action {seen[0]}, expected two actions or more; nothing else can be judged by it"
        )
    spread = features.std(axis=0, dtype=np.float64)
    shift = features.mean(axis=0, dtype=np.float64)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
    model = LogisticRegression(C=1e6, tol=1e-8, max_iter=2000)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            model.fit((features - shift) * scale, action)
        except ConvergenceWarning as unsettled:
            raise InputError(
                f"log: the probabilities of its actions cannot be estimated from {features.shape[1]} features of "
                f"{len(action)} rounds, which all but tell the action; take a log with pscores, or fewer features"
            ) from unsettled
    weights = np.concatenate([model.intercept_[:, None], model.coef_], axis=1).T
    if len(seen) == 2:  # one column of log odds against the first
        weights = np.concatenate([np.zeros_like(weights), weights], axis=1)
    return Propensity(features, action, seen, n_actions, shift, scale, weights)


@dataclass(frozen=True, eq=False)
class Doubt:
    """Says where an action is to be doubted; call it with a slice of rounds.

    Attributes:
        features: Of the log, shape (n, n_features).
        half: Half that a round belongs to, 0 or 1, shape (n,).
        forests: Grown on the other half of the rounds.
        least: Probability below which an action is doubted, shape (n_actions,).
    """

    features: NDArray[np.floating]
    half: Ints
    forests: tuple[RandomForestClassifier, RandomForestClassifier]
    least: Floats

    def __call__(self, rows: slice) -> NDArray[np.bool_]:
        """Return the doubts, shape (rows, n_actions)."""
        found = np.zeros((rows.stop - rows.start, len(self.least)), np.bool_)
        for number, forest in enumerate(self.forests):
            mine = self.half[rows] == number
            if mine.any():
                chance = forest.predict_proba(self.features[rows][mine])
                found[np.ix_(mine, forest.classes_)] = chance < self.least[forest.classes_]
        return found


def doubt_support(action: Ints, features: NDArray[np.floating], n_actions: int, seed: int) -> Doubt:
    """Find contexts in which a log seems never to take an action, for `Log.doubt`.

    Each half of the rounds is judged by a forest that was grown on the other, so that what is tested did not choose
    where.

    Args:
        action: Taken, shape (n,).
        features: Context, shape (n, n_features).
        n_actions: Size of the catalog.
        seed: Of the halves and the forests.

    Raises:
        InputError: Features are misaligned or not finite.

    Reference:
        Breiman, "Random Forests", Machine Learning 45(1), 2001; Athey & Imbens, "Recursive partitioning for
        heterogeneous causal effects", PNAS 113(27), 2016, for the halves.
    """
    n = len(action)
    check_rounds("features", features, n, features.shape[1] if features.ndim == 2 else -1)
    order = np.random.default_rng(seed).permutation(n)
    half = (order < n // 2).astype(np.int64)
    forests = []
    for number in range(2):
        grown = np.flatnonzero(half != number)[:FOREST_ROUNDS]
        least = max(8, len(grown) // 60)
        forest = RandomForestClassifier(
            FOREST_TREES, min_samples_leaf=least, max_features=None, random_state=seed % 2**32
        )
        forests.append(forest.fit(features[grown], action[grown]))
    average = np.bincount(action, minlength=n_actions) / n
    return Doubt(features, half, (forests[0], forests[1]), DOUBTFUL * average)
