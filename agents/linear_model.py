"""A linear model as data, and placed before a catalog: offers that it learned, and offers that it never made."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from agents.decide import Placed
from agents.posterior import Belief, Posterior, Prior, lay_out
from agents.regression import CLIP, Basis
from agents.shared import Coefficients, offer_rows
from campaigns.decision import SAVING, Context, ObservationLayout
from campaigns.errors import InputError


def names_of(layout: ObservationLayout) -> dict[str, Any]:
    """Return the names that a model is learned on: of features, of offers and of what describes them."""
    return {
        "features": list(layout.feature_names),
        "offers": list(layout.action_names),
        "described": list(layout.offers.names),
    }


def columns_of(layout: ObservationLayout, names: Mapping[str, Any]) -> Tensor:
    """Return where the features that a model learned stand in a layout, shape (n_features,), int64.

    Raises:
        InputError: The layout lacks one, has one that belongs to no new offer, or describes offers otherwise.
    """
    fresh = {SAVING + name for name in layout.action_names if name not in names["offers"]}
    known = [name for name in layout.feature_names if name not in fresh]
    if sorted(known) != sorted(names["features"]) or list(layout.offers.names) != names["described"]:
        raise other_layout(layout)
    return torch.tensor([layout.feature_names.index(name) for name in names["features"]])


def other_layout(layout: ObservationLayout) -> InputError:
    """Return the error of a policy that cannot serve a layout."""
    size = f"{layout.n_features} features and {layout.n_actions} offers"
    return InputError(f"the policy was trained for another layout than {size}; train it again")


def place_coefficients(
    layout: ObservationLayout, names: Mapping[str, Any], shared: Tensor, own: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the coefficients of a layout's offers, and where they stood in training.

    Args:
        layout: Whose offers.
        names: As `names_of` said of the layout of the training.
        shared: Shape (..., described, p, k).
        own: Shape (..., trained offers, p, k).

    Returns:
        Coefficients, shape (..., n_actions, p, k); an offer that was never made has the shared part alone. And the
        place of each offer in training, shape (n_actions,), -1 where it was not.
    """
    trained = {name: place for place, name in enumerate(names["offers"])}
    place = torch.tensor([trained.get(name, -1) for name in layout.action_names])
    deviation = own.index_select(-3, place.clamp(min=0)) * (place >= 0).view(-1, 1, 1)
    mean = torch.einsum("aj,...jpk->...apk", offer_rows(layout).to(shared.dtype), shared)
    return mean + deviation, place


def with_price(x: Tensor, features: Tensor, price: Tensor) -> Tensor:
    """Return regressors to learn from: behind x, what λ brings by itself, by which all offers and none are alike.

    A bandit offers more where money is cheap, and so do the weeks after, which a decision is credited with too: that
    must not be taken for what the offer brings. Who decides needs no such column.

    Args:
        x: Regressors, shape (n, p).
        features: What the effect of λ may depend on, shape (n, n_features).
        price: λ, shape (n,).

    Returns:
        Shape (n, p + 2 + n_features): x, log(1 + λ), its square, and its products with the features.
    """
    logarithm = torch.log1p(price).unsqueeze(1).to(x.dtype)
    return torch.cat([x, logarithm, logarithm.square(), logarithm * features.to(x.dtype).clamp(-CLIP, CLIP)], dim=1)


class CoefficientPolicy:
    """What policies on shared and own coefficients have in common: what they keep, and the way to write it down.

    A subclass names in `kept` the tensors that it is made of, and takes (layout, meta, tensors).
    """

    kept: ClassVar[tuple[str, ...]] = ("shared", "own", "pairs")

    def __init__(self, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self._written = {name: tensors[name] for name in self.kept}
        self._meta = dict(meta)

    def tensors(self) -> dict[str, Tensor]:
        return dict(self._written)

    def meta(self) -> dict[str, Any]:
        return dict(self._meta)

    @classmethod
    def restore(cls, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        return cls(layout, meta, tensors)


class LinearScores:
    """Scores a layout's offers by net margin less λ cost, with what is believed of them."""

    def __init__(self, layout: ObservationLayout, names: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Place what `written` wrote.

        Raises:
            InputError: The layout is another one than the model can serve.
        """
        self._written = {name: tensors[name] for name in ("shared", "own", "root", "covariance", "pairs", "ridge")}
        columns = columns_of(layout, names)
        mean, place = place_coefficients(layout, names, tensors["shared"], tensors["own"])
        prior = torch.eye(mean.shape[1]) / tensors["ridge"].sqrt()
        root = torch.where((place >= 0).view(-1, 1, 1), tensors["root"][place.clamp(min=0)], prior)
        posterior = lay_out(mean, root, tensors["covariance"])
        self._placed = Placed(vars(posterior) | {"pairs": tensors["pairs"], "columns": columns})

    def scores(self, context: Context[Tensor]) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of net - λ cost [USD], each (n, n_actions)."""
        data = self._placed.on(context.features.device)
        x = Basis(data["pairs"]).expand(context.features.index_select(1, data["columns"]))
        return self.scores_at(x, context.price)

    def scores_at(self, x: Tensor, price: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same for regressors of (n, p)."""
        data = self._placed.on(x.device)
        return Posterior(data["mean"], data["root"], data["covariance"]).scores(x, price)

    def residual(self, price: Tensor) -> Tensor:
        """Return the standard deviation of an outcome's net - λ cost around its mean [USD], shape (n, 1)."""
        c = self._placed.on(price.device)["covariance"]
        return (c[0, 0] - 2.0 * price * c[0, 1] + price.square() * c[1, 1]).clamp(min=1e-12).sqrt().unsqueeze(1)

    def tensors(self) -> dict[str, Tensor]:
        return dict(self._written)


def written(belief: Belief, pairs: Tensor, prior: Prior) -> dict[str, Tensor]:
    """Return a belief as the tensors that `LinearScores` reads, without the regressors by which offers are alike."""
    p = belief.root.shape[1] - prior.common
    return coefficient_tensors(belief.coefficients, p) | {
        # The leading block of an inverse Cholesky factor is that of the leading block of the precision.
        "root": belief.root[:, :p, :p].float().contiguous(),
        "covariance": belief.covariance.float(),
        "pairs": pairs,
        "ridge": torch.tensor(prior.ridge),
    }


def coefficient_tensors(coefficients: Coefficients, p: int) -> dict[str, Tensor]:
    """Return the coefficients of the first p regressors as float32 tensors."""
    own, shared = coefficients.own[..., :p, :], coefficients.shared[..., :p, :]
    return {"shared": shared.float().contiguous(), "own": own.float().contiguous()}
