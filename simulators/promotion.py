"""What is promoted to whom: the category in which a push earns most, and what a basket is worth to the shop."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from history.features import spend_per_active_week, taste
from history.state import State
from simulators.recommender.promoter import Promoter


@dataclass(frozen=True, eq=False)
class Categories:
    """The k product categories a shop promotes from.

    Attributes:
        names: Category names, the last one the rest of the assortment.
        margin: Gross margin as a share of shelf price, shape (k,), assumed.
        popularity: Share of all spend, shape (k,).
        promotable: 0 where a category is never promoted (tobacco, alcohol, fuel, the rest), shape (k,), float32.
        promoter: What was learned of who buys in which category; None in a world without a history.
    """

    names: tuple[str, ...]
    margin: Tensor
    popularity: Tensor
    promotable: Tensor
    promoter: Promoter | None = None

    def to(self, device: torch.device | str) -> "Categories":
        return replace(
            self,
            margin=self.margin.to(device),
            popularity=self.popularity.to(device),
            promotable=self.promotable.to(device),
            promoter=None if self.promoter is None else self.promoter.to(device),
        )


@dataclass(frozen=True, eq=False)
class Wallet:
    """What a customer's basket typically holds, each shape (n,)."""

    basket: Tensor  # spend of one basket [USD]
    week: Tensor  # spend of a week with a visit [USD]
    share: Tensor  # of it in the promoted category
    margin: Tensor  # gross margin of the whole basket, share of shelf price
    taste: Tensor  # (n, k) shares of spend


def choose_category(categories: Categories, state: State) -> Tensor:
    """Pick the category to promote: by the promoter, or else the largest divergence of taste from popularity.

    Returns:
        Category index, shape (n,), int64.
    """
    if categories.promoter is None:
        share = taste(state)
        scores = share * torch.log((share + 1e-4) / (categories.popularity + 1e-4))
    else:
        scores = categories.promoter.scores(state)
    return torch.where(categories.promotable > 0, scores, torch.full_like(scores, -1e9)).argmax(dim=1)


def open_wallet(categories: Categories, state: State, promoted: Tensor) -> Wallet:
    """Measure what n customers typically buy; without any past purchase the shop's average taste stands in."""
    shares = taste(state)
    unknown = (shares.sum(dim=1, keepdim=True) < 0.5).to(torch.float32)
    shares = shares.addcmul_(unknown, categories.popularity)
    week = spend_per_active_week(state)
    baskets = state.basket_average / state.visit_average[:, 2].clamp(min=1e-3)
    return Wallet(
        basket=week / baskets.clamp(min=1.0),
        week=week,
        share=shares.gather(1, promoted.unsqueeze(1)).squeeze(1),
        margin=shares @ categories.margin,
        taste=shares,
    )


def to_cents(usd: Tensor) -> Tensor:
    """Round dollars to integer cents, int64."""
    return torch.round(usd * 100.0).to(torch.int64)
