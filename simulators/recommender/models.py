"""The product recommender: its models, each a score for every customer and product, and the blend of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from history.state import State
from simulators.recommender.assortment import Assortment, unit_rows
from simulators.recommender.factors import Factors, fold_in
from simulators.recommender.habits import Habits
from simulators.recommender.rhythm import ProductFacts, Rhythm, pair_features
from simulators.recommender.towers import Towers, customer_inputs, log_popularity

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Moment:
    """What is known of n customers, and of all, before a week.

    Attributes:
        habits: Of the n customers.
        state: Of the n customers.
        facts: Of the products, by all customers.
        customers: Number of all customers.
        unseen: Products of which nothing is known but their attributes, shape (m,), bool.
    """

    habits: Habits
    state: State
    facts: ProductFacts
    customers: int
    unseen: NDArray[np.bool_]


def moment(habits: Habits, facts: ProductFacts, state: State, customers: NDArray[np.int64]) -> Moment:
    """Look at some customers, given the habits and states of all, and the facts of these habits."""
    return Moment(
        habits.of(customers),
        state.take(torch.from_numpy(customers)),
        facts,
        habits.shape[0],
        np.zeros(habits.shape[1], dtype=bool),
    )


@dataclass(frozen=True, eq=False)
class Recommender:
    """Everything that was learned about who buys what.

    Attributes:
        assortment: The products.
        factors: Of the products.
        towers: For new customers and new products.
        rhythm: Of buying again.
        discovery: Which model ranks what a customer never had: popularity, factors, content or towers.
        slope, intercept: Turn that model's score into the log-odds of buying within the horizon.
    """

    assortment: Assortment
    factors: Factors
    towers: Towers
    rhythm: Rhythm
    discovery: str
    slope: float
    intercept: float


def weights(habits: Habits) -> NDArray[np.float64]:
    """Return how much each pair counts in the factors: the log of the weeks with it, shape (pairs,)."""
    return np.log1p(habits.weeks)


def popularity(recommender: Recommender, seen: Moment) -> Floats:
    row = log_popularity(seen.facts, seen.customers).numpy()
    return np.tile(row, (seen.habits.shape[0], 1))


def buy_again(recommender: Recommender, seen: Moment) -> Floats:
    """Score by the number of weeks with the product; popularity decides between equals."""
    return _with_popularity(recommender, seen, seen.habits.weeks.astype(np.float64))


def buy_again_recent(recommender: Recommender, seen: Moment) -> Floats:
    """Score by the number of weeks with the product, decayed at the longest half-life."""
    return _with_popularity(recommender, seen, seen.habits.recent(2))


def factors(recommender: Recommender, seen: Moment) -> Floats:
    customers = fold_in(recommender.factors, seen.habits.matrix(weights(seen.habits)))
    scores: Floats = customers @ recommender.factors.products.T
    return scores


def content(recommender: Recommender, seen: Moment) -> Floats:
    """Score by the cosine between a product and the mean of what the customer bought lately."""
    vectors = recommender.assortment.vectors
    scores: Floats = unit_rows(seen.habits.matrix(seen.habits.recent(2)) @ vectors) @ vectors.T
    return scores


def towers(recommender: Recommender, seen: Moment) -> Floats:
    inputs = customer_inputs(seen.state, seen.habits, recommender.assortment)
    known = torch.from_numpy((~seen.unseen).astype(np.float32))
    products = torch.from_numpy(recommender.assortment.vectors)
    scores = recommender.towers.score(inputs, products, log_popularity(seen.facts, seen.customers), known)
    found: Floats = scores.numpy()
    return found


def blend(recommender: Recommender, seen: Moment) -> Floats:
    """Score by log-odds: the rhythm where the customer had the product, the discovering model where not."""
    affinity = factors(recommender, seen)
    found = affinity if recommender.discovery == "factors" else MODELS[recommender.discovery](recommender, seen)
    scores = (recommender.slope * found + recommender.intercept).astype(np.float32)
    pair = seen.habits.customer, seen.habits.product
    if len(pair[0]):
        scores[pair] = recommender.rhythm.logit(pair_features(seen.habits, seen.facts, affinity[pair]))
    return scores


Model = Callable[[Recommender, Moment], Floats]

MODELS: Final[Mapping[str, Model]] = {
    "popularity": popularity,
    "buy_again": buy_again,
    "buy_again_recent": buy_again_recent,
    "factors": factors,
    "content": content,
    "towers": towers,
    "blend": blend,
}
"""Every model by name: scores of n customers for m products, shape (n, m), float32; the baselines first."""
DISCOVERING: Final = ("popularity", "factors", "content", "towers")
"""Models that can rank what a customer never had."""


def _with_popularity(recommender: Recommender, seen: Moment, values: NDArray[np.float64]) -> Floats:
    share = (seen.facts.buyers / max(seen.customers, 1)).astype(np.float32)
    scores: Floats = seen.habits.matrix(values).toarray() + 1e-3 * share
    return scores
