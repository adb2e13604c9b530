"""Who answers more: how the visit effect of each kind of offer leans on what is known of a customer."""

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from history.features import FEATURES

LEANS_ON: Final = ("promo_share", "spend_per_active_week", "visit_rate_13w")
"""Features that the visit effect of an offer may lean on; few, so that a log can tell them from chance."""
COLUMNS: Final = tuple(FEATURES.index(name) for name in LEANS_ON)
FARTHEST: Final = 2.5
"""Standard deviations of a feature beyond which an effect leans no further."""
MOST: Final = 3.0
"""Largest factor on an effect; the least is 0, so that a deeper offer never lowers the response."""


@dataclass(frozen=True, eq=False)
class Lean:
    """Draws of how effects lean, m = len(LEANS_ON); float32.

    Attributes:
        slope: Change of the factor per standard deviation of a feature, shape (d, n_kinds, m); 0 where nothing was
            learned.
        centre: Features at which the effect is its mean, shape (n_kinds, m).
        scale: Standard deviation of the features, shape (n_kinds, m).
    """

    slope: Tensor
    centre: Tensor
    scale: Tensor

    def take(self, draw: Tensor) -> "Lean":
        return replace(self, slope=self.slope.index_select(0, draw))

    def to(self, device: torch.device | str) -> "Lean":
        return Lean(self.slope.to(device), self.centre.to(device), self.scale.to(device))

    def factor(self, seen: Tensor) -> Tensor:
        """Return the factor on each kind's visit effect, one draw per customer, shape (n, n_kinds), in [0, `MOST`].

        Args:
            seen: Shape (n, n_features), as `history.features.features` gives them; n is the number of draws.
        """
        known = torch.stack([seen[:, column] for column in COLUMNS], dim=1).unsqueeze(1)
        z = ((known - self.centre) / self.scale).clamp(-FARTHEST, FARTHEST)
        return (1.0 + (self.slope * z).sum(dim=2)).clamp(0.0, MOST)
