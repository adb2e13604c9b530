"""Estimators of a policy's value from a log, as a mean or a ratio of means over rounds.

Each returns the terms of its value; `intervals` turns terms into an estimate. w is the importance weight, r the reward,
q the predicted reward of the logged action and v the reward that the model expects of the policy; all per round.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from campaigns.errors import InputError
from evaluation.off_policy.rounds import Rounds

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Terms:
    """What a value is a mean of, or a ratio of two means, plus a mean.

    Attributes:
        top: Shape (n,), in the unit of the reward.
        below: Shape (n,); None where the value is a mean.
        plus: Added to the ratio, shape (n,); None where nothing is.
        bias: How far the value may lie off what the policy earns, estimated, in the unit of the reward, >= 0.
        spread: Influence of each round where another than that of the terms is to be believed, shape (n,).
    """

    top: Floats
    below: Floats | None = None
    plus: Floats | None = None
    bias: float = 0.0
    spread: Floats | None = None

    @property
    def value(self) -> float:
        """The value; NaN where what stands below has mean 0, as if the policy never does what the log did."""
        plain = float(self.top.mean()) / (1.0 if self.below is None else _or_nan(self.below))
        return plain + (0.0 if self.plus is None else float(self.plus.mean()))

    @property
    def influence(self) -> Floats:
        """What each round adds to the error of the value, shape (n,), mean 0; the delta method for a ratio."""
        if self.spread is not None:
            return np.asarray(self.spread - self.spread.mean())
        if self.below is None:
            found = self.top - self.top.mean()
        else:
            below = _or_nan(self.below)
            found = (self.top - (self.top.mean() / below) * self.below) / below
        return np.asarray(found if self.plus is None else found + (self.plus - self.plus.mean()))


def _or_nan(below: Floats) -> float:
    return float(below.mean()) or float("nan")


class Shrinking(StrEnum):
    """How a weight is made smaller; a limit of infinity leaves it, and smaller limits shrink more."""

    CLIP = "clip"
    SWITCH = "switch"
    OPTIMISTIC = "optimistic"
    SUB_GAUSSIAN = "sub-Gaussian"


def shrink(weight: Floats, how: Shrinking, limit: float) -> Floats:
    """Return smaller weights, shape (n,).

    Args:
        weight: Importance weights, shape (n,), >= 0.
        how: Clip: min(w, limit) (Ionides, 2008). Switch: w where w <= limit, else 0 (Wang et al., 2017).
            Optimistic: limit w / (w^2 + limit) (Su et al., 2020). Sub-Gaussian: w / (1 - 1/limit + w/limit)
            (Metelli et al., 2021, with s = -1, lambda = 1/limit); its limit is at least 1.
        limit: > 0, in the unit of the weights (optimistic: of their square).

    Raises:
        InputError: The limit is outside its range.
    """
    if not limit > 0 or (how is Shrinking.SUB_GAUSSIAN and limit < 1):
        least = "1 or more" if how is Shrinking.SUB_GAUSSIAN else "above 0"
        raise InputError(f"off-policy: the limit of {how} weights is {limit}, expected {least}; take a larger one")
    if np.isinf(limit):
        return weight
    if how is Shrinking.CLIP:
        return np.minimum(weight, limit)
    if how is Shrinking.SWITCH:
        return np.where(weight <= limit, weight, 0.0)
    if how is Shrinking.OPTIMISTIC:
        return limit * weight / (weight * weight + limit)
    return weight / (1 - 1 / limit + weight / limit)


def replay(rounds: Rounds) -> Terms:
    """Average the reward where a deterministic policy does what a uniformly random log did.

    Raises:
        InputError: The policy is random, or the log's probabilities differ: the matched rounds would be no sample of
            the contexts.

    Reference:
        Li, Chu, Langford & Wang, "Unbiased Offline Evaluation of Contextual-bandit-based News Article Recommendation
        Algorithms", WSDM 2011, algorithm 2.
    """
    if not rounds.uniform:
        raise InputError(
            "off-policy: replay was asked of a random policy or of a log whose pscore varies, expected a policy "
            "of one action per round and one pscore; use snips"
        )
    matched = (rounds.weight > 0).astype(np.float64)
    return Terms(matched * rounds.reward, matched)


def direct_method(rounds: Rounds) -> Terms:
    """Average what the reward model expects of the policy.

    Its error is that of the doubly robust estimate, and what that one corrects is its estimated bias.

    Reference:
        Beygelzimer & Langford, "The Offset Tree for Learning with Partial Labels", KDD 2009; the
        correction: Dudík, Langford & Li, ICML 2011.
    """
    correction = rounds.weight * (rounds.reward - rounds.predicted)
    return Terms(rounds.expected, bias=abs(float(correction.mean())), spread=rounds.expected + correction)


def ips(rounds: Rounds) -> Terms:
    """Average w r.

    Reference:
        Horvitz & Thompson, "A Generalization of Sampling Without Replacement", JASA 47(260), 1952.
    """
    return Terms(rounds.weight * rounds.reward)


def clipped_ips(rounds: Rounds, limit: float | None = None) -> Terms:
    """Average min(w, limit) r; the limit is sqrt(n) unless told, so that the bias vanishes in long logs.

    Reference:
        Ionides, "Truncated Importance Sampling", JCGS 17(2), 2008.
    """
    limit = float(np.sqrt(rounds.n)) if limit is None else limit
    return _shrunk(rounds.without_model(), shrink(rounds.weight, Shrinking.CLIP, limit))


def snips(rounds: Rounds) -> Terms:
    """Average w r over average w.

    Reference:
        Swaminathan & Joachims, "The Self-Normalized Estimator for Counterfactual Learning", NIPS 2015.
    """
    return Terms(rounds.weight * rounds.reward, rounds.weight)


def doubly_robust(rounds: Rounds) -> Terms:
    """Average v + w (r - q).

    Reference:
        Dudík, Langford & Li, "Doubly Robust Policy Evaluation and Learning", ICML 2011.
    """
    return Terms(rounds.expected + rounds.weight * (rounds.reward - rounds.predicted))


def self_normalized_dr(rounds: Rounds) -> Terms:
    """Average v, plus average w (r - q) over average w.

    Reference:
        Thomas & Brunskill, "Data-Efficient Off-Policy Policy Evaluation for Reinforcement Learning", ICML 2016
        (weighted doubly robust), at horizon 1.
    """
    return Terms(rounds.weight * (rounds.reward - rounds.predicted), rounds.weight, rounds.expected)


def switch_dr(rounds: Rounds, limit: float) -> Terms:
    """Average v + w 1(w <= limit) (r - q).

    Reference:
        Wang, Agarwal & Dudík, "Optimal and Adaptive Off-policy Evaluation in Contextual Bandits", ICML 2017.
    """
    return _shrunk(rounds, shrink(rounds.weight, Shrinking.SWITCH, limit))


def optimistic_dr(rounds: Rounds, limit: float) -> Terms:
    """Average v + limit w / (w^2 + limit) (r - q): "DRos".

    Reference:
        Su, Dimakopoulou, Krishnamurthy & Dudík, "Doubly robust off-policy evaluation with shrinkage", ICML 2020.
    """
    return _shrunk(rounds, shrink(rounds.weight, Shrinking.OPTIMISTIC, limit))


def sub_gaussian_dr(rounds: Rounds, limit: float | None = None, risk: float = 0.05) -> Terms:
    """Average v + w / (1 - l + l w) (r - q) with l = 1 / limit.

    Unless told, l = sqrt(2 log(1/risk) / (3 n mean(w^2))), at most 1.

    Reference:
        Metelli, Russo & Restelli, "Subgaussian and Differentiable Importance Sampling for Off-Policy Evaluation and
        Learning", NeurIPS 2021.
    """
    if limit is None:
        second = max(1.0, float(rounds.weight @ rounds.weight) / rounds.n)
        limit = max(1.0, float(np.sqrt(1.5 * rounds.n * second / np.log(1 / risk))))
    return _shrunk(rounds, shrink(rounds.weight, Shrinking.SUB_GAUSSIAN, limit))


def _shrunk(rounds: Rounds, weight: Floats) -> Terms:
    """Make terms of smaller weights: no more certain than whole ones, and off by what these would have added."""
    residual = rounds.reward - rounds.predicted
    bias = abs(float(((rounds.weight - weight) * residual).mean()))
    return Terms(rounds.expected + weight * residual, bias=bias, spread=rounds.expected + rounds.weight * residual)
