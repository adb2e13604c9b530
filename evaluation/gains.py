"""What every offer would bring and cost every customer, with intervals, at the price of a few matrix products.

The market says it by living through weeks, too slow for millions of customers times many offers. Here its answer,
learned from a sample of them by `evaluation.gain_fitting`, is a polynomial of what is seen of a customer. Intervals are
by the delta method: the polynomial's coefficients move with the draw of the effects.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import torch
from torch import Tensor

from campaigns.decision import SAVING, ObservationLayout
from campaigns.errors import InputError
from campaigns.offers import Catalog
from evaluation.estimate import Z95

CLIP: Final = 4.0
"""Standardised features are held within this: no extrapolation beyond the customers that it was learned from."""
BLOCK: Final = 4096
"""Customers that are scored at a time, so that what lies between stays in the cache."""
OUTCOMES: Final = ("uplift", "cost")


@dataclass(frozen=True, eq=False)
class Gains:
    """What each offer brings n customers, each shape (n, n_offers), float32, in the catalog's currency; column 0 is 0.

    Attributes:
        uplift, cost: Expected, against no offer.
        uplift_sd, cost_sd: Standard deviations of what is not known of them: the effects, and the model's own error.
    """

    uplift: Tensor
    cost: Tensor
    uplift_sd: Tensor
    cost_sd: Tensor

    def within(self, catalog: Catalog) -> "Gains":
        """Return the same, no cost above what its offer can cost at worst, which a polynomial does not know."""
        worst = [one.worst_cents / 100 for one in catalog.offers]
        return replace(self, cost=self.cost.minimum(torch.tensor(worst, device=self.cost.device)))

    def of(self, offer: Tensor) -> dict[str, Tensor]:
        """Return uplift and cost of one offer to each customer with their 95 % intervals, each shape (n,).

        Args:
            offer: Shape (n,), int64.
        """
        found: dict[str, Tensor] = {}
        for name in OUTCOMES:
            value, spread = (t.gather(1, offer.unsqueeze(1)).squeeze(1) for t in (self[name], self[name + "_sd"]))
            low, high = value - Z95 * spread, value + Z95 * spread
            found |= {name: value, name + "_lo": low.clamp(min=0.0) if name == "cost" else low, name + "_hi": high}
        return found

    def __getitem__(self, name: str) -> Tensor:
        value: Tensor = getattr(self, name)
        return value


@dataclass(frozen=True, eq=False)
class GainBasis:
    """Turns features into what the gains are linear in.

    Attributes:
        shared: Columns that every offer's gain is a function of, shape (d,), int64.
        saving: Column of what each offer would save, "no offer" left out, shape (n_offers - 1,), int64.
        pairs: Places in `shared` of the features that are multiplied, shape (n_pairs, 2), int64.
    """

    shared: Tensor
    saving: Tensor
    pairs: Tensor

    @classmethod
    def of(cls, layout: ObservationLayout, pairs: Tensor | None = None) -> Self:
        names = layout.feature_names
        shared = [i for i, name in enumerate(names) if not name.startswith(SAVING)]
        saving = [names.index(SAVING + name) for name in layout.action_names[1:]]
        none = torch.zeros(0, 2, dtype=torch.int64)
        return cls(torch.tensor(shared), torch.tensor(saving), none if pairs is None else pairs)

    def to(self, device: torch.device | str) -> Self:
        return type(self)(self.shared.to(device), self.saving.to(device), self.pairs.to(device))

    def common(self, features: Tensor) -> Tensor:
        """Return 1, the shared features, their squares and the products of pairs, shape (n, 1 + 2 d + n_pairs)."""
        x = features.index_select(1, self.shared).clamp(-CLIP, CLIP)
        products = x.index_select(1, self.pairs[:, 0]) * x.index_select(1, self.pairs[:, 1])
        return torch.cat([torch.ones_like(x[:, :1]), x, x * x, products], dim=1)

    def savings(self, features: Tensor) -> Tensor:
        """Return what each offer would save, shape (n, n_offers - 1)."""
        return features.index_select(1, self.saving).clamp(-CLIP, CLIP)

    def of_offer(self, features: Tensor, place: int) -> Tensor:
        """Return all regressors of one offer, shape (n, 2 + 1 + 3 d + n_pairs).

        Those in common, then the saving times 1, times the shared features, and its square.

        Args:
            features: Shape (n, n_features).
            place: Of the offer among those that are one, from 0.
        """
        common, saving = self.common(features), self.savings(features)[:, place : place + 1]
        return torch.cat([common, saving * common[:, : 1 + len(self.shared)], saving * saving], dim=1)


class GainModel:
    """Scores customers; made by `evaluation.gain_fitting.fit_gains`, or read back from its tensors."""

    def __init__(self, layout: ObservationLayout, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Lay out the coefficients.

        Args:
            layout: Of the features.
            tensors: `coefficients`, shape (n_offers - 1, n_regressors, 2 (1 + rank)): of uplift, of cost, of uplift's
                derivatives by the effects, of cost's; `error`, shape (n_offers - 1, 2), standard deviations that the
                derivatives do not tell; `pairs` of the basis. Regressors as `GainBasis.of_offer` orders them.
            meta: With the names of features and offers.

        Raises:
            InputError: The layout is another one.
        """
        names = {"features": list(layout.feature_names), "offers": list(layout.action_names)}
        for what, expected in names.items():
            if list(meta.get(what, ())) != expected:
                found = ", ".join(meta.get(what, ()))
                raise InputError(f"gain model: {what} are {found}; expected {', '.join(expected)}: export again")
        self._tensors, self._meta = dict(tensors), dict(meta)
        basis = GainBasis.of(layout, tensors["pairs"])
        coefficients = tensors["coefficients"].float()
        d, width = len(basis.shared), coefficients.shape[2]
        common = 1 + 2 * d + len(basis.pairs)
        by_regressor = coefficients.transpose(0, 1).reshape(coefficients.shape[1], -1).contiguous()
        self._basis = basis
        self._common, self._own = by_regressor[:common], by_regressor[common : common + 1 + d]
        self._square = coefficients[:, -1]
        self._error = tensors["error"].float().square()
        self._shape = (len(basis.saving), width)

    def tensors(self) -> dict[str, Tensor]:
        return dict(self._tensors)

    def meta(self) -> dict[str, Any]:
        return dict(self._meta)

    def to(self, device: torch.device | str) -> "GainModel":
        """Return the same model on a device."""
        moved = copy(self)
        for name in ("_common", "_own", "_square", "_error"):
            setattr(moved, name, getattr(self, name).to(device))
        moved._basis = self._basis.to(device)
        return moved

    def score(self, features: Tensor) -> Gains:
        """Return what every offer brings every customer, forbidden ones included.

        Args:
            features: As `simulators.observation` shows them, shape (n, n_features), float32, on the model's device.
        """
        blocks = [self._score(block) for block in torch.split(features, BLOCK)]
        return Gains(*(torch.cat([getattr(block, name) for block in blocks]) for name in _NAMES))

    def _score(self, features: Tensor) -> Gains:
        common = self._basis.common(features)
        saving = self._basis.savings(features).unsqueeze(2)
        own = (common[:, : len(self._own)] @ self._own).view(-1, *self._shape)
        values = (common @ self._common).view(-1, *self._shape) + saving * torch.addcmul(own, saving, self._square)
        rank = (self._shape[1] - 2) // 2
        spreads = values[:, :, 2:].square().reshape(len(features), -1, 2, rank).sum(dim=3).add_(self._error).sqrt_()
        uplift, cost = values[:, :, 0], values[:, :, 1].clamp(min=0.0)
        return Gains(*(_beside_nothing(part) for part in (uplift, cost, spreads[:, :, 0], spreads[:, :, 1])))


_NAMES: Final = ("uplift", "cost", "uplift_sd", "cost_sd")


def _beside_nothing(values: Tensor) -> Tensor:
    """Put the zeros of "no offer" before the offers, shape (n, n_offers)."""
    return torch.nn.functional.pad(values, (1, 0))
