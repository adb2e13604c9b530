"""Whether a log covers what a policy does, and the verdict that follows."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluation.estimate import Overlap, Verdict
from history.feedback import effective_size

Floats = NDArray[np.float64]
TOLERATED = 0.01
"""Share of a policy's decisions without support beyond which there is no number."""
FALSE_REFUSALS = 0.005
"""Chance to find a lack of support in a log that has none, over all tests together."""
DOUBTED = 0.5
"""Least share of its average probability that an action is granted where it is doubted, before it counts as lacking."""
FEWEST = 10.0
"""Effective rounds below which there is no number."""
ENOUGH = 100.0
"""Effective rounds from which a normal limit is believed."""
DOMINANT = 0.1
"""Share of all weight on one round from which that round alone moves the value."""


@dataclass(frozen=True)
class Coverage:
    """What is known of the support.

    Attributes:
        effective_n: Effective rounds (`history.feedback.effective_size`).
        largest_weight: Largest weight.
        dominance: Share of the total weight that the largest has.
        unsupported: Share of the policy's probability without support, in [0, 1].
        lack: In words where it lacks; empty where nothing was found.
        pscore_estimated: Whether the weights rest on estimated probabilities.
    """

    effective_n: float
    largest_weight: float
    dominance: float
    unsupported: float
    lack: str = ""
    pscore_estimated: bool = False

    def judge(self) -> Overlap:
        """Return the verdict."""
        verdict, why = self._verdict()
        return Overlap(self.effective_n, self.largest_weight, self.unsupported, verdict, why, self.pscore_estimated)

    def _verdict(self) -> tuple[Verdict, str]:
        if self.unsupported > TOLERATED:
            return Verdict.NOT_ESTIMABLE, f"{self.unsupported:.1%} of the policy's decisions {self.lack}"
        if self.effective_n < FEWEST:
            return Verdict.NOT_ESTIMABLE, f"{self.effective_n:.1f} effective rounds; at least {FEWEST:.0f} are needed"
        doubts = []
        if self.effective_n < ENOUGH:
            doubts.append(f"only {self.effective_n:.0f} effective rounds")
        if self.dominance > DOMINANT:
            doubts.append(f"one round holds {self.dominance:.0%} of the weight")
        if self.unsupported > 0:
            doubts.append(f"{self.unsupported:.2%} of the policy's decisions {self.lack}")
        if self.pscore_estimated:
            doubts.append("probabilities of the log are estimated, right only if their model is")
        if doubts:
            return Verdict.WEAK, "; ".join(doubts)
        return Verdict.ESTIMABLE, f"{self.effective_n:.0f} effective rounds"


def describe(weight: Floats) -> Coverage:
    """Describe weights, shape (n,), as far as they alone tell."""
    total, square = float(weight.sum()), float(weight @ weight)
    largest = float(weight.max())
    effective = float(effective_size(np.array(total), np.array(square)))
    return Coverage(effective, largest, largest / total if total > 0 else 1.0, 0.0)


class CoverageSums:
    """Collects, chunk by chunk, what the policy does and what the log shows of it, by action.

    Under full support the weights of an action sum, in expectation, to the policy's probability of it, in every group
    of contexts: E[w 1(A = a) h(x)] = E[pi(a|x) h(x)]. A sum that is significantly short shows contexts in which the
    log never takes the action. Each action is tested in all contexts, and in those in which it is doubted. The log
    draws each round anew, given what went before, so rounds of one customer are uncorrelated here. Where the log's own
    probabilities are known, what has none is counted instead.

    Reference:
        Owen, "Monte Carlo theory, methods and examples", 2013, chapter 9 (weights average 1), group by group; the
        level is shared among the tests after Bonferroni.
    """

    def __init__(self, n_actions: int) -> None:
        shape = (2, n_actions)  # all contexts; those in doubt
        self._meant, self._meant_squared = np.zeros(shape), np.zeros(shape)
        self._shown, self._variance = np.zeros(shape), np.zeros(shape)
        self._taken, self._inverse = np.zeros(n_actions), np.zeros(n_actions)
        self._without = 0.0
        self._known = False
        self._n = 0

    def add(
        self,
        policy: Floats,
        behavior: Floats | NDArray[np.bool_] | None,
        action: NDArray[np.int64],
        pscore: Floats,
        doubt: NDArray[np.bool_] | None,
    ) -> None:
        """Add a chunk: probabilities and doubts of shape (m, n_actions), columns of shape (m,).

        `behavior` holds the log's probabilities, or as bool whether each may be above 0; None where neither is known.
        """
        self._n += len(action)
        if behavior is not None:
            self._known = self._known or behavior.dtype != bool
            self._without += float(policy[behavior <= 0].sum())
        if self._known:
            return
        self._taken += np.bincount(action, minlength=len(self._taken))
        self._inverse += np.bincount(action, 1 / pscore, minlength=len(self._taken))
        chosen = policy[np.arange(len(action)), action]
        self._sum(0, policy, action, chosen, pscore)
        if doubt is not None:
            held = doubt[np.arange(len(action)), action]
            self._sum(1, policy * doubt, action, chosen * held, pscore)

    def _sum(self, group: int, policy: Floats, action: NDArray[np.int64], chosen: Floats, pscore: Floats) -> None:
        weight = chosen / pscore
        self._meant[group] += policy.sum(axis=0)
        self._meant_squared[group] += np.einsum("na,na->a", policy, policy)
        self._shown[group] += np.bincount(action, weight, minlength=policy.shape[1])
        self._variance[group] += np.bincount(action, weight * (weight - 2 * chosen), minlength=policy.shape[1])

    def finish(self, weight: Floats, pscore_estimated: bool) -> Coverage:
        """Test, and describe the weights of all rounds, shape (n,)."""
        share, lack = self._lack()
        return replace(describe(weight), unsupported=share, lack=lack, pscore_estimated=pscore_estimated)

    def _lack(self) -> tuple[float, str]:
        if self._known:
            return self._without / self._n, "have probability 0 in the log"
        never = self._taken == 0
        share = (self._without + float(self._meant[0, never].sum())) / self._n
        short = self._meant - self._shown
        typical = np.minimum(1.0, np.divide(self._taken, self._inverse, out=np.ones(len(never)), where=~never))
        assumed = np.stack([typical, typical * DOUBTED])
        variance = np.maximum(self._variance + self._meant_squared, self._meant_squared * (1 / assumed - 1))
        tested = (variance > 0) & ~never
        limit = float(stats.norm.isf(FALSE_REFUSALS / max(1, int(tested.sum()))))
        found = tested & (short > limit * np.sqrt(np.maximum(variance, 1e-300)))
        lacking = float(np.where(found, short, 0.0).max(axis=0).sum()) / self._n
        if share > 0:
            return min(1.0, share + lacking), "are offers that the log never took where the policy takes them"
        return min(1.0, lacking), "fall on contexts in which the log does not take them" if lacking > 0 else ""
