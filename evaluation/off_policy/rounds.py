"""A log, and what is left of it beside a policy: a few numbers per round, whatever the size of the catalog."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evaluation.off_policy.checks import check_distribution, check_features, check_log, check_rounds, check_unique
from evaluation.off_policy.coverage import Coverage, CoverageSums
from history.feedback import LoggedFeedback

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
PerAction = Floats | Callable[[slice], Floats]
"""A number per round and action, shape (n, n_actions), or a function that makes those of a slice of rounds."""
CHUNK = 16_384
"""Rounds taken at once: a chunk of a hundred actions fits a cache of a few MiB."""


@dataclass(frozen=True, eq=False)
class Log:
    """n past rounds with the probability of what was done, checked once here.

    Attributes:
        n_actions: Size of the catalog.
        action: Action taken, shape (n,), int64.
        reward: What it brought, shape (n,), float64, in any one unit.
        pscore: Probability with which the log took `action`, shape (n,), float64 in (0, 1].
        customer: Whose round it is, shape (n,), int64: rounds of a customer are not independent. None: all differ.
        doubt: True where it is to be tested whether the log ever takes an action (`propensity.doubt_support`), shape
            (n, n_actions), bool; None: no context in particular.
        behavior: The log's probabilities of all actions where they are known; then nothing needs to be tested.
        allowed: False where the log could not take an action, shape (n, n_actions), bool, or a function that makes
            those of a slice; None: unknown.
        score: Where `pscore` was estimated from the log itself, the derivative of its log likelihood
            (`propensity.Propensity.score`), shape (n, parameters), or a function that makes those of a slice; None
            where the log knows it.
        ids: Number of each round in its source, shape (n,), each once; None: not told.

    Raises:
        InputError: A column has the wrong shape or a value that no log can hold; names row and rule.
    """

    n_actions: int
    action: Ints
    reward: Floats
    pscore: Floats
    customer: Ints | None = None
    doubt: Bools | Callable[[slice], Bools] | None = None
    behavior: PerAction | None = None
    allowed: Bools | Callable[[slice], Bools] | None = None
    score: PerAction | None = None
    ids: Ints | None = None

    def __post_init__(self) -> None:
        check_log(self.n_actions, self.action, self.reward, self.pscore)
        check_rounds("customer", self.customer, len(self.action))
        check_rounds("ids", self.ids, len(self.action))
        if self.ids is not None:
            check_unique("round", self.ids)

    @property
    def n(self) -> int:
        return len(self.action)

    @staticmethod
    def from_feedback(
        feedback: LoggedFeedback,
        needed: tuple[str, ...],
        customer: Ints | None = None,
        ids: Ints | None = None,
    ) -> "Log":
        """Take over logged feedback with known pscores; an action that its mask forbids has no support.

        Args:
            feedback: Past decisions.
            needed: Features that the policy to be judged looks at, in its order.
            customer, ids: As in the log.

        Raises:
            InputError: The feedback holds no pscores or lacks a feature, or a round stands twice.
        """
        check_features(needed, feedback.feature_names)
        if feedback.pscore is None:
            check_log(feedback.n_actions, feedback.action, feedback.reward, np.full(feedback.n, np.nan))
        assert feedback.pscore is not None
        return Log(
            feedback.n_actions,
            feedback.action,
            feedback.reward,
            feedback.pscore,
            customer,
            allowed=feedback.mask,
            ids=ids,
        )


@dataclass(frozen=True, eq=False)
class Rounds:
    """A policy beside a log, float64; all estimators are functions of these columns alone.

    Attributes:
        reward: What the logged action brought, shape (n,).
        weight: Importance weight: probability of the logged action under the policy over that under the log, (n,).
        predicted: Reward that the reward model predicts for the logged action, shape (n,); 0 without a model.
        expected: Reward that it expects of the policy in this round, shape (n,); 0 without a model.
        coverage: How far the log covers the policy.
        customer: Code from 0 of whose round it is, shape (n,); None where each round is its own.
        uniform: True where the policy is deterministic and all pscores are equal, as replay needs.
        score: Derivative of the log likelihood of estimated pscores, as in the log; None where they are known.
    """

    reward: Floats
    weight: Floats
    predicted: Floats
    expected: Floats
    coverage: Coverage
    customer: Ints | None = None
    uniform: bool = False
    score: PerAction | None = None

    @property
    def n(self) -> int:
        return len(self.reward)

    def without_model(self) -> "Rounds":
        nothing = np.zeros(self.n)
        return replace(self, predicted=nothing, expected=nothing)


def slices(n: int, chunk: int) -> Iterator[slice]:
    """Yield consecutive slices of at most `chunk` rows that make up n rows."""
    for start in range(0, n, chunk):
        yield slice(start, min(start + chunk, n))


def part_of(values: PerAction, rows: slice) -> Floats:
    """Return the rows of a number per round and action, shape (rows, n_actions), float64."""
    return np.asarray(values(rows) if callable(values) else values[rows], np.float64)


def condense(
    log: Log,
    policy: PerAction,
    model: PerAction | None = None,
    category: Ints | None = None,
    chunk: int = CHUNK,
) -> Rounds:
    """Lay a policy beside a log, chunk by chunk, so that memory grows with the rounds and not with the catalog.

    Args:
        log: Past rounds.
        policy: Probabilities of the policy's actions, shape (n, n_actions), rows sum to 1.
        model: Predicted reward of every action, same shape, in the log's unit; None: 0 everywhere.
        category: What an action is to the customer, shape (n_actions,): weights are then those of categories, as
            marginalised importance weights (Saito & Joachims, "Off-Policy Evaluation for Large Action Spaces via
            Embeddings", ICML 2022). Needs `log.behavior`.
        chunk: Rounds taken at once; changes no result beyond rounding.

    Raises:
        InputError: A row of the policy or of the log's behavior is no distribution, or the model is not finite.
    """
    n = log.n
    weight, predicted, expected = np.empty(n), np.zeros(n), np.zeros(n)
    sums = CoverageSums(log.n_actions)
    deterministic = True
    for rows in slices(n, chunk):
        dist = part_of(policy, rows)
        check_distribution("policy", dist, (rows.stop - rows.start, log.n_actions), rows.start)
        behavior = _behavior(log, rows)
        action = log.action[rows]
        at = np.arange(len(action))
        if category is None:
            weight[rows] = dist[at, action] / log.pscore[rows]
        else:
            weight[rows] = _category_weight(dist, behavior, category, category[action])
        if model is not None:
            q = part_of(model, rows)
            check_rounds("model", q, len(action), log.n_actions)
            predicted[rows], expected[rows] = q[at, action], np.einsum("na,na->n", dist, q)
        kept = dist if category is None else _within(dist, behavior, category)
        known = _of_rows(log.allowed, rows) if behavior is None else behavior
        sums.add(kept, known, action, log.pscore[rows], _of_rows(log.doubt, rows))
        deterministic &= bool(((dist == 0) | (dist == 1)).all())
    uniform = deterministic and bool(np.ptp(log.pscore) <= 1e-9 * log.pscore[0])
    customer = None if log.customer is None else np.unique(log.customer, return_inverse=True)[1].astype(np.int64)
    coverage = sums.finish(weight, log.score is not None)
    return Rounds(log.reward.astype(np.float64), weight, predicted, expected, coverage, customer, uniform, log.score)


def _of_rows(values: Bools | Callable[[slice], Bools] | None, rows: slice) -> Bools | None:
    return values(rows) if callable(values) else None if values is None else values[rows]


def _behavior(log: Log, rows: slice) -> Floats | None:
    if log.behavior is None:
        return None
    dist = part_of(log.behavior, rows)
    check_distribution("behavior", dist, (rows.stop - rows.start, log.n_actions), rows.start)
    return dist


def _category_weight(dist: Floats, behavior: Floats | None, category: Ints, logged: Ints) -> Floats:
    check_rounds("behavior", behavior, len(dist), dist.shape[1], needed="weights of categories")
    assert behavior is not None
    same = category == logged[:, None]
    return np.asarray((dist * same).sum(axis=1) / (behavior * same).sum(axis=1))


def _within(dist: Floats, behavior: Floats | None, category: Ints) -> Floats:
    """Spread the policy within categories as the log does: all that a category's weight needs to be covered."""
    assert behavior is not None
    member = (category[:, None] == np.arange(category.max() + 1)).astype(np.float64)
    of_policy, of_log = dist @ member, behavior @ member
    share = np.divide(of_policy, of_log, out=np.zeros_like(of_log), where=of_log > 0)
    return np.asarray(behavior * (share @ member.T) + dist * ((of_log == 0) @ member.T))
