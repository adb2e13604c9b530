"""A policy beyond another is judged on the rounds that both share."""

import numpy as np
import pytest

from evaluation.estimate import Verdict
from evaluation.off_policy.contrast import difference
from evaluation.off_policy.estimators import doubly_robust
from evaluation.off_policy.intervals import with_bootstrap, with_normal
from evaluation.off_policy.reward_model import fit_reward
from evaluation.off_policy.rounds import Log, condense
from evaluation.off_policy.table import estimate_all
from experiments.off_policy_logs import draw_case


def test_the_difference_is_that_of_the_values_and_surer_than_theirs() -> None:
    case = draw_case(4000, 3)
    model = fit_reward(case.log, case.x, 0)
    other = 0.9 * case.policy + 0.1 * np.eye(4)[0]
    mine, others = condense(case.log, case.policy, model), condense(case.log, other, model)
    found = with_normal(*difference(mine, others))
    assert found.value == pytest.approx(doubly_robust(mine).value - doubly_robust(others).value)
    apart = with_normal(doubly_robust(mine), mine), with_normal(doubly_robust(others), others)
    assert found.error < 0.3 * min(one.error for one in apart)
    truth = np.einsum("na,na->n", case.policy - other, case.q).mean()
    assert abs(found.value - truth) < 4 * found.error


def test_a_policy_beyond_itself_is_nothing_for_sure() -> None:
    case = draw_case(500, 4)
    rounds = condense(case.log, case.policy)
    for found in (with_normal(*difference(rounds, rounds)), with_bootstrap(*difference(rounds, rounds), 0)):
        assert (found.value, found.error, found.lo, found.hi) == (0, 0, 0, 0)


def test_the_one_that_is_covered_less_gives_the_verdict() -> None:
    case = draw_case(500, 5)
    kept = case.log.action != 3
    log = Log(4, case.log.action[kept], case.log.reward[kept], case.log.pscore[kept])
    blind, fine = np.tile([0.0, 0, 0, 1], (log.n, 1)), np.tile([1.0, 0, 0, 0], (log.n, 1))
    for pair in ((blind, fine), (fine, blind)):
        mine, other = (condense(log, dist) for dist in pair)
        assert difference(mine, other)[1].coverage.judge().verdict is Verdict.NOT_ESTIMABLE


def test_a_policy_that_never_does_what_the_log_did_has_no_number_and_no_crash() -> None:
    log = Log(3, np.arange(300) % 2, np.ones(300), np.full(300, 0.5))
    never = condense(log, np.tile([0.0, 0, 1], (300, 1)))
    for found in estimate_all(never).values():
        assert found.overlap is not None and found.overlap.verdict is Verdict.NOT_ESTIMABLE
        assert np.isnan([found.value, found.lo, found.hi]).all()
