"""Marginal importance weights: how often the policy comes to a state and acts in it, beside how often the log did."""

import numpy as np

from campaigns.errors import InputError
from evaluation.estimate import Estimate
from evaluation.off_policy.checks import check_rounds
from evaluation.off_policy.estimators import Terms
from evaluation.off_policy.rounds import Floats, Ints
from evaluation.off_policy.trajectories import Trajectories, conclude


def marginal_weights(trajectories: Trajectories, state: Ints) -> Floats:
    """Estimate the ratio of the chances of (state, action) in each week under the policy and under the log.

    The chance of a state under the policy is that of the week before, carried over by the observed transitions, each
    weighted by the ratio of its action; so weights do not multiply up over the weeks.

    Args:
        trajectories: Logged.
        state: All that the future depends on, shape (n, T), int64 from 0.

    Returns:
        Weights, shape (n, T), >= 0.

    Raises:
        InputError: `state` has another shape or holds a negative number.

    Reference:
        Xie, Ma & Wang, "Towards Optimal Off-Policy Evaluation for Reinforcement Learning with Marginalized Importance
        Sampling", NeurIPS 2019.
    """
    share = state_ratios(trajectories, state)
    return np.asarray(np.take_along_axis(share, state.T, axis=1).T * trajectories.ratio)


def state_ratios(trajectories: Trajectories, state: Ints) -> Floats:
    """Estimate the ratio of the chances of each state in each week, shape (T, states); 0 where nobody was."""
    check_rounds("state", state.reshape(trajectories.n, -1), trajectories.n, trajectories.weeks)
    if state.min() < 0:
        row, week = (int(at) for at in np.unravel_index(int(state.argmin()), state.shape))
        raise InputError(
            f"trajectories: state of row {row}, week {week + 1} is {state.min()}, expected 0 or more; count from 0"
        )
    ratio, size = trajectories.ratio, int(state.max()) + 1
    share = np.empty((trajectories.weeks, size))
    arrived = np.ones(trajectories.n)
    for week in range(trajectories.weeks):
        share[week] = mean_at(state[:, week], arrived, size)
        arrived = share[week][state[:, week]] * ratio[:, week]
    return share


def mean_at(state: Ints, values: Floats, size: int) -> Floats:
    """Return the mean of values by state, shape (size,); 0 where there is none."""
    count = np.bincount(state, minlength=size)
    total = np.bincount(state, values, minlength=size)
    return np.divide(total, count, out=np.zeros(size), where=count > 0)


def marginal_ips(trajectories: Trajectories, state: Ints) -> Estimate:
    """Average the discounted rewards, each weighted by the marginal weight of its state and action.

    The error is that of the estimated weights too: the influence of a trajectory is that of the tabular value function.

    Args:
        trajectories: Logged.
        state: All that the future depends on, shape (n, T), int64 from 0.

    Raises:
        InputError: `state` has another shape or holds a negative number.

    Reference:
        Xie, Ma & Wang, NeurIPS 2019; Kallus & Uehara, "Double Reinforcement Learning for
        Efficient Off-Policy Evaluation in Markov Decision Processes", JMLR 21(167), 2020, for the influence.
    """
    share, ratio = state_ratios(trajectories, state), trajectories.ratio
    weight = marginal_weights(trajectories, state)
    spread, later = np.zeros(trajectories.n), np.zeros(trajectories.n)
    for week in range(trajectories.weeks - 1, -1, -1):
        here = state[:, week]
        gained = ratio[:, week] * (trajectories.reward[:, week] + trajectories.discount * later)
        value = mean_at(here, gained, share.shape[1])[here]
        spread += trajectories.worth[week] * share[week][here] * (gained - value)
        later = value
    spread += later
    return conclude(Terms((weight * trajectories.reward) @ trajectories.worth, spread=spread), trajectories, weight)
