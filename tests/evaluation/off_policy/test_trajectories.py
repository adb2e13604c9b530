"""Three weeks, two states, two actions: everything can be enumerated."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from campaigns.errors import InputError
from evaluation.estimate import Verdict
from evaluation.off_policy.fitted_q import fit_q, fitted_q_evaluation
from evaluation.off_policy.marginal import marginal_ips, marginal_weights
from evaluation.off_policy.trajectories import Trajectories, per_decision_ips, sequential_dr

WEEKS, DISCOUNT = 3, 0.9
MOVE = np.array([[[0.8, 0.2], [0.3, 0.7]], [[0.6, 0.4], [0.1, 0.9]]])
"""Chance of the next state, [state, action, next]."""
PAYS = np.array([[1.0, 0.5], [2.0, 4.0]])
LOG, POLICY = np.array([[0.5, 0.5], [0.7, 0.3]]), np.array([[0.2, 0.8], [0.4, 0.6]])


def value_of(policy: np.ndarray) -> float:
    """Sum over all 2^6 trajectories of chance and discounted reward; the first state is 0 or 1 alike."""
    total = 0.0
    for states in product((0, 1), repeat=WEEKS):
        for actions in product((0, 1), repeat=WEEKS):
            chance, gain = 0.5, 0.0
            for week, (s, a) in enumerate(zip(states, actions, strict=True)):
                chance *= policy[s, a] * (MOVE[s, a, states[week + 1]] if week + 1 < WEEKS else 1)
                gain += DISCOUNT**week * PAYS[s, a]
            total += chance * gain
    return total


def q_of(policy: np.ndarray) -> np.ndarray:
    """Values by backward recursion, [week, state, action]."""
    q, later = np.zeros((WEEKS, 2, 2)), np.zeros(2)
    for week in range(WEEKS - 1, -1, -1):
        q[week] = PAYS + DISCOUNT * MOVE @ later
        later = (policy * q[week]).sum(axis=1)
    return q


def live(n: int, seed: int, noise: float = 0.5, log: np.ndarray = LOG) -> tuple[Trajectories, np.ndarray]:
    rng = np.random.default_rng(seed)
    state, action = np.empty((2, n, WEEKS), np.int64)
    now = rng.integers(2, size=n)
    for week in range(WEEKS):
        state[:, week] = now
        action[:, week] = rng.random(n) < log[now, 1]
        now = (rng.random(n) < MOVE[now, action[:, week], 1]).astype(np.int64)
    reward = PAYS[state, action] + noise * rng.normal(size=(n, WEEKS))
    lived = Trajectories(
        state[:, :, None].astype(float), action, reward, log[state, action], POLICY[state], discount=DISCOUNT
    )
    return lived, state


def every_trajectory() -> tuple[Trajectories, np.ndarray]:
    """Trajectories in exactly the proportions of the log: 10,000 times their chance each, rewards without noise."""
    states, actions, copies = [], [], []
    for s in product((0, 1), repeat=WEEKS):
        for a in product((0, 1), repeat=WEEKS):
            chance = 0.5 * np.prod(LOG[s, a]) * MOVE[s[0], a[0], s[1]] * MOVE[s[1], a[1], s[2]]
            states.append(s)
            actions.append(a)
            copies.append(round(float(chance) * 20_000_000) // 1000)
    state, action = (np.repeat(np.array(x), copies, axis=0) for x in (states, actions))
    return (
        Trajectories(
            state[:, :, None].astype(float), action, PAYS[state, action], LOG[state, action], POLICY[state], None, 0.9
        ),
        state,
    )


def test_a_log_of_every_trajectory_in_proportion_gives_the_enumerated_value() -> None:
    lived, state = every_trajectory()
    truth = value_of(POLICY)
    week = np.arange(WEEKS)
    for found in (
        per_decision_ips(lived),
        marginal_ips(lived, state),
        sequential_dr(lived, q_of(POLICY)[week, state]),
        sequential_dr(lived, np.zeros(lived.policy.shape)),
        fitted_q_evaluation(lived, fit_q(lived, 0)),
    ):
        assert found.value == pytest.approx(truth, rel=3e-3)
        assert found.lo < truth < found.hi


def test_with_exact_values_doubly_robust_is_right_in_every_world_without_noise() -> None:
    assert value_of(POLICY) == pytest.approx(float((POLICY * q_of(POLICY)[0]).sum(axis=1).mean()))
    lived, state = live(300, 0, noise=0.0)
    found = sequential_dr(lived, np.zeros(lived.policy.shape))
    assert found.value == pytest.approx(per_decision_ips(lived).value)
    exact = sequential_dr(lived, q_of(POLICY)[np.arange(WEEKS), state])
    assert exact.error < 0.6 * found.error


def test_marginal_weights_are_one_on_policy_and_never_multiply_up() -> None:
    lived, state = live(5000, 1)
    assert np.allclose(marginal_weights(replace(lived, policy=LOG[state]), state), 1)
    product_of_ratios = np.cumprod(lived.ratio, axis=1)
    weight = marginal_weights(lived, state)
    assert weight.mean(axis=0) == pytest.approx(np.ones(WEEKS), abs=0.05)
    assert weight[:, -1].var() < 0.7 * product_of_ratios[:, -1].var()
    assert marginal_ips(lived, state).error < per_decision_ips(lived).error


@pytest.mark.parametrize("name", ["per-decision", "dr", "fitted q", "marginal"])
def test_limits_hold_the_enumerated_value_as_often_as_they_say(name: str) -> None:
    truth, held, times = value_of(POLICY), 0, 200
    for seed in range(times):
        lived, state = live(400, seed)
        if name == "per-decision":
            found = per_decision_ips(lived)
        elif name == "marginal":
            found = marginal_ips(lived, state)
        else:
            q = fit_q(lived, seed)
            found = sequential_dr(lived, q) if name == "dr" else fitted_q_evaluation(lived, q)
        held += found.lo < truth < found.hi
    assert held / times > 0.95 - 3 * np.sqrt(0.95 * 0.05 / times)


def test_weeks_in_which_the_log_never_takes_an_action_give_no_number() -> None:
    lived, state = live(500, 2, log=np.array([[1.0, 0.0], [1.0, 0.0]]))
    for found in (per_decision_ips(lived), marginal_ips(lived, state), fitted_q_evaluation(lived, fit_q(lived, 0))):
        assert found.overlap is not None and found.overlap.verdict is Verdict.NOT_ESTIMABLE
        assert np.isnan([found.value, found.error, found.lo, found.hi]).all()
        assert found.to_dict()["value"] is None
        assert "week" in found.overlap.why


def test_bad_trajectories_are_named() -> None:
    lived, state = live(10, 3)
    with pytest.raises(InputError, match=r"discount is 1\.5"):
        replace(lived, discount=1.5)
    pscore = lived.pscore.copy()
    pscore[1, 1] = 0
    with pytest.raises(InputError, match="row 4 of 'pscore' is 0"):
        replace(lived, pscore=pscore)
    state[2, 0] = -1
    with pytest.raises(InputError, match="state of row 2, week 1 is -1"):
        marginal_weights(lived, state)
    with pytest.raises(InputError, match="folds is 11 for 10 customers"):
        fit_q(lived, 0, folds=11)
