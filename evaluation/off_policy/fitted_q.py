"""Fitted Q evaluation: what each action is worth under a policy, learned backwards from the last week."""

import numpy as np

from evaluation.estimate import Estimate
from evaluation.off_policy.estimators import Terms
from evaluation.off_policy.reward_model import deal, ridge_per_action
from evaluation.off_policy.rounds import Floats
from evaluation.off_policy.trajectories import Trajectories, conclude, corrected


def fit_q(trajectories: Trajectories, seed: int, folds: int = 3) -> Floats:
    """Predict what every action is worth in every state, each part of the customers by the others.

    In each week, from the last one back, reward plus discounted value of the next state is regressed on features, per
    action, by ridge.

    Args:
        trajectories: Logged.
        seed: Deals customers to the parts.
        folds: Number of parts, 2 to the number of customers.

    Returns:
        Values, shape (n, T, n_actions), in the unit of the reward.

    Raises:
        InputError: There are fewer customers than parts.

    Reference:
        Le, Voloshin & Yue, "Batch Policy Learning under Constraints", ICML 2019, algorithm 3, at a finite horizon.
    """
    q = np.empty(trajectories.policy.shape)
    part = deal(trajectories.customer, trajectories.n, seed, folds)
    for fold in (part == number for number in range(folds)):
        later = np.zeros(trajectories.n)
        for week in range(trajectories.weeks - 1, -1, -1):
            target = trajectories.reward[:, week] + trajectories.discount * later
            predicted = ridge_per_action(
                trajectories.features[:, week],
                trajectories.action[:, week],
                target,
                ~fold,
                trajectories.policy.shape[-1],
            )
            q[fold, week] = predicted[fold]
            later = np.einsum("na,na->n", trajectories.policy[:, week], predicted)
    return q


def fitted_q_evaluation(trajectories: Trajectories, q: Floats) -> Estimate:
    """Average the value of the first state.

    Its error is that of sequential DR, and what that one corrects is its estimated bias.

    Args:
        trajectories: Logged.
        q: From `fit_q`.

    Reference:
        Le, Voloshin & Yue, ICML 2019, algorithm 3; the correction: Jiang & Li, ICML 2016.
    """
    weight = trajectories.weight
    value = np.einsum("na,na->n", trajectories.policy[:, 0], q[:, 0])
    spread = corrected(trajectories, q, weight)
    bias = abs(float(spread.mean() - value.mean()))
    return conclude(Terms(value, bias=bias, spread=spread), trajectories, weight)
