"""Which of several policies would be picked, how sure that is, and what it costs if the pick was wrong.

Reference:
    Kiyohara et al., "Towards Assessing and Benchmarking Risk-Return Tradeoff of Off-Policy Evaluation", ICLR 2024:
    the best, the worst and the spread of the k policies that an estimate ranks first, and their Sharpe ratio.
    Fu et al., "Benchmarks for Deep Off-Policy Evaluation", ICLR 2021: regret@k.
    Rockafellar & Uryasev, "Optimization of Conditional Value-at-Risk", Journal of Risk 2(3), 2000.
    Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2), 2007.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TAIL: Final = 0.1
"""Share of the worst cases that the conditional value at risk is the mean of."""


@dataclass(frozen=True)
class Picked:
    """The k policies that an estimate ranks first, by what they are truly worth.

    Attributes:
        k: How many.
        regret: Best of all policies less the best of these, >= 0.
        best, worst, mean: Of these.
        spread: Standard deviation of these, over k, not k - 1.
        sharpe: (best - baseline) / spread: what a test of all k in the shop may find over the risk that it runs; None
            where they are all alike.
    """

    k: int
    regret: float
    best: float
    worst: float
    mean: float
    spread: float
    sharpe: float | None


def pick(estimated: Floats, true: Floats, baseline: float) -> list[Picked]:
    """Return what the first k policies are worth, for every k.

    Args:
        estimated: What policies were thought to be worth, shape (n,), n >= 1; of equals the first is ranked first.
        true: What they are worth, same shape and unit.
        baseline: What the policy in place is worth.
    """
    ranked = true[np.argsort(-estimated, kind="stable")]
    found = []
    for k in range(1, len(ranked) + 1):
        first = ranked[:k]
        best, spread = float(first.max()), float(first.std())
        flat = spread <= 1e-12 * max(float(np.abs(first).max()), 1e-300)
        sharpe = None if flat else (best - baseline) / spread
        found.append(Picked(k, float(true.max()) - best, best, float(first.min()), float(first.mean()), spread, sharpe))
    return found


@dataclass(frozen=True)
class Claims:
    """How often policies were wrongly said to be better than a baseline, and how often that was missed.

    Attributes:
        better, worse: How many truly are better, and are not.
        type_i: Share of those that are not better that were said to be; None where all are better.
        type_ii: Share of those that are better that were not said to be; None where none is.
    """

    better: int
    worse: int
    type_i: float | None
    type_ii: float | None


def judge_claims(claimed: NDArray[np.bool_], truly: NDArray[np.bool_]) -> Claims:
    """Compare what was said with what is so, each of shape (n,)."""
    better, worse = int(truly.sum()), int((~truly).sum())
    return Claims(
        better=better,
        worse=worse,
        type_i=float((claimed & ~truly).sum()) / worse if worse else None,
        type_ii=float((~claimed & truly).sum()) / better if better else None,
    )


def redraw(values: Sequence[Floats], seed: int, resamples: int = 1000) -> Floats:
    """Return bootstrapped means of policies that were judged on the same customers and draws, shape (n, resamples).

    Customers and draws of the effects are drawn anew for all policies alike, seeds for each by itself. A policy of one
    seed keeps it. Such a bootstrap of crossed samples is never too bold in the mean (Owen, 2007), save for seeds: the
    spread of s seeds comes out too small by the factor sqrt((s - 1) / s).

    Args:
        values: Of each policy, shape (seeds, draws, customers); seeds may differ.
        seed: Same seed, same resamples.
        resamples: How many.
    """
    rng = np.random.default_rng(seed)
    draws, customers = values[0].shape[1:]
    of_customers = rng.multinomial(customers, np.full(customers, 1.0 / customers), size=resamples).T / customers
    of_draws = rng.multinomial(draws, np.full(draws, 1.0 / draws), size=resamples).T / draws
    means = []
    for value in values:
        seeds = len(value)
        by_seed = np.einsum("sdb,db->sb", value @ of_customers, of_draws)
        of_seeds = rng.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=resamples).T / seeds
        means.append((by_seed * of_seeds).sum(axis=0))
    return np.stack(means)


def chance_best(means: Floats) -> Floats:
    """Return how likely each policy is the best, ties shared, shape (n,); `means` as `redraw` returns them."""
    best = means == means.max(axis=0)
    return np.asarray((best / best.sum(axis=0)).mean(axis=1))


def expected_regret(means: Floats) -> Floats:
    """Return what is lost in the mean if a policy is picked and another one turns out to be better, shape (n,)."""
    return np.asarray((means.max(axis=0) - means).mean(axis=1))


def conditional_value_at_risk(values: Floats, tail: float = TAIL) -> Floats:
    """Return the mean of the worst `tail` of cases along the last axis; the case at the edge counts in part.

    Args:
        values: Higher is better, shape (..., n).
        tail: Share of the cases, in (0, 1].
    """
    ordered = np.sort(values, axis=-1)
    n = ordered.shape[-1]
    weight = np.clip(tail * n - np.arange(n), 0.0, 1.0)
    return np.asarray(ordered @ weight / weight.sum())
