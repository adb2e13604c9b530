"""The chance that a customer stays away: no visit in the next 13 weeks."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from history.features import FEATURES, features
from history.state import State

Floats = NDArray[np.float64]
SILENCE = 13
"""Weeks without a visit that count as gone."""
INPUTS = (*(name for name in FEATURES if name.startswith(("weeks_since_visit", "visit_rate"))), "basket_rate")
"""Features that the score reads: recency, rhythm at every half-life and baskets."""
_COLUMNS = [FEATURES.index(name) for name in INPUTS]
MAX_Z = 5.0


@dataclass(frozen=True, eq=False)
class ChurnScore:
    """A logistic regression on standardised features.

    Attributes:
        mean, scale, weights: Per input, shape (len(INPUTS),), float64.
        bias: Log-odds of staying away at the means, shape (), float64.
    """

    mean: Tensor
    scale: Tensor
    weights: Tensor
    bias: Tensor


def fit_churn(states: State, silent: NDArray[np.bool_]) -> ChurnScore:
    """Fit to customers as they stood at some weeks, and whether they then stayed away, shape (n,); both must occur."""
    rows = features(states)[:, _COLUMNS].double()
    mean, scale = rows.mean(dim=0), rows.std(dim=0).clamp(min=1e-6)
    z = ((rows - mean) / scale).clamp(-MAX_Z, MAX_Z).numpy()
    fit = LogisticRegression(C=0.1, max_iter=2000).fit(z, silent)
    return ChurnScore(mean, scale, torch.from_numpy(fit.coef_[0].copy()), torch.tensor(float(fit.intercept_[0])))


def score_churn(score: ChurnScore, state: State) -> Tensor:
    """Return the chance of no visit in the next 13 weeks, shape (n,), float64."""
    rows = features(state)[:, _COLUMNS].double()
    z = ((rows - score.mean) / score.scale).clamp(-MAX_Z, MAX_Z)
    return torch.sigmoid(z @ score.weights + score.bias)
