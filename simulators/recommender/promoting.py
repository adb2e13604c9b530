"""Learning the promoter: every kind fitted on training customers and weeks, the best by validation customers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from history.features import features
from history.panel import Panel, states_before
from history.splits import Split
from history.state import State, join_states
from simulators.recommender.assortment import Assortment
from simulators.recommender.factors import Factors
from simulators.recommender.network import descend, init_layers, shuffled_batches
from simulators.recommender.promoter import KINDS, Promoter

HORIZON: Final = 4
"""Weeks in which a purchase counts: the life of a coupon."""
_HIDDEN: Final = 16
_BATCH: Final = 256
_EPOCHS: Final = 8
_RATE: Final = 1e-2
_CALIBRATION_STEPS: Final = 60


@dataclass(frozen=True, eq=False)
class Outlook:
    """States of customers and the categories in which they then bought.

    Attributes:
        state: Rows of customers, one or more per customer.
        bought: Whether they bought in each category within the horizon, shape (n, k), float32.
        customer: Whose row it is, shape (n,).
    """

    state: State
    bought: Tensor
    customer: NDArray[np.int64]


def look_ahead(panel: Panel, split: Split) -> Outlook:
    """Look ahead from every `HORIZON`th week of a split, within its weeks."""
    spend = panel.events.category_spend
    length = min(HORIZON, len(split.weeks))
    starts = range(split.weeks.start, split.weeks.stop - length + 1, length)
    before = states_before(panel.events, range(starts[0], starts[-1] + 1))
    customers = torch.from_numpy(split.customers)
    states = [before[week - starts[0]].take(customers) for week in starts]
    bought = [spend[split.customers, week : week + length].sum(axis=1) > 0 for week in starts]
    return Outlook(
        join_states(states),
        torch.from_numpy(np.concatenate(bought).astype(np.float32)),
        np.tile(split.customers, len(starts)),
    )


@dataclass(frozen=True, eq=False)
class Likeness:
    """How categories speak for each other by the products in them; each shape (k, k)."""

    factors: Tensor
    content: Tensor


def likeness_of(assortment: Assortment, factors: Factors, buyers: NDArray[np.float64], k: int) -> Likeness:
    """Average the products of each category, weighted by buyers, and compare the averages.

    The map by factors is a ridge regression of a customer's shares on the categories' factors and back, which is what
    folding a customer in comes to when every category counts alike.
    """
    weight = np.zeros((k, assortment.n))
    weight[assortment.position, np.arange(assortment.n)] = buyers
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
    factor, content = weight @ factors.products, weight @ assortment.vectors
    ridge = factor.T @ factor + 1e-3 * max(np.trace(factor.T @ factor), 1e-9) * np.eye(factor.shape[1])
    by_factors = factor @ np.linalg.solve(ridge, factor.T)
    return Likeness(torch.from_numpy(by_factors).float(), torch.from_numpy(content @ content.T).float())


def fit_promoters(
    seen: Outlook, margin: Tensor, popularity: Tensor, likeness: Likeness | None, seed: int
) -> dict[str, Promoter]:
    """Fit a promoter of every kind; those of factors and content only where a likeness is known.

    Args:
        seen: Of the training split.
        margin: Gross margin of each category, share of shelf price, shape (k,).
        popularity: Share of all spend, shape (k,).
        likeness: Of the categories.
        seed: Same seed, same promoters.
    """
    k, rows = len(margin), features(seen.state)
    mean, scale = rows.mean(dim=0), rows.std(dim=0, correction=0).clamp(min=1e-3)
    generator = torch.Generator().manual_seed(seed)
    inner, inner_bias, outer, bias = init_layers((rows.shape[1] + k, _HIDDEN, k), generator)
    blank = Promoter(
        "popularity",
        torch.ones(1),
        bias,
        margin,
        popularity,
        torch.zeros(k, k),
        mean,
        scale,
        inner,
        inner_bias,
        outer,
        torch.full((1,), 0.5),
    )
    promoters = {}
    for kind in KINDS:
        if kind in ("factors", "content") and likeness is None:
            continue
        matrix = getattr(likeness, kind) if kind in ("factors", "content") else blank.likeness
        start = replace(blank, kind=kind, likeness=matrix, bias=_log_odds(seen.bought), slope=torch.ones(1))
        if kind == "towers":
            _fit_tower(start, seen, generator)
        promoters[kind] = _calibrate(start, seen)
    return promoters


def log_loss(promoter: Promoter, seen: Outlook) -> NDArray[np.float64]:
    """Return the mean log-loss over the categories of each row, shape (n,)."""
    chance = promoter.chance(seen.state).clamp(1e-6, 1.0 - 1e-6)
    loss: NDArray[np.float64] = (
        F.binary_cross_entropy(chance, seen.bought, reduction="none").mean(dim=1).double().numpy()
    )
    return loss


def best_kind(promoters: Mapping[str, Promoter], seen: Outlook) -> str:
    """Return the kind with the least log-loss on the validation split; the earlier one of equals."""
    return min(promoters, key=lambda kind: float(log_loss(promoters[kind], seen).mean()))


def _fit_tower(promoter: Promoter, seen: Outlook, generator: torch.Generator) -> None:
    def loss(batch: Tensor) -> Tensor:
        logits = promoter.raw(seen.state.take(batch)) + promoter.bias
        return F.binary_cross_entropy_with_logits(logits, seen.bought[batch])

    parameters = (promoter.inner, promoter.inner_bias, promoter.outer, promoter.own, promoter.bias)
    descend(parameters, loss, shuffled_batches(seen.state.n, _BATCH, _EPOCHS, generator), _RATE)


def _calibrate(promoter: Promoter, seen: Outlook) -> Promoter:
    """Fit slope and biases to the training rows by a logistic regression on the raw score."""
    raw = promoter.raw(seen.state)
    spread = raw.std(correction=0).clamp(min=1e-6)
    slope, bias = spread * promoter.slope, promoter.bias.clone()

    def loss(_: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(slope / spread * raw + bias, seen.bought)

    descend((slope, bias), loss, [torch.zeros(0)] * _CALIBRATION_STEPS, 0.2)
    return replace(promoter, slope=slope / spread, bias=bias)


def _log_odds(bought: Tensor) -> Tensor:
    share = bought.mean(dim=0).clamp(1e-4, 1.0 - 1e-4)
    return torch.log(share / (1.0 - share))
