"""Policies beside a log: what each is worth there beyond no offer, in every way of estimating, and what supports it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from campaigns.decision import Context
from evaluation.estimate import Estimate
from evaluation.off_policy.contrast import difference
from evaluation.off_policy.coverage import describe
from evaluation.off_policy.estimators import Terms, doubly_robust
from evaluation.off_policy.intervals import with_bootstrap
from evaluation.off_policy.propensity import doubt_support, estimate_propensity
from evaluation.off_policy.reward_model import CrossFitted, fit_reward
from evaluation.off_policy.rounds import Floats, Log, Rounds, condense
from evaluation.off_policy.table import Interval, estimate_all
from experiments.train import Trained
from history.features import FEATURES
from simulators.effects.crossfit import dummies
from simulators.logged_rounds import LoggedRounds

FOLDS: Final = 3
_ROWS: Final = 65_536


@dataclass(frozen=True, eq=False)
class Judge:
    """A log, what was fitted to it, and the policy of no offer, which all others are held against.

    Attributes:
        log: Past rounds.
        model: Of the reward.
        nothing: Always action 0.
        seed: Of the bootstrap.
    """

    log: Log
    model: CrossFitted
    nothing: Rounds
    seed: int

    def beside(self, dist: Floats) -> Rounds:
        """Lay a policy's probabilities, shape (n, n_actions), beside the log."""
        return condense(self.log, dist, self.model)

    def uplift(self, rounds: Rounds) -> Estimate:
        """Estimate what a policy brings in a round beyond no offer."""
        return with_bootstrap(*difference(rounds, self.nothing), self.seed)

    def uplift_as_logged(self) -> Estimate:
        """Estimate the same of what the shop did itself."""
        terms = Terms(self.log.reward - doubly_robust(self.nothing).top)
        return with_bootstrap(terms, self.nothing, self.seed)


def make_judge(rounds: LoggedRounds, n_actions: int, weeks: int, seed: int) -> Judge:
    """Fit all that policies are judged by to a log's rounds.

    Where a chance is not known, all are estimated from what was known of the customer and the week, and marked.

    Args:
        rounds: All followed for `weeks` weeks.
        n_actions: Size of the log's catalog.
        weeks: That a decision is credited with.
        seed: Of the folds, the forests and the bootstrap.

    Raises:
        InputError: A row is none that a log can hold, there are fewer customers than folds, or chances are neither
            known nor to be estimated.
    """
    week, known = dummies(rounds.weeks), rounds.features[:, : len(FEATURES)].astype(np.float64)
    pscore, score = rounds.pscore, None
    if np.isnan(pscore).any():
        fitted = estimate_propensity(rounds.action, np.concatenate([known, week], axis=1), n_actions)
        pscore, score = fitted.pscore, fitted.score
    log = Log(
        n_actions,
        rounds.action,
        rounds.net[:, weeks - 1],
        pscore,
        rounds.customer,
        doubt=doubt_support(rounds.action, rounds.features, n_actions, seed),
        score=score,
        ids=rounds.customer * (int(rounds.weeks.max()) + 1) + rounds.weeks,
    )
    model = fit_reward(log, np.concatenate([rounds.features, week], axis=1), seed, FOLDS)
    return Judge(log, model, condense(log, always(0, log.n, n_actions), model), seed)


def always(action: int, n: int, n_actions: int) -> Floats:
    """Return the probabilities of a policy that only ever takes one action, shape (n, n_actions)."""
    dist = np.zeros((n, n_actions))
    dist[:, action] = 1.0
    return dist


def decide(group: Sequence[Trained], rounds: LoggedRounds) -> Floats:
    """Return the probabilities of an agent's offers in the rounds, mixed evenly over its seeds, shape (n, n_actions).

    λ is 0, as on the held-out market. Sums that single precision left off 1 are brought to it.
    """
    found = np.zeros(rounds.mask.shape)
    for rows in np.array_split(np.arange(rounds.n), -(-rounds.n // _ROWS)):
        features, mask = torch.from_numpy(rounds.features[rows]), torch.from_numpy(rounds.mask[rows])
        for one in group:
            dist = one.policy.action_dist(Context(features, mask, torch.zeros(len(rows)))).double().numpy()
            found[rows] += dist / dist.sum(axis=1, keepdims=True) / len(group)
    return found


def row_of(agent: str, judge: Judge, dist: Floats) -> dict[str, Any]:
    """Return what the log tells of an agent.

    `uplift` is the doubly robust estimate beyond no offer, whose overlap gives verdict and diagnostics; `value` all
    estimators of the whole worth; `weekly` how many customers' records would count if it had decided week after week.
    """
    rounds = judge.beside(dist)
    uplift, every = judge.uplift(rounds), estimate_all(rounds, Interval.BOOTSTRAP, judge.seed)
    return {
        "agent": agent,
        "offers": float(1 - dist[:, 0].mean()),
        "uplift": uplift.to_dict(),
        "value": {str(name): estimate.to_dict() for name, estimate in every.items()},
        "weekly": weekly_size(rounds),
    }


def weekly_size(rounds: Rounds) -> dict[str, float]:
    """Return the effective number of customers, of how many, if weights multiply over all of a customer's rounds.

    This is what an estimate of a policy's consequences from week to week would rest on.

    Reference:
        Precup, Sutton & Singh, "Eligibility Traces for Off-Policy Policy Evaluation", ICML 2000, for the products.
    """
    assert rounds.customer is not None
    product = np.ones(int(rounds.customer.max()) + 1)
    np.multiply.at(product, rounds.customer, rounds.weight)
    return {"effective": describe(product).effective_n, "customers": len(product)}
