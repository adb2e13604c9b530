"""What one policy is worth beyond another, judged by the same rounds: what both earn there cancels out."""

from dataclasses import replace

from evaluation.estimate import Verdict
from evaluation.off_policy.coverage import Coverage
from evaluation.off_policy.estimators import Terms, doubly_robust
from evaluation.off_policy.rounds import Rounds

_WORST_FIRST = (Verdict.NOT_ESTIMABLE, Verdict.WEAK, Verdict.ESTIMABLE)


def difference(mine: Rounds, other: Rounds) -> tuple[Terms, Rounds]:
    """Return the terms of the doubly robust value of one policy less that of another, and the rounds behind them.

    The doubly robust terms are linear in the weights and in what the model expects, so they are those of the
    differences. A difference is covered as far as the one of the two that is covered less.

    Args:
        mine, other: Two policies beside the same log and model.

    Reference:
        Dudík, Langford & Li, "Doubly Robust Policy Evaluation and Learning", ICML 2011, for the terms.
    """
    between = replace(
        mine,
        weight=mine.weight - other.weight,
        expected=mine.expected - other.expected,
        coverage=min(mine.coverage, other.coverage, key=_rank),
        uniform=False,
    )
    return doubly_robust(between), between


def _rank(coverage: Coverage) -> tuple[int, float]:
    overlap = coverage.judge()
    return _WORST_FIRST.index(overlap.verdict), overlap.effective_n
