"""Distillation: a policy's decisions read off as a small tree with round thresholds, then as ordered rules.

The tree is fitted to the policy's offers; each customer weighs as much as the wrong offer would lose. Its thresholds
are rounded before anything is counted, so every figure of the rules is that of the rules as printed.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from campaigns.errors import InputError
from campaigns.held_out import HeldOut
from campaigns.offers import Catalog
from serving.arms import in_grains, with_floor
from serving.rule_features import feature
from serving.rules import Condition, Rule, Segments
from serving.thresholds import round_threshold

LEAST_WEIGHT: Final = 1e-3
"""Weight of a customer for whom no other offer would be worse, as a share of the mean weight."""
Z95: Final = 1.959964


@dataclass(frozen=True, eq=False)
class Decisions:
    """What a policy decided for n customers, and what every other offer would have brought.

    Attributes:
        features: What is known of them in units that people read, n rows of finite numbers.
        offer: Index of the policy's offer in the catalog, shape (n,), int64.
        gain: Expected net uplift of each offer [currency], shape (n, n_offers); -inf where the offer is forbidden.
        cost: Expected promo and contact cost of each offer [currency], same shape, >= 0; read where allowed.
        uplift_lo: Lower limit of the 95 % interval of the policy's mean uplift per customer [currency]; the share of
            the uplift that the rules keep is told only where it is above 0.
        price: Budget price λ, at which money spent is held against an offer's uplift.
        floor: Share of a choice by rule that goes to all offers alike, in [0, 0.5].

    Raises:
        InputError: Shapes differ, a value is not finite, or the policy gave a forbidden offer.
    """

    features: pd.DataFrame
    offer: NDArray[np.int64]
    gain: NDArray[np.float64]
    cost: NDArray[np.float64]
    uplift_lo: float
    price: float = 0.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        n = len(self.features)
        if n == 0 or self.offer.shape != (n,) or self.gain.shape[:1] != (n,) or self.cost.shape != self.gain.shape:
            raise InputError(
                f"decisions: {n} rows of features, offer {self.offer.shape}, gain {self.gain.shape}, "
                f"cost {self.cost.shape}; expected n >= 1 rows in all, and gain and cost of one shape"
            )
        for name in self.features.columns:
            if not np.isfinite(self.features[name].to_numpy(dtype=np.float64, na_value=np.nan)).all():
                raise InputError(f"decisions: feature {name!r} has a value that is not finite; fill it before")
        if not (self.allowed[:, 0].all() and self.allowed[np.arange(n), self.offer].all()):
            raise InputError("decisions: a customer has 'no offer' or the policy's own offer forbidden; check the mask")
        if not np.isfinite(np.where(self.allowed, self.gain + self.cost, 0.0)).all():
            raise InputError("decisions: an allowed offer has a gain or cost that is not finite; check the estimates")

    @property
    def n(self) -> int:
        return len(self.features)

    @property
    def allowed(self) -> NDArray[np.bool_]:
        return ~np.isneginf(self.gain)

    def served(self, offer: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return `offer`, shape (n,), with forbidden ones turned into "no offer"."""
        return np.where(self.allowed[np.arange(self.n), offer], offer, 0)

    def score(self) -> NDArray[np.float64]:
        """Return uplift net of the priced cost [currency], shape (n, n_offers); a forbidden offer scores as none."""
        score = self.gain - self.price * self.cost
        return np.where(self.allowed, score, score[:, :1])


@dataclass(frozen=True, eq=False)
class Leaf:
    """Customers that one path of the tree leads to.

    Attributes:
        rows: Their rows.
        limits: (at least, below) of each feature on the path.
        offer: Index of the leaf's offer.
        by_majority: The offer is the policy's most frequent one here.
    """

    rows: NDArray[np.int64]
    limits: dict[str, tuple[float | None, float | None]]
    offer: int
    by_majority: bool


def distill(
    decisions: Decisions, catalog: Catalog, max_leaves: int = 32, min_customers: int = 20, enough: float | None = 0.97
) -> Segments:
    """Distil decisions into rules, the fewest of 4, 8, 16, ... leaves that keep enough of the policy's uplift.

    A leaf gets the offer that earns most over its customers, net of the priced cost; the policy's most frequent offer
    there if that earns as much. Leaves with no offer become the catch-all.

    Args:
        decisions: What the policy decided.
        catalog: Names and labels of the offers.
        max_leaves: Most leaves, >= 1.
        min_customers: Fewest customers of a leaf, >= 1.
        enough: Share of the policy's uplift that the rules shall keep, `Segments.enough` says if they do; with None
            they have max_leaves leaves at once, and whether that is enough is for others to say.
    """
    if max_leaves < 1 or min_customers < 1:
        raise InputError(f"distill: max_leaves {max_leaves}, min_customers {min_customers}; both must be at least 1")
    if catalog.n != decisions.gain.shape[1]:
        raise InputError(f"distill: gain has {decisions.gain.shape[1]} offers, the catalog {catalog.n}; use the same")
    for leaves in [max_leaves] if enough is None else _sizes(max_leaves):
        segments = _segments(decisions, catalog, _Growth(decisions, leaves, min_customers), enough)
        if segments.enough:
            break
    return segments


def grow(
    distil: Callable[[int], Segments], judge: Callable[[Segments], HeldOut], max_leaves: int = 32, enough: float = 0.97
) -> Segments:
    """Return the fewest rules that keep enough of the policy's uplift on the held-out market.

    Where none do within the limit, those that keep most are returned, and `Segments.enough` says that it is not enough.

    Args:
        distil: Rules of at most so many leaves.
        judge: Tries them on the held-out market.
        max_leaves: Most leaves, >= 1.
        enough: Share of the policy's uplift.
    """
    tried: list[Segments] = []
    for leaves in _sizes(max_leaves):
        segments = distil(leaves)
        if tried and segments.rules == tried[-1].rules:
            continue
        held_out = judge(segments)
        lost = held_out.policy_uplift - held_out.uplift
        kept = lost <= (1.0 - enough) * abs(held_out.policy_uplift)
        tried.append(replace(segments, held_out=held_out, enough=kept))
        if kept:
            return tried[-1]
    return max(tried, key=_held_out_uplift)


def _held_out_uplift(segments: Segments) -> float:
    return -math.inf if segments.held_out is None else segments.held_out.uplift


def _sizes(max_leaves: int) -> Iterator[int]:
    size = 4
    while size < max_leaves:
        yield size
        size *= 2
    yield max_leaves


class _Growth:
    """A fitted tree, walked from the root with thresholds rounded on the way."""

    def __init__(self, decisions: Decisions, max_leaves: int, min_customers: int) -> None:
        self._decisions = decisions
        self._score = decisions.score()
        self._names = list(decisions.features.columns)
        self._values = decisions.features.to_numpy(dtype=np.float64)
        self.least = min_customers
        self._tree = None
        if max_leaves > 1 and decisions.n >= 2 * min_customers:
            tree = DecisionTreeClassifier(max_leaf_nodes=max_leaves, min_samples_leaf=min_customers, random_state=0)
            self._tree = tree.fit(self._values, decisions.offer, sample_weight=_weights(decisions, self._score)).tree_

    def leaves(self) -> list[Leaf]:
        return self._grow(0, np.arange(self._decisions.n), {})

    def _grow(
        self, node: int, rows: NDArray[np.int64], limits: dict[str, tuple[float | None, float | None]]
    ) -> list[Leaf]:
        if self._tree is None or self._tree.children_left[node] < 0:
            return [self._leaf(rows, limits)]
        name = self._names[self._tree.feature[node]]
        value = self._values[rows, self._tree.feature[node]]
        threshold = round_threshold(value, float(self._tree.threshold[node]), self.least)
        if threshold is None:
            return [self._leaf(rows, limits)]
        low, high = limits.get(name, (None, None))
        below = self._grow(self._tree.children_left[node], rows[value < threshold], limits | {name: (low, threshold)})
        above = self._grow(
            self._tree.children_right[node], rows[value >= threshold], limits | {name: (threshold, high)}
        )
        if len(below) == len(above) == 1 and below[0].offer == above[0].offer:
            return [self._leaf(rows, limits)]
        return below + above

    def _leaf(self, rows: NDArray[np.int64], limits: dict[str, tuple[float | None, float | None]]) -> Leaf:
        total = self._score[rows].sum(axis=0)
        majority = int(np.bincount(self._decisions.offer[rows]).argmax())
        best = int(total.argmax())
        offer = best if total[best] > total[majority] + 1e-9 * np.abs(total).max() else majority
        return Leaf(rows, limits, offer, offer == majority)


def _weights(decisions: Decisions, score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the regret of giving a customer one of the other offers instead, on average, shape (n,), above 0."""
    others = max(score.shape[1] - 1, 1)
    chosen = score[np.arange(decisions.n), decisions.offer]
    regret = np.clip(chosen - (score.sum(axis=1) - chosen) / others, 0.0, None)
    return regret + LEAST_WEIGHT * regret.mean() if regret.any() else np.ones(decisions.n)


def _segments(decisions: Decisions, catalog: Catalog, growth: _Growth, enough: float | None) -> Segments:
    groups = _with_catch_all(growth.leaves())
    rule_of = np.zeros(decisions.n, dtype=np.int64)
    for i, leaf in enumerate(groups):
        rule_of[leaf.rows] = i
    served = decisions.served(np.array([leaf.offer for leaf in groups])[rule_of])
    rows = np.arange(decisions.n)
    kept, of = decisions.gain[rows, served], decisions.gain[rows, decisions.offer].sum()
    rules = tuple(_rule(decisions, catalog, leaf, served, i + 1) for i, leaf in enumerate(groups))
    return Segments(
        rules=rules,
        agreement=float(np.mean(served == decisions.offer)),
        uplift_kept=float(kept.sum() / of) if decisions.uplift_lo > 0 and of > 0 else None,
        enough=enough is not None and bool(kept.sum() >= enough * of - 1e-9),
        cost=float(decisions.cost[rows, served].mean()),
        policy_cost=float(decisions.cost[rows, decisions.offer].mean()),
        features=tuple(feature(str(name)) for name in decisions.features.columns),
        least_customers=growth.least,
    )


def _with_catch_all(leaves: list[Leaf]) -> list[Leaf]:
    """Fold the leaves of one offer into a last one without limits: those of no offer, else those of the largest leaf's.

    The leaves exclude one another, so their order is free: the largest come first.
    """
    largest = max(leaves, key=lambda leaf: len(leaf.rows))
    rest = 0 if any(leaf.offer == 0 for leaf in leaves) else largest.offer
    folded = [leaf for leaf in leaves if leaf.offer == rest]
    rows = np.sort(np.concatenate([leaf.rows for leaf in folded]))
    catch_all = Leaf(rows, {}, rest, all(leaf.by_majority for leaf in folded))
    others = sorted((leaf for leaf in leaves if leaf.offer != rest), key=lambda leaf: -len(leaf.rows))
    return [*others, catch_all]


def _rule(decisions: Decisions, catalog: Catalog, leaf: Leaf, served: NDArray[np.int64], number: int) -> Rule:
    rows = leaf.rows
    gain = decisions.gain[rows, served[rows]]
    mean = float(gain.mean())
    error = float(gain.std(ddof=1)) / math.sqrt(len(rows)) if len(rows) > 1 else 0.0
    return Rule(
        number=number,
        conditions=tuple(Condition(name, low, high) for name, (low, high) in leaf.limits.items()),
        customers=len(rows),
        share=len(rows) / decisions.n,
        reached=int(decisions.allowed[rows, leaf.offer].sum()),
        offer=catalog.offers[leaf.offer].name,
        offer_label=catalog.offers[leaf.offer].label,
        weights=_rule_weights(catalog, leaf.offer, decisions.floor),
        by_majority=leaf.by_majority,
        agreement=float(np.mean(served[rows] == decisions.offer[rows])),
        uplift=mean,
        uplift_lo=mean - Z95 * error,
        uplift_hi=mean + Z95 * error,
        cost=float(decisions.cost[rows, served[rows]].mean()),
    )


def _rule_weights(catalog: Catalog, offer: int, floor: float) -> dict[str, float]:
    """Return the chance of every offer where one is favoured and the floor tries all."""
    favoured = np.zeros((1, catalog.n))
    favoured[0, offer] = 1.0
    every = np.ones((1, catalog.n), dtype=np.bool_)
    weights = in_grains(with_floor(favoured, every, floor))[0]
    return dict(zip(catalog.names, weights.tolist(), strict=True))
