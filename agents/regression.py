"""Linear regression per offer from sufficient statistics: what all linear agents learn with."""

from collections import deque
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

CLIP = 4.0
"""Features are cut here before they are multiplied, so that no single customer steers a square."""


@dataclass(frozen=True, eq=False)
class Basis:
    """Turns features into regressors: 1, every feature, and the products of chosen pairs (squares included).

    Attributes:
        pairs: Indices of the features to multiply, shape (n_pairs, 2), int64.
    """

    pairs: Tensor

    def expand(self, features: Tensor) -> Tensor:
        """Return regressors, shape (n, 1 + n_features + n_pairs), of the dtype of `features`."""
        x = features.clamp(-CLIP, CLIP)
        products = x.index_select(1, self.pairs[:, 0]) * x.index_select(1, self.pairs[:, 1])
        return torch.cat([torch.ones_like(x[:, :1]), x, products], dim=1)


def squares(n_features: int) -> Tensor:
    """Return the pairs that square every feature, shape (n_features, 2)."""
    return torch.arange(n_features).unsqueeze(1).expand(-1, 2).contiguous()


def products(features: Tensor) -> Tensor:
    """Return all pairs of different ones among some features' indices, shape (k * (k - 1) / 2, 2)."""
    return torch.combinations(features.sort().values, 2)


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over decisions, per offer, that linear regression needs; float64.

    Attributes:
        gram: Regressors times regressors, shape (n_actions, p, p).
        moment: Regressors times outcomes, such as (net, cost) [USD], shape (n_actions, p, k).
        square: Outcomes times outcomes [USD^2], shape (n_actions, k, k).
        count: Decisions, weighted as they were, shape (n_actions,).
    """

    gram: Tensor
    moment: Tensor
    square: Tensor
    count: Tensor

    @classmethod
    def empty(cls, n_actions: int, p: int, outcomes: int = 2) -> Self:
        shapes = ((n_actions, p, p), (n_actions, p, outcomes), (n_actions, outcomes, outcomes), (n_actions,))
        return cls(*(torch.zeros(shape, dtype=torch.float64) for shape in shapes))

    def add(self, regressors: Tensor, action: Tensor, outcome: Tensor, weight: Tensor | None = None) -> None:
        """Add decisions in place; products are taken in the dtype of the regressors, sums in float64.

        Args:
            regressors: Shape (n, p).
            action: Shape (n,), int64.
            outcome: Shape (n, k).
            weight: Of each decision, >= 0, shape (n,); 1 if not given.
        """
        order = action.argsort(stable=True)
        counts = torch.bincount(action, minlength=len(self.count)).tolist()
        x, y = regressors.index_select(0, order), outcome.to(regressors.dtype).index_select(0, order)
        w = torch.ones_like(y[:, 0]) if weight is None else weight.to(x.dtype).index_select(0, order)
        left = x if weight is None else x * w.unsqueeze(1)
        weighted = y if weight is None else y * w.unsqueeze(1)
        parts = zip(*(torch.split(column, counts) for column in (left, x, weighted, y)), strict=True)
        for offer, (xw, xs, yw, ys) in enumerate(parts):
            if len(xs):
                self.gram[offer] += xw.T @ xs
                self.moment[offer] += xw.T @ ys
                self.square[offer] += yw.T @ ys
        self.count.index_add_(0, action.index_select(0, order), w.double())

    def plus(self, other: "Statistics") -> "Statistics":
        return Statistics(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def times(self, factor: float) -> "Statistics":
        """Return the statistics of decisions that count `factor` times as much."""
        return Statistics(*(factor * a for a in vars(self).values()))


class Memory:
    """The statistics of what is remembered: all of it, what is recent by a forgetting factor, or a window.

    Reference:
        Russac, Vernade & Cappé, "Weighted Linear Bandits for Non-Stationary Environments", NeurIPS 2019 (forgetting);
        Cheung, Simchi-Levi & Zhu, "Learning to Optimize under Non-Stationarity", AISTATS 2019 (window).
    """

    def __init__(self, empty: Statistics, discount: float = 1.0, window: int = 0) -> None:
        """Begin with nothing; `discount` is per part, `window` the number of parts that are kept, 0 for all."""
        self._discount = discount
        self._parts: deque[Statistics] | None = deque(maxlen=window) if window else None
        self.total = empty
        """Of all that is remembered."""

    def add(self, part: Statistics) -> None:
        """Add a part, and let older ones fade or go."""
        if self._parts is None:
            self.total = (self.total if self._discount == 1.0 else self.total.times(self._discount)).plus(part)
            return
        full = len(self._parts) == self._parts.maxlen
        left = self.total.plus(self._parts[0].times(-1.0)) if full else self.total
        self._parts.append(part)
        self.total = left.plus(part)
