"""Who buys again: the chance that a customer buys a product they had before, from the rhythm of the pair."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from simulators.recommender.habits import Habits
from simulators.recommender.network import Layers, descend, init_layers, run_layers, shuffled_batches

Floats = NDArray[np.float32]

HORIZON: Final = 8
"""Weeks ahead in which buying again counts."""
_HIDDEN: Final = 32
_BATCH: Final = 8192
_EPOCHS: Final = 6
_RATE: Final = 6e-3
_MEMBERS: Final = 2
"""Networks whose logits are averaged."""


@dataclass(frozen=True, eq=False)
class ProductFacts:
    """What all customers together do with each of m products, as of a week; each shape (m,), float64.

    Attributes:
        buyers: Customers who ever bought it.
        repeaters: Customers who did so in two weeks or more.
        weeks: Customer-weeks with it.
        recent: The same, decayed at the middle half-life of `HALF_LIVES`.
    """

    buyers: NDArray[np.float64]
    repeaters: NDArray[np.float64]
    weeks: NDArray[np.float64]
    recent: NDArray[np.float64]


def product_facts(habits: Habits) -> ProductFacts:
    """Count over all customers of `habits`."""
    m = habits.shape[1]

    def count(weights: NDArray[np.floating] | None = None) -> NDArray[np.float64]:
        return np.bincount(habits.product, weights, minlength=m).astype(np.float64)

    repeated = (habits.weeks > 1).astype(np.float64)
    return ProductFacts(count(), count(repeated), count(habits.weeks.astype(np.float64)), count(habits.recent(1)))


@dataclass(frozen=True, eq=False)
class Rhythm:
    """Networks over the features of a pair, averaged in log-odds.

    Attributes:
        mean, scale: Of the features where the fit was done, shape (n_features,).
        members: Layers of each network.
    """

    mean: Tensor
    scale: Tensor
    members: tuple[Layers, ...]

    def logit(self, features: Floats) -> Floats:
        """Return the log-odds of buying again within the horizon, shape (pairs,)."""
        rows = _standard(torch.from_numpy(features), self.mean, self.scale)
        outputs = torch.stack([run_layers(layers, rows).squeeze(1) for layers in self.members])
        logits: Floats = outputs.mean(dim=0).numpy()
        return logits


def pair_features(habits: Habits, facts: ProductFacts, affinity: NDArray[np.floating]) -> Floats:
    """Describe each pair of `habits` as of `habits.now`.

    Args:
        habits: Of the customers in question.
        facts: Of all customers, as of the same week.
        affinity: Score of the matrix factors for each pair, shape (pairs,).

    Returns:
        Counts, ages and intervals in logs, shape (pairs, n_features), float32.
    """
    weeks, since, age = habits.weeks, habits.now - habits.last, habits.now - habits.first
    interval = np.where(weeks > 1, (habits.last - habits.first) / np.maximum(weeks - 1, 1), age)
    active, product = np.maximum(habits.active[habits.customer], 1), habits.product
    latest = np.zeros(habits.shape[0], dtype=np.int64)
    np.maximum.at(latest, habits.customer, habits.last)
    recent = np.stack([habits.recent(i) for i in range(habits.decayed.shape[1])], axis=1)
    buyers = np.maximum(facts.buyers, 1.0)
    columns = [
        np.log(weeks),
        np.log1p(habits.lines),
        np.log(since),
        np.log1p(interval),
        weeks == 1,
        np.log(since) - np.log(np.maximum(interval, 0.5)),
        np.log(recent + 0.01),
        recent / 5.0,
        np.log(weeks / age),
        np.log(weeks / active),
        weeks / active,
        weeks / 10.0,
        np.sqrt(weeks),
        np.log((facts.repeaters + 1.0) / (facts.buyers + 5.0))[product],
        np.log(np.maximum(facts.weeks, 1.0) / buyers)[product],
        np.log(facts.recent + 0.5)[product],
        np.log(buyers)[product],
        affinity,
        np.log(active),
        np.log(habits.now - latest[habits.customer]),
    ]
    return np.column_stack(columns).astype(np.float32)


def fit_rhythm(features: Floats, again: NDArray[np.bool_], seed: int) -> Rhythm:
    """Fit the chance of buying again.

    Args:
        features: As `pair_features` gives them, at least one row.
        again: Whether the customer bought the product within the horizon, shape (pairs,).
        seed: Same seed, same networks.
    """
    rows, target = torch.from_numpy(features), torch.from_numpy(again.astype(np.float32))
    mean, scale = rows.mean(dim=0), rows.std(dim=0, correction=0).clamp(min=1e-4)
    rows = _standard(rows, mean, scale)
    members = []
    for member in range(_MEMBERS):
        generator = torch.Generator().manual_seed(seed * _MEMBERS + member)
        layers = init_layers((rows.shape[1], _HIDDEN, _HIDDEN, 1), generator)

        def loss(batch: Tensor, layers: Layers = layers) -> Tensor:
            return F.binary_cross_entropy_with_logits(run_layers(layers, rows[batch]).squeeze(1), target[batch])

        descend(layers, loss, shuffled_batches(len(rows), _BATCH, _EPOCHS, generator), _RATE)
        members.append(layers)
    return Rhythm(mean, scale, tuple(members))


def _standard(rows: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    return ((rows - mean) / scale).clamp(-8.0, 8.0)
