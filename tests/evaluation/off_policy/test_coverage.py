"""Where the log does not cover the policy there is no number; where it does, there is one."""

from dataclasses import replace

import numpy as np
import pytest

from campaigns.errors import InputError
from evaluation.estimate import Verdict
from evaluation.off_policy.estimators import doubly_robust, ips
from evaluation.off_policy.intervals import with_normal
from evaluation.off_policy.propensity import estimate_propensity
from evaluation.off_policy.rounds import Log, condense
from evaluation.off_policy.table import estimate_all
from experiments.off_policy import misled, refused
from experiments.off_policy_logs import draw_blind, draw_case, draw_logistic


def test_an_offer_that_the_log_never_took_gives_no_number() -> None:
    case = draw_case(500, 0)
    kept = case.log.action != 3
    log = Log(4, case.log.action[kept], case.log.reward[kept], case.log.pscore[kept])
    for estimate in estimate_all(condense(log, case.policy[kept])).values():
        assert estimate.overlap is not None and estimate.overlap.verdict is Verdict.NOT_ESTIMABLE
        assert "never took" in estimate.overlap.why
        assert np.isnan([estimate.value, estimate.error, estimate.lo, estimate.hi]).all()
        assert estimate.to_dict()["lo"] is None
    on_policy = np.tile([0.4, 0.3, 0.3, 0.0], (int(kept.sum()), 1))
    assert condense(log, on_policy).coverage.judge().verdict is Verdict.ESTIMABLE


def test_known_probabilities_of_0_count_exactly() -> None:
    behavior = np.tile([0.5, 0.5, 0.0], (200, 1))
    action = np.arange(200) % 2
    log = Log(3, action, np.ones(200), np.full(200, 0.5), behavior=behavior)
    for mass, verdict in ((0.0, Verdict.ESTIMABLE), (0.005, Verdict.WEAK), (0.02, Verdict.NOT_ESTIMABLE)):
        overlap = condense(log, np.tile([0.5, 0.5 - mass, mass], (200, 1))).coverage.judge()
        assert overlap.unsupported == pytest.approx(mass)
        assert overlap.verdict is verdict


def test_few_effective_rounds_are_weak_and_fewer_give_no_number() -> None:
    def verdict(rare: int) -> Verdict:
        action = (np.arange(1000) < rare).astype(np.int64)
        pscore = np.where(action == 1, rare / 1000, 1 - rare / 1000)
        return condense(Log(2, action, np.ones(1000), pscore), np.tile([0.0, 1.0], (1000, 1))).coverage.judge().verdict

    assert [verdict(rare) for rare in (5, 50, 500)] == [Verdict.NOT_ESTIMABLE, Verdict.WEAK, Verdict.ESTIMABLE]


def test_estimated_pscores_are_marked_and_their_error_is_carried() -> None:
    case = draw_logistic(4000, 1)
    fitted = estimate_propensity(case.log.action, case.x, 4)
    every = slice(0, 4000)
    behavior, score = fitted.behavior(every), fitted.score(every)
    assert np.allclose(behavior.sum(axis=1), 1) and np.allclose(score.mean(axis=0), 0, atol=1e-4)
    assert np.array_equal(fitted.pscore, behavior[np.arange(4000), case.log.action])
    log = replace(case.log, pscore=fitted.pscore, behavior=None, score=fitted.score)
    rounds = condense(log, case.policy)
    estimate = with_normal(ips(rounds), rounds)
    assert estimate.overlap is not None and estimate.overlap.pscore_estimated
    assert estimate.overlap.verdict is Verdict.WEAK and "estimated" in estimate.overlap.why
    ignored = with_normal(ips(rounds), replace(rounds, score=None))
    assert estimate.error < ignored.error  # fitted probabilities balance the contexts of the log by chance
    assert with_normal(doubly_robust(rounds), rounds).lo < case.truth < with_normal(doubly_robust(rounds), rounds).hi
    with pytest.raises(InputError, match="every round takes action 2"):
        estimate_propensity(np.full(10, 2), np.zeros((10, 1)), 4)


@pytest.mark.slow
def test_logs_that_mislead_are_refused_and_good_ones_are_not() -> None:
    blind = [(case, seed) for seed in range(40) if misled(case := draw_blind(1000, seed))]
    assert len(blind) >= 10
    assert np.mean([refused(case, seed) for case, seed in blind]) >= 0.9
    assert sum(refused(draw_case(1000, seed), seed) for seed in range(40)) <= 3
