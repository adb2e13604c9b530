"""What is promoted to whom: the category in which a push is worth most, given the chance of buying there anyway.

A model of the next weeks gives the chance p that a customer buys in each category. A small push in log-odds, the same
everywhere, adds p (1 - p) purchases. A purchase there is worth the customer's usual spend in the category over p, at
its gross margin; so the push earns (1 - p) times the margin of what they usually spend there. What someone buys anyway
(p near 1) earns nothing by being promoted, it only gives margin away; what they never spend on earns little.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from history.features import features, taste
from history.state import State

KINDS: Final = ("popularity", "taste", "distinctive", "factors", "content", "towers")
"""Models of the next weeks: the same for all, own share of spend, share against the shop's, by matrix factors of what
is in the categories, by its vectors, by two towers over state and taste beside the own share of spend."""
_LEAST_SHARE: Final = 1e-3
"""Added to a share of spend before its log."""
_SHRINKAGE: Final = 0.1
"""How far a customer's shares are drawn to the shop's, so that a category without a purchase is not worth nothing."""


@dataclass(frozen=True, eq=False)
class Promoter:
    """Scores k categories for any customers; data only.

    Attributes:
        kind: One of `KINDS`.
        slope: Of the model's raw score in the log-odds of buying, shape (1,).
        bias: Of each category in the log-odds, shape (k,).
        margin: Gross margin, share of shelf price, shape (k,).
        popularity: Share of all spend, shape (k,).
        likeness: How much a share of spend in one category speaks for another, shape (k, k); zero where not used.
        mean, scale: Of the features where they were fitted, shape (n_features,).
        inner, inner_bias, outer: Layers of the customers' tower, and the categories' vectors, shapes
            (n_features + k, h), (h,), (h, k).
        own: Of the log share of spend in the category itself, beside the towers, shape (1,).
    """

    kind: str
    slope: Tensor
    bias: Tensor
    margin: Tensor
    popularity: Tensor
    likeness: Tensor
    mean: Tensor
    scale: Tensor
    inner: Tensor
    inner_bias: Tensor
    outer: Tensor
    own: Tensor

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"promoter kind is {self.kind!r}; expected one of {', '.join(KINDS)}")

    def raw(self, state: State) -> Tensor:
        """Return the model's score before calibration, shape (n, k)."""
        share = taste(state)
        if self.kind == "taste":
            return torch.log(share + _LEAST_SHARE)
        if self.kind == "distinctive":
            return share * torch.log((share + 1e-4) / (self.popularity + 1e-4))
        if self.kind in ("factors", "content"):
            return share @ self.likeness
        if self.kind == "towers":
            seen = ((features(state) - self.mean) / self.scale).clamp(-5.0, 5.0)
            customers = F.silu(torch.cat([seen, share.sqrt()], dim=1) @ self.inner + self.inner_bias)
            return customers @ self.outer + self.own * torch.log(share + _LEAST_SHARE)
        return torch.zeros_like(share)

    def chance(self, state: State) -> Tensor:
        """Return the chance of buying in each category within the horizon, shape (n, k)."""
        return torch.sigmoid(self.slope * self.raw(state) + self.bias)

    def scores(self, state: State) -> Tensor:
        """Return what a small push in each category earns, as a share of the customer's spend, shape (n, k)."""
        share = (1.0 - _SHRINKAGE) * taste(state) + _SHRINKAGE * self.popularity
        return (1.0 - self.chance(state)) * self.margin * share

    def to(self, device: torch.device | str) -> "Promoter":
        moved: dict[str, Any] = {name: value.to(device) for name, value in self.tensors().items()}
        return replace(self, **moved)

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by name, for a file."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "kind"}


def restore_promoter(kind: str, tensors: Mapping[str, Tensor]) -> Promoter:
    """Return the promoter whose `tensors` these are."""
    return Promoter(kind=kind, **tensors)
