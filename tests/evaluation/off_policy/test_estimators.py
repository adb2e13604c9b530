"""Estimators agree with sums done by hand, with each other, and with what must not matter."""

from dataclasses import replace

import numpy as np
import pytest

from campaigns.errors import InputError
from evaluation.off_policy import estimators as each
from evaluation.off_policy.estimators import Shrinking, shrink
from evaluation.off_policy.reward_model import fit_reward
from evaluation.off_policy.rounds import Log, Rounds, condense
from evaluation.off_policy.table import Estimator, Interval, estimate_all, terms_of
from experiments.off_policy_logs import draw_case


def by_hand() -> Rounds:
    """Four rounds, two actions: weights 0.5, 2, 1, 4; rewards 1, 2, 3, 4."""
    log = Log(2, np.array([0, 1, 0, 1]), np.array([1.0, 2, 3, 4]), np.array([0.5, 0.25, 0.5, 0.25]))
    policy = np.array([[0.25, 0.75], [0.5, 0.5], [0.5, 0.5], [0.0, 1.0]])
    model = np.array([[1.0, 2], [2, 2], [2, 4], [0, 3]])
    return condense(log, policy, model)


def test_four_rounds_give_what_a_pencil_gives() -> None:
    rounds = by_hand()
    assert rounds.weight.tolist() == [0.5, 2.0, 1.0, 4.0]
    assert rounds.expected.tolist() == [1.75, 2.0, 3.0, 3.0]
    assert rounds.predicted.tolist() == [1.0, 2.0, 2.0, 3.0]
    value = {name: terms.value for name, terms in terms_of(rounds).items()}
    assert value[Estimator.IPS] == pytest.approx((0.5 + 4 + 3 + 16) / 4)
    assert value[Estimator.CLIPPED_IPS] == pytest.approx((0.5 + 4 + 3 + 8) / 4)  # at sqrt(4)
    assert value[Estimator.SNIPS] == pytest.approx(23.5 / 7.5)
    assert value[Estimator.DIRECT] == pytest.approx(9.75 / 4)
    assert value[Estimator.DR] == pytest.approx((9.75 + 1 + 4) / 4)
    assert value[Estimator.SNDR] == pytest.approx(9.75 / 4 + 5 / 7.5)
    assert each.switch_dr(rounds, 2.0).value == pytest.approx((9.75 + 1) / 4)
    assert each.optimistic_dr(rounds, 4.0).value == pytest.approx((9.75 + 4 / 5 + 16 / 20) / 4 + (16 / 20 - 0.8) / 4)
    assert each.sub_gaussian_dr(rounds, 2.0).value == pytest.approx((9.75 + 1 / 1 + 4 / 2.5) / 4)
    assert rounds.coverage.effective_n == pytest.approx(7.5**2 / 21.25)
    assert rounds.coverage.largest_weight == 4.0


def test_replay_averages_the_rounds_in_which_both_do_the_same() -> None:
    log = Log(2, np.array([0, 1, 0, 1]), np.array([1.0, 2, 3, 4]), np.full(4, 0.5))
    policy = np.eye(2)[[0, 0, 0, 1]]
    assert each.replay(condense(log, policy)).value == pytest.approx((1 + 3 + 4) / 3)
    with pytest.raises(InputError, match="replay was asked of a random policy"):
        each.replay(condense(log, np.full((4, 2), 0.5)))


def test_gaussian_rewards_give_the_error_of_the_closed_form() -> None:
    """One context, uniform log of two actions, policy (p, 1-p): Var(w r) and Var(DR) are known."""
    n, p, mean, noise = 400_000, 0.9, np.array([1.0, 3.0]), 0.5
    rng = np.random.default_rng(1)
    action = rng.integers(2, size=n)
    log = Log(2, action, mean[action] + noise * rng.normal(size=n), np.full(n, 0.5))
    policy = np.tile([p, 1 - p], (n, 1))
    found = estimate_all(condense(log, policy, np.tile(mean, (n, 1))))
    truth = p * 1 + (1 - p) * 3
    second = 2 * (p**2 * (1 + noise**2) + (1 - p) ** 2 * (9 + noise**2))
    assert found[Estimator.IPS].error == pytest.approx(np.sqrt((second - truth**2) / n), rel=0.01)
    assert found[Estimator.DR].error == pytest.approx(np.sqrt(2 * (p**2 + (1 - p) ** 2) * noise**2 / n), rel=0.01)
    for estimate in found.values():
        assert abs(estimate.value - truth) < 4 * estimate.error


def test_on_policy_weights_are_one_and_every_estimator_gives_the_mean() -> None:
    case = draw_case(500, 1)
    rounds = condense(case.log, case.log.behavior)  # type: ignore[arg-type]
    assert np.allclose(rounds.weight, 1)
    for name, terms in terms_of(rounds).items():
        if name is not Estimator.DIRECT:
            assert terms.value == pytest.approx(float(case.log.reward.mean()), rel=0.02), name


def test_without_a_model_doubly_robust_is_ips_and_with_a_perfect_one_it_is_exact() -> None:
    case = draw_case(500, 2)
    rounds = condense(case.log, case.policy)
    assert each.doubly_robust(rounds).value == each.ips(rounds).value
    assert each.self_normalized_dr(rounds).value == pytest.approx(each.snips(rounds).value)
    case = case.with_log(reward=case.q[np.arange(500), case.log.action])
    earned = float(np.einsum("na,na->n", case.policy, case.q).mean())
    assert each.doubly_robust(condense(case.log, case.policy, case.q)).value == pytest.approx(earned)


@pytest.mark.parametrize("how", list(Shrinking))
def test_shrinking_never_raises_a_weight_and_an_infinite_limit_leaves_it(how: Shrinking) -> None:
    weight = np.linspace(1, 50, 99)
    last = weight
    assert (shrink(weight, how, np.inf) == weight).all()
    for limit in (1e9, 100.0, 10.0, 2.0):
        found = shrink(weight, how, limit)
        assert (found <= last + 1e-12).all() and (found >= 0).all()
        last = found
    assert np.allclose(shrink(weight, how, 1e12), weight, rtol=1e-6)
    with pytest.raises(InputError, match=r"the limit of .* weights is 0"):
        shrink(weight, how, 0.0)


@pytest.mark.parametrize("interval", list(Interval))
def test_relabelled_offers_change_nothing(interval: Interval) -> None:
    case, order = draw_case(600, 3), np.array([2, 0, 3, 1])
    behavior = case.log.behavior
    assert isinstance(behavior, np.ndarray)
    moved = replace(case.log, action=np.argsort(order)[case.log.action], behavior=behavior[:, order])
    one = estimate_all(condense(case.log, case.policy, fit_reward(case.log, case.x, 0)), interval, resamples=100)
    other = estimate_all(condense(moved, case.policy[:, order], fit_reward(moved, case.x, 0)), interval, resamples=100)
    for name in one:
        assert np.allclose(*[[e.value, e.error, e.lo, e.hi] for e in (one[name], other[name])]), name


def test_scaled_rewards_scale_every_estimate_and_a_shift_shifts_those_that_normalise() -> None:
    case = draw_case(600, 4)

    def found(scale: float, shift: float) -> dict[Estimator, list[float]]:
        log = replace(case.log, reward=scale * case.log.reward + shift)
        every = estimate_all(condense(log, case.policy, fit_reward(log, case.x, 0)))
        return {name: [e.value, e.lo, e.hi] for name, e in every.items()}

    plain, scaled, shifted = found(1, 0), found(7, 0), found(1, 5)
    for name, value in plain.items():
        assert np.allclose(scaled[name], 7 * np.array(value)), name
    for name in (Estimator.DIRECT, Estimator.SNIPS, Estimator.DR, Estimator.SNDR, Estimator.SWITCH_DR):
        assert np.allclose(shifted[name], np.array(plain[name]) + 5, rtol=1e-4), name


@pytest.mark.parametrize("known", [True, False])
def test_chunks_change_nothing(known: bool) -> None:
    case = draw_case(1000, 5)
    log = case.log if known else replace(case.log, behavior=None, doubt=case.x[:, :1] + np.arange(4) > 1)

    def found(chunk: int) -> list[float]:
        model = fit_reward(log, case.x, 0, chunk=chunk)
        rounds = condense(log, lambda rows: case.policy[rows], model, chunk=chunk)
        every = estimate_all(rounds, Interval.BOOTSTRAP, resamples=100).values()
        return [x for e in every for x in (e.value, e.error, e.lo, e.hi, e.overlap.unsupported if e.overlap else 9)]

    assert np.allclose(found(17), found(1000), rtol=1e-9)


def test_rounds_of_a_customer_count_as_one_in_the_error() -> None:
    case = draw_case(400, 6)
    four = np.tile(np.arange(400), 4)
    behavior = np.tile(np.asarray(case.log.behavior), (4, 1))
    log = Log(4, case.log.action[four], case.log.reward[four], case.log.pscore[four], four, behavior=behavior)
    once = estimate_all(condense(case.log, case.policy))[Estimator.SNIPS]
    often = estimate_all(condense(log, case.policy[four]))[Estimator.SNIPS]
    boot = estimate_all(condense(log, case.policy[four]), Interval.BOOTSTRAP)[Estimator.SNIPS]
    assert often.n == 400 and often.error == pytest.approx(once.error)
    assert boot.error == pytest.approx(once.error, rel=0.15)


def test_a_fold_without_a_success_or_without_an_action_does_no_harm() -> None:
    case = draw_case(60, 7)
    reward = np.zeros(60)
    reward[5] = 1.0
    log = replace(case.log, reward=reward, action=np.where(case.log.action == 3, 0, case.log.action), behavior=None)
    policy = case.policy.copy()
    policy[:, 0] += policy[:, 3]
    policy[:, 3] = 0
    rounds = condense(log, policy, fit_reward(log, np.c_[case.x, np.ones(60)], 0, folds=5))
    assert all(np.isfinite(terms.value) for terms in terms_of(rounds).values())


def test_weights_of_categories_are_those_of_what_the_customer_sees() -> None:
    """Two offers that are one to the customer: a policy that swaps them is on-policy."""
    behavior, policy = np.tile([0.7, 0.1, 0.2], (50, 1)), np.tile([0.1, 0.7, 0.2], (50, 1))
    action = np.random.default_rng(0).choice(3, p=behavior[0], size=50)
    log = Log(3, action, action.astype(float), behavior[0, action], behavior=behavior)
    rounds = condense(log, policy, category=np.array([0, 0, 1]))
    assert np.allclose(rounds.weight, 1)
    assert rounds.coverage.unsupported == 0
    by_action = condense(log, policy, category=np.arange(3))
    assert np.allclose(by_action.weight, condense(log, policy).weight)
    with pytest.raises(InputError, match="'behavior' is missing"):
        condense(replace(log, behavior=None), policy, category=np.arange(3))
