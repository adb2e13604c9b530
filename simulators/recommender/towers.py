"""Two towers: one maps a customer, the other a product, to vectors whose product scores the pair.

Neither tower knows an id. A customer is their state, their taste and the mean vector of what they bought; a product is
its vector of attributes and text and, where it is known, how many bought it. So new customers and new products are
scored by the same towers.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from history.features import features, taste
from history.state import State
from simulators.recommender.assortment import Assortment, unit_rows
from simulators.recommender.habits import Habits
from simulators.recommender.network import Layers, descend, init_layers, run_layers, shuffled_batches
from simulators.recommender.rhythm import ProductFacts

_HIDDEN: Final = 64
_SIZE: Final = 16
_BATCH: Final = 512
_EPOCHS: Final = 2
_RATE: Final = 2e-3
_UNKNOWN_SHARE: Final = 0.15
"""Share of the products whose popularity is hidden while learning, so that products without any can be scored."""
_DROPPED: Final = 0.3
"""Share of the customer tower's inputs dropped while learning."""
MOST_POSITIVES: Final = 120_000
"""Purchases that the towers learn from in an epoch."""


@dataclass(frozen=True, eq=False)
class Towers:
    """The two towers.

    Attributes:
        mean, scale: Of the customers' inputs where they were fitted, shape (n_inputs,).
        customer: Layers from the customers' inputs to vectors.
        product: Layers from the products' inputs to vectors and, last, a bias.
        weight: Of a product's log popularity in its bias, shape (1,).
    """

    mean: Tensor
    scale: Tensor
    customer: Layers
    product: Layers
    weight: Tensor

    def score(self, customers: Tensor, products: Tensor, popularity: Tensor, known: Tensor) -> Tensor:
        """Return the log of how much likelier a product is bought than by nobody in particular, shape (n, m).

        Args:
            customers: As `customer_inputs` gives them, shape (n, n_inputs).
            products: Vectors, shape (m, d).
            popularity: As `log_popularity` gives it, shape (m,).
            known: 1 where the popularity is known, else 0, shape (m,).
        """
        vectors, bias = _products(self, products, popularity, known)
        return run_layers(self.customer, _standard(customers, self.mean, self.scale)) @ vectors.T + bias


def customer_inputs(state: State, habits: Habits, assortment: Assortment) -> Tensor:
    """Describe n customers by state, taste and the mean vector of what they bought lately, shape (n, n_inputs)."""
    bought = unit_rows(habits.matrix(habits.recent(2)) @ assortment.vectors)
    return torch.cat([features(state), taste(state).sqrt(), torch.from_numpy(bought)], dim=1)


def log_popularity(facts: ProductFacts, customers: int) -> Tensor:
    """Return the log of the share of customers who ever bought each product, shape (m,)."""
    return torch.from_numpy(np.log((facts.buyers + 0.5) / max(customers, 1))).float()


@dataclass(frozen=True, eq=False)
class Positives:
    """Who later bought what, over several weeks of looking ahead.

    Attributes:
        inputs: Of each customer at each such week, shape (rows, n_inputs).
        popularity: Of each product at each such week, shape (weeks, m).
        row, week, product: Of each purchase, its row of `inputs`, its row of `popularity`, its product.
    """

    inputs: Tensor
    popularity: Tensor
    row: NDArray[np.int64]
    week: NDArray[np.int64]
    product: NDArray[np.int64]


def fit_towers(positives: Positives, vectors: Tensor, seed: int) -> Towers:
    """Fit both towers by a softmax over the products of the batch, corrected for how often each is in a batch.

    Args:
        positives: At least one purchase; of products to be held out there is none.
        vectors: Of the products, shape (m, d).
        seed: Same seed, same towers.

    Reference:
        Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations", RecSys 2019.
    """
    generator = torch.Generator().manual_seed(seed)
    keep = torch.randperm(len(positives.row), generator=generator)[:MOST_POSITIVES]
    row, week, product = (
        torch.from_numpy(column)[keep] for column in (positives.row, positives.week, positives.product)
    )
    mean, scale = positives.inputs.mean(dim=0), positives.inputs.std(dim=0, correction=0).clamp(min=1e-3)
    inputs = _standard(positives.inputs, mean, scale)
    towers = Towers(
        mean,
        scale,
        init_layers((inputs.shape[1], _HIDDEN, _SIZE), generator),
        init_layers((vectors.shape[1] + 2, _HIDDEN, _SIZE + 1), generator, last=0.0),
        torch.ones(1),
    )
    often = torch.log(torch.bincount(product, minlength=len(vectors)).clamp(min=1) / len(product))

    def loss(batch: Tensor) -> Tensor:
        item, size = product[batch], len(batch)
        known = (torch.rand(size, generator=generator) > _UNKNOWN_SHARE).float()
        kept = (torch.rand(size, inputs.shape[1], generator=generator) > _DROPPED) / (1.0 - _DROPPED)
        customers = run_layers(towers.customer, inputs[row[batch]] * kept)
        others, bias = _products(towers, vectors[item], positives.popularity[week[batch], item], known)
        logits = customers @ others.T + bias - often[item]
        twin = (item[:, None] == item[None, :]) & ~torch.eye(size, dtype=torch.bool)
        return F.cross_entropy(logits.masked_fill(twin, -1e9), torch.arange(size))

    parameters = (*towers.customer, *towers.product, towers.weight)
    descend(parameters, loss, shuffled_batches(len(product), _BATCH, _EPOCHS, generator), _RATE)
    return towers


def _products(towers: Towers, vectors: Tensor, popularity: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return the products' vectors and biases."""
    seen = popularity * known
    inputs = torch.cat([3.0 * vectors, seen.unsqueeze(1) / 3.0, known.unsqueeze(1)], dim=1)
    out = run_layers(towers.product, inputs)
    return out[:, :-1], out[:, -1] + towers.weight * seen


def _standard(rows: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    return ((rows - mean) / scale).clamp(-5.0, 5.0)
