"""What a policy is worth over weeks, from logged trajectories of the same length."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from campaigns.errors import InputError
from evaluation.estimate import Estimate
from evaluation.off_policy.checks import check_distribution, check_log, check_rounds
from evaluation.off_policy.coverage import Coverage, describe
from evaluation.off_policy.estimators import Terms
from evaluation.off_policy.intervals import with_normal
from evaluation.off_policy.rounds import Floats, Ints, Rounds


@dataclass(frozen=True, eq=False)
class Trajectories:
    """n trajectories of T weeks beside a policy, checked once here.

    Attributes:
        features: State before each decision, shape (n, T, n_features), float64.
        action: Action taken, shape (n, T), int64.
        reward: What the week brought, shape (n, T), float64, in any one unit.
        pscore: Probability with which the log took `action`, shape (n, T), float64 in (0, 1].
        policy: The policy's probabilities in the logged states, shape (n, T, n_actions), rows sum to 1.
        customer: Whose trajectory it is, shape (n,), int64; None: all differ.
        discount: Worth of a next week's reward beside this week's, in (0, 1].

    Raises:
        InputError: A column has the wrong shape or a value that no log can hold; rows count week by week within
            trajectories.
    """

    features: Floats
    action: Ints
    reward: Floats
    pscore: Floats
    policy: Floats
    customer: Ints | None = None
    discount: float = 1.0

    def __post_init__(self) -> None:
        n, weeks = self.action.shape
        check_log(self.policy.shape[-1], self.action.ravel(), self.reward.ravel(), self.pscore.ravel())
        check_distribution("policy", self.policy.reshape(n * weeks, -1), (n * weeks, self.policy.shape[-1]), 0)
        check_rounds("features", self.features.reshape(n * weeks, -1), n * weeks, self.features.shape[-1])
        check_rounds("customer", self.customer, n)
        if not 0 < self.discount <= 1:
            raise InputError(f"trajectories: discount is {self.discount}, expected (0, 1]; use 1 for a short campaign")

    @property
    def n(self) -> int:
        return int(self.action.shape[0])

    @property
    def weeks(self) -> int:
        return int(self.action.shape[1])

    @property
    def ratio(self) -> Floats:
        """Probability of each logged action under the policy over that under the log, shape (n, T)."""
        chosen = np.take_along_axis(self.policy, self.action[:, :, None], axis=2)[:, :, 0]
        return np.asarray(chosen / self.pscore)

    @property
    def weight(self) -> Floats:
        """Product of the ratios up to each week, shape (n, T)."""
        return np.cumprod(self.ratio, axis=1, dtype=np.float64)

    @property
    def worth(self) -> Floats:
        """Discount of each week, shape (T,)."""
        return np.asarray(self.discount ** np.arange(self.weeks), np.float64)


def per_decision_ips(trajectories: Trajectories) -> Estimate:
    """Average over trajectories the sum of discounted rewards, each weighted by the ratios up to its own week.

    Reference:
        Precup, Sutton & Singh, "Eligibility Traces for Off-Policy Policy Evaluation", ICML 2000.
    """
    weight = trajectories.weight
    return conclude(Terms((weight * trajectories.reward) @ trajectories.worth), trajectories, weight)


def sequential_dr(trajectories: Trajectories, q: Floats) -> Estimate:
    """Average over trajectories the expected value of the first state, corrected week by week.

    Args:
        trajectories: Logged.
        q: Value of each action in each state under the policy from there on, shape (n, T, n_actions), each from a
            model that did not see the trajectory (`fitted_q.fit_q`).

    Raises:
        InputError: q has another shape or is not finite.

    Reference:
        Jiang & Li, "Doubly Robust Off-policy Value Evaluation for Reinforcement Learning", ICML 2016;
        Thomas & Brunskill, ICML 2016.
    """
    weight = trajectories.weight
    return conclude(Terms(corrected(trajectories, q, weight)), trajectories, weight)


def corrected(trajectories: Trajectories, q: Floats, weight: Floats) -> Floats:
    """Return v_0 + sum_t discount^t w_t (r_t + discount v_{t+1} - q_t) of each trajectory, shape (n,).

    Args:
        trajectories: Logged.
        q: Values, shape (n, T, n_actions).
        weight: Of each week's action, products of ratios or marginal ones, shape (n, T).
    """
    flat = trajectories.n * trajectories.weeks
    check_rounds("q", q.reshape(flat, -1), flat, trajectories.policy.shape[-1])
    value = np.einsum("nta,nta->nt", trajectories.policy, q)
    logged = np.take_along_axis(q, trajectories.action[:, :, None], axis=2)[:, :, 0]
    later = np.concatenate([value[:, 1:], np.zeros((trajectories.n, 1))], axis=1)
    surprise = trajectories.reward + trajectories.discount * later - logged
    return np.asarray(value[:, 0] + (weight * surprise) @ trajectories.worth)


def conclude(terms: Terms, trajectories: Trajectories, weight: Floats) -> Estimate:
    """Turn terms per trajectory into an estimate; weights of shape (n, T) tell how far the log covers the policy."""
    rounds = Rounds(
        trajectories.reward @ trajectories.worth,
        weight[:, -1],
        np.zeros(trajectories.n),
        np.zeros(trajectories.n),
        _coverage(trajectories, weight),
        None if trajectories.customer is None else np.unique(trajectories.customer, return_inverse=True)[1],
    )
    return with_normal(terms, rounds)


def _coverage(trajectories: Trajectories, weight: Floats) -> Coverage:
    """Return the coverage of the week in which it is worst; a lack counts from any week's actions."""
    weeks = [describe(weight[:, t]) for t in range(trajectories.weeks)]
    worst = min(weeks, key=lambda week: week.effective_n)
    before = np.concatenate([np.ones((trajectories.n, 1)), weight[:, :-1]], axis=1)
    lack, words = 0.0, ""
    for week in range(trajectories.weeks):
        share, found = _lack(trajectories, week, before[:, week])
        if share > lack:
            lack, words = share, f"in week {week + 1} {found}"
    return Coverage(worst.effective_n, worst.largest_weight, worst.dominance, lack, words)


def _lack(trajectories: Trajectories, week: int, before: Floats) -> tuple[float, str]:
    """Return the share of a week's decisions, as the policy would come to it, of offers that the log never took."""
    taken: NDArray[np.bool_] = np.bincount(trajectories.action[:, week], minlength=trajectories.policy.shape[2]) > 0
    meant = before @ trajectories.policy[:, week] / max(float(before.sum()), 1e-300)
    share = float(meant[~taken].sum())
    return share, "are offers that the log never took in that week"
