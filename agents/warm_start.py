"""What logged decisions teach a bandit before its first own one, weighted by the probabilities of their choice.

Reference:
    Dudík, Langford & Li, "Doubly Robust Policy Evaluation and Learning", ICML 2011.
    Horvitz & Thompson, "A Generalization of Sampling Without Replacement from a Finite Universe", JASA 47, 1952 (IPS).
"""

from collections.abc import Callable
from enum import Enum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.posterior import believe_apart
from agents.regression import Statistics
from agents.shared import residual_square
from campaigns.decision import ObservationLayout
from campaigns.errors import InputError
from history.feedback import LoggedFeedback, effective_size

Regressors = Callable[[Tensor, Tensor], Tensor]

CLIP = 50.0
"""Largest weight of a logged decision."""
_ROWS = 65_536


class Weighting(Enum):
    """How logged decisions are made to speak for all customers."""

    OFF = "off"  # not at all: the bandit begins with nothing
    NONE = "none"  # as they are
    IPS = "ips"  # each counts 1 / pscore
    DOUBLY_ROBUST = "doubly_robust"  # each corrects a model of the outcome by 1 / pscore


def warm_statistics(
    log: LoggedFeedback, layout: ObservationLayout, regressors: Regressors, weighting: Weighting, noise: float
) -> Statistics:
    """Return the statistics of a log, as if its decisions had been made at random.

    Weights are cut at `CLIP`. Each offer counts for as many decisions as its weighted log is worth (the effective
    sample size), so that nothing is believed more firmly than it was seen. Where the log's outcomes spread more than
    `noise`, as those do that were lived through and not expected, a decision counts for that much less beside the
    bandit's own ones.

    Args:
        log: Past decisions on the layout's features and offers, with their probabilities.
        layout: Of the world that the bandit is about to learn in.
        regressors: From features (n, n_features) and λ (n,), which a log does not know and is 0, to regressors (n, p).
        weighting: What the probabilities are used for.
        noise: Standard deviation that the bandit's own outcomes have around their mean [USD].

    Raises:
        InputError: The log has other features or offers than the layout, or no probabilities.
    """
    if log.feature_names != layout.feature_names or log.n_actions != layout.n_actions:
        raise InputError(
            f"logged feedback has {len(log.feature_names)} features and {log.n_actions} offers; expected the "
            f"{layout.n_features} features and {layout.n_actions} offers of the market, in their order"
        )
    if weighting is Weighting.NONE:
        return _quietened(_weighted(log, regressors, np.ones(log.n)), noise)
    if log.pscore is None:
        raise InputError("logged feedback has no pscore; without it expected agent.warm_start=none or off")
    weight = clipped_weights(log.pscore)
    plain = _weighted(log, regressors, weight)
    worth = torch.from_numpy(effective(log.action, weight, log.n_actions))
    if weighting is Weighting.IPS:
        return _quietened(_scaled(plain, worth / plain.count.clamp(min=1e-12)), noise)
    return _quietened(_doubly_robust(log, regressors, weight, plain, worth), noise)


def clipped_weights(pscore: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much each decision counts, shape (n,): 1 / pscore, at most `CLIP`."""
    weight: NDArray[np.float64] = np.minimum(1.0 / pscore, CLIP)
    return weight


def effective(action: NDArray[np.int64], weight: NDArray[np.float64], n_actions: int) -> NDArray[np.float64]:
    """Return the effective sample size of each offer's decisions, shape (n_actions,)."""
    total = np.bincount(action, weight, n_actions).astype(np.float64)
    square = np.bincount(action, weight**2, n_actions).astype(np.float64)
    return effective_size(total, square)


def _quietened(statistics: Statistics, noise: float) -> Statistics:
    """Let noisier decisions count for less: by their precision, as generalised least squares weighs them."""
    mean = believe_apart(statistics, ridge=1.0, noise=noise).mean.permute(1, 2, 0).double()
    spread = residual_square(statistics, mean)[0, 0] / statistics.count.sum().clamp(min=1e-12)
    return statistics.times(float((noise**2 / spread.clamp(min=1e-12)).clamp(max=1.0)))


def _weighted(log: LoggedFeedback, regressors: Regressors, weight: NDArray[np.float64]) -> Statistics:
    statistics = None
    for rows in np.array_split(np.arange(log.n), max(1, -(-log.n // _ROWS))):
        x = regressors(torch.from_numpy(log.features[rows]), torch.zeros(len(rows))).double()
        outcome = torch.from_numpy(np.stack([log.reward[rows], log.cost[rows]], axis=1))
        statistics = statistics or Statistics.empty(log.n_actions, x.shape[1])
        statistics.add(x, torch.from_numpy(log.action[rows]), outcome, torch.from_numpy(weight[rows]))
    assert statistics is not None
    return statistics


def _scaled(statistics: Statistics, factor: Tensor) -> Statistics:
    wide = factor.view(-1, 1, 1)
    return Statistics(
        statistics.gram * wide, statistics.moment * wide, statistics.square * wide, statistics.count * factor
    )


def _doubly_robust(
    log: LoggedFeedback,
    regressors: Regressors,
    weight: NDArray[np.float64],
    plain: Statistics,
    worth: Tensor,
) -> Statistics:
    """Regress model plus weighted residual on every decision that an offer was allowed in."""
    model = believe_apart(plain, ridge=1.0, noise=1.0).mean.double()
    found = Statistics.empty(log.n_actions, plain.gram.shape[1])
    for rows in np.array_split(np.arange(log.n), max(1, -(-log.n // _ROWS))):
        x = regressors(torch.from_numpy(log.features[rows]), torch.zeros(len(rows))).double()
        action, mask = torch.from_numpy(log.action[rows]), torch.from_numpy(log.mask[rows])
        outcome = torch.from_numpy(np.stack([log.reward[rows], log.cost[rows]], axis=1))
        for offer in range(log.n_actions):
            guess = x @ model[:, offer].T
            taken = (action == offer).unsqueeze(1)
            corrected = guess + taken * (outcome - guess) * torch.from_numpy(weight[rows]).unsqueeze(1)
            allowed = mask[:, offer]
            found.add(x[allowed], torch.full((int(allowed.sum()),), offer), corrected[allowed])
    scaled = _scaled(found, worth / found.count.clamp(min=1e-12))
    # Corrections spread more than outcomes do: the residuals are those of the outcomes.
    observed = _scaled(plain, worth / plain.count.clamp(min=1e-12))
    square = observed.square - _explained(observed) + _explained(scaled)
    return Statistics(scaled.gram, scaled.moment, square, scaled.count)


def _explained(statistics: Statistics) -> Tensor:
    """Return the outcomes' products that regression explains, shape (n_actions, k, k)."""
    mean = believe_apart(statistics, ridge=1e-6, noise=1.0).mean.permute(1, 2, 0).double()
    return mean.mT @ statistics.moment
