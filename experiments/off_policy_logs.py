"""Logs with known truth, to try off-policy estimators on; contexts come from a short list, so that truth is exact."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evaluation.off_policy.rounds import Log
from evaluation.off_policy.trajectories import Trajectories

Floats = NDArray[np.float64]
CONTEXTS = 512
WORLD = 99
"""Seed of what all logs share."""


@dataclass(frozen=True, eq=False)
class Case:
    """A log, its contexts, the policy's probabilities, the expected reward of every action, and the policy's value."""

    log: Log
    x: Floats
    policy: Floats
    q: Floats
    truth: float

    def with_log(self, **changed: object) -> "Case":
        return replace(self, log=replace(self.log, **changed))  # type: ignore[arg-type]


def softmax(logits: Floats) -> Floats:
    """Return probabilities of rows of logits, shape (n, n_actions)."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def draw_case(n: int, seed: int, actions: int = 4, binary: bool = False) -> Case:
    """Draw a log of a policy that explores, and another policy; rewards are Gaussian, or 0 and 1."""
    x, behavior, policy, q = _world(actions)
    if binary:
        q = 1 / (1 + np.exp(1.5 - 0.5 * q))
    return _draw(n, seed, (x, behavior, policy, q), binary)


def draw_logistic(n: int, seed: int, actions: int = 4) -> Case:
    """Draw a log whose probabilities are those of a multinomial logistic regression, and another policy."""
    x, _, policy, q = _world(actions)
    lean = np.random.default_rng(WORLD + 1).normal(size=(x.shape[1], actions))
    return _draw(n, seed, (x, softmax(0.3 * x @ lean), policy, q), False)


def draw_uniform(n: int, seed: int, actions: int = 4) -> Case:
    """Draw a log that takes every action alike, and a policy of one action per context."""
    x, behavior, policy, q = _world(actions)
    best = np.eye(actions)[policy.argmax(axis=1)]
    return _draw(n, seed, (x, np.full(behavior.shape, 1 / actions), best, q), False)


def draw_large(n: int, seed: int, actions: int = 200, kinds: int = 5) -> tuple[Case, NDArray[np.int64]]:
    """Draw a log of a large catalog in which an offer's kind is all that the reward depends on; and the kinds."""
    x, behavior, policy, q = _world(kinds)
    kind = np.arange(actions) % kinds
    split = np.random.default_rng(WORLD).dirichlet(np.full(actions // kinds, 0.3), size=(2, kinds))
    within = 0.9 * split + 0.1 * kinds / actions
    shares = within[:, kind, np.arange(actions) // kinds]
    return _draw(n, seed, (x, behavior[:, kind] * shares[0], policy[:, kind] * shares[1], q[:, kind]), False), kind


def draw_blind(n: int, seed: int, actions: int = 4) -> Case:
    """Draw a log that never takes one action in a part of the contexts in which the policy takes it and it pays."""
    x, behavior, policy, q = _world(actions)
    rng = np.random.default_rng([seed, 1])
    action = int(rng.integers(actions))
    direction = x @ rng.normal(size=x.shape[1])
    there = direction > np.quantile(direction, 1 - rng.uniform(0.1, 0.4))
    behavior, policy, q = behavior.copy(), policy.copy(), q.copy()
    behavior[there, action] = 0
    behavior /= behavior.sum(axis=1, keepdims=True)
    take = rng.uniform(0.5, 1.0)
    policy[there] *= (1 - take) / (1 - policy[there, action])[:, None]
    policy[there, action] = take
    q[there, action] += rng.choice([-1, 1]) * rng.uniform(2.0, 5.0)
    return _draw(n, seed, (x, behavior, policy, q), False)


MOVE = np.array([[[0.8, 0.2], [0.3, 0.7]], [[0.6, 0.4], [0.1, 0.9]]])
"""Chance of the next of two states, [state, action, next]."""
PAYS = np.array([[1.0, 0.5], [2.0, 4.0]])
LOGGED, JUDGED = np.array([[0.5, 0.5], [0.7, 0.3]]), np.array([[0.2, 0.8], [0.4, 0.6]])
WEEKS, DISCOUNT = 4, 0.9


def draw_trajectories(n: int, seed: int) -> tuple[Trajectories, NDArray[np.int64], float]:
    """Draw trajectories of two states and two actions, their states, and what the judged policy earns."""
    rng = np.random.default_rng(seed)
    state, action = np.empty((2, n, WEEKS), np.int64)
    now = rng.integers(2, size=n)
    for week in range(WEEKS):
        state[:, week] = now
        action[:, week] = rng.random(n) < LOGGED[now, 1]
        now = (rng.random(n) < MOVE[now, action[:, week], 1]).astype(np.int64)
    reward = PAYS[state, action] + 0.5 * rng.normal(size=(n, WEEKS))
    features = state[:, :, None].astype(np.float64)
    value = np.zeros(2)
    for _ in range(WEEKS):
        value = (JUDGED * (PAYS + DISCOUNT * MOVE @ value)).sum(axis=1)
    lived = Trajectories(features, action, reward, LOGGED[state, action], JUDGED[state], None, DISCOUNT)
    return lived, state, float(value.mean())


def _world(actions: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return contexts, log, policy and expected rewards, one row per context."""
    fixed = np.random.default_rng(WORLD)
    x = fixed.normal(size=(CONTEXTS, 3))
    lean, worth = fixed.normal(size=(2, 3, actions))
    behavior = 0.8 * softmax(0.5 * x @ lean) + 0.2 / actions
    policy = 0.7 * softmax(x @ worth) + 0.3 * behavior
    return x, behavior, policy, 1 + np.abs(x) @ worth + 0.3 * np.arange(actions)


def _draw(n: int, seed: int, world: tuple[Floats, Floats, Floats, Floats], binary: bool) -> Case:
    x, behavior, policy, q = world
    rng = np.random.default_rng(seed)
    context = rng.integers(CONTEXTS, size=n)
    chances = behavior[context].cumsum(axis=1)
    action = (chances > rng.random((n, 1)) * chances[:, -1:]).argmax(axis=1)
    mean = q[context, action]
    reward = (rng.random(n) < mean).astype(np.float64) if binary else mean + rng.normal(size=n)
    pscore = behavior[context, action]
    log = Log(behavior.shape[1], action, reward, pscore, behavior=behavior[context])
    truth = float(np.einsum("na,na->n", policy, q).mean())
    return Case(log, x[context], policy[context], q[context], truth)
