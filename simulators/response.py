"""The learned baseline: how likely a visit is, how many baskets, how much is spent, how readily a coupon is redeemed.

An ensemble whose members saw different weightings of the customers; all members run as one batched product.
"""

import math
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Final

import torch
from torch import Tensor

from history.features import FEATURES
from simulators.shocks import WeekShocks
from simulators.visit import VisitModel

TREATED: Final = frozenset(
    {
        "saving_share",
        "redemption_rate",
        "weeks_since_contact",
        "contacts_8w",
        "weeks_since_redemption",
        "pantry",
    }
)
"""Features that offers themselves move: the log's targeting confounds them, so the baseline does not see them."""
BASELINE_FEATURES: Final = tuple(i for i, name in enumerate(FEATURES) if name not in TREATED)
_STRETCHES: Final = tuple(
    (i, next(j for j in range(i, len(FEATURES) + 1) if j not in BASELINE_FEATURES))
    for i in BASELINE_FEATURES
    if i - 1 not in BASELINE_FEATURES
)
HEADS: Final = ("visit_logit", "extra_baskets_log_rate", "spend_log_mean", "spend_log_sd")
KNOWN_WEEKS: Final = 12.0
"""Weeks after which it no longer counts how long a customer is known: all of a history are known equally long."""
MAX_Z: Final = 5.0
"""Standardised features are held within this many standard deviations: no extrapolation beyond the history."""
MAX_LOG_SPEND: Final = math.log(2000.0)
"""Ceiling of the mean log spend of a week [log USD]."""


class Family(Enum):
    """The form of the baseline: a small network, or an additive model with a quadratic per feature."""

    NETWORK = "network"
    ADDITIVE = "additive"


@dataclass(frozen=True, eq=False)
class Baseline:
    """What n customers would do this week without an offer, (n,) each, float32; or they and their twins, (2, n)."""

    visit_logit: Tensor
    extra_baskets: Tensor  # mean number of baskets beyond the first, given a visit
    spend_log_mean: Tensor  # of the week's spend given a visit with one basket [log USD]
    spend_log_sd: Tensor

    def beside(self, other: "Baseline") -> "Baseline":
        """Return this baseline and another of the same customers, each shape (2, n)."""
        return Baseline(*(torch.stack([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))

    def apart(self) -> "tuple[Baseline, Baseline]":
        """Undo `beside`."""
        first, second = zip(*(getattr(self, f.name).unbind() for f in fields(self)), strict=True)
        return Baseline(*first), Baseline(*second)


@dataclass(frozen=True, eq=False)
class ResponseModel:
    """A fitted ensemble of m members.

    Attributes:
        family: Form of the baseline.
        mean, scale: Standardise `FEATURES`, shape (n_features,).
        weights, biases: Layers, shapes (m, inputs, outputs) and (m, 1, outputs).
        calibration: Slope and shift of the visit logit and shift of the log spend, shape (3,).
        redemption: Logistic hazard of redeeming a logged coupon bundle in a week with a visit, shape
            (m, n_features + 1), constant last.
        visit: The spread of a visit around these means.
        shocks: What moves all customers of a week alike.
    """

    family: Family
    mean: Tensor
    scale: Tensor
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    calibration: Tensor
    redemption: Tensor
    visit: VisitModel
    shocks: WeekShocks

    @property
    def n_members(self) -> int:
        return self.weights[0].shape[0]

    def standardise(self, features: Tensor) -> Tensor:
        return standardise(features, self.mean, self.scale)

    def baseline(self, features: Tensor, member: Tensor) -> Baseline:
        """Return the baseline of customers, each by its own member of the ensemble.

        Args:
            features: Shape (n, n_features), as `history.features.features` gives them.
            member: Index of the ensemble member, shape (n,), int64; or shape (b,) where each of b equally long runs of
                rows has one member, of which the others need not be run.
        """
        inputs, runs = self._inputs(features), len(member)
        if runs == len(features):
            heads = forward(self.weights, self.biases, inputs)
            return self._finish(heads.gather(0, member.expand(1, heads.shape[1], -1)).squeeze(0))
        weights, biases = (
            tuple(of_all.index_select(0, member) for of_all in layers) for layers in (self.weights, self.biases)
        )
        heads = forward(weights, biases, inputs.view(len(inputs), runs, -1).transpose(0, 1))
        return self._finish(heads.transpose(0, 1).flatten(1))

    def baseline_of_all(self, features: Tensor) -> list[Baseline]:
        """Return the baseline by every member in turn."""
        heads = forward(self.weights, self.biases, self._inputs(features))
        return [self._finish(member) for member in heads]

    def redemption_logit(self, features: Tensor, member: Tensor) -> Tensor:
        """Return the logit of redeeming a logged bundle in a week with a visit, shape (n,)."""
        coefficients = self.redemption.index_select(0, member)
        return (self.standardise(features) * coefficients[:, :-1]).sum(dim=1) + coefficients[:, -1]

    def tensors(self) -> dict[str, Tensor]:
        named = {"mean": self.mean, "scale": self.scale, "calibration": self.calibration, "redemption": self.redemption}
        named |= {f"weight_{i}": w for i, w in enumerate(self.weights)}
        named |= {f"bias_{i}": b for i, b in enumerate(self.biases)}
        named |= {f"visit.{name}": value for name, value in self.visit.tensors().items()}
        return named | {f"shocks.{name}": value for name, value in self.shocks.tensors().items()}

    def to(self, device: torch.device | str) -> "ResponseModel":
        return replace(
            self,
            mean=self.mean.to(device),
            scale=self.scale.to(device),
            weights=tuple(w.to(device) for w in self.weights),
            biases=tuple(b.to(device) for b in self.biases),
            calibration=self.calibration.to(device),
            redemption=self.redemption.to(device),
            visit=self.visit.to(device),
            shocks=self.shocks.to(device),
        )

    def _inputs(self, features: Tensor) -> Tensor:
        """Return the inputs of the first layer, shape (n_inputs, n)."""
        seen, mean, scale = map(of_baseline, (features, self.mean.unsqueeze(0), self.scale.unsqueeze(0)))
        return basis(self.family, standardise(seen, mean, scale))

    def _finish(self, heads: Tensor) -> Baseline:
        visit, extra, mean, sd = heads.unbind()
        return Baseline(
            visit_logit=self.calibration[0] * visit + self.calibration[1],
            extra_baskets=torch.exp(extra.clamp(-6.0, 2.5)),
            spend_log_mean=(mean + self.calibration[2]).clamp(max=MAX_LOG_SPEND),
            spend_log_sd=torch.exp(sd.clamp(-2.0, 0.7)),
        )


def standardise(features: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Return features as the models see them, shape (n, n_features)."""
    return capped(features).sub_(mean).div_(scale).clamp_(-MAX_Z, MAX_Z)


def capped(features: Tensor) -> Tensor:
    """Hold the last feature, how long a customer is known, at `KNOWN_WEEKS`."""
    held = features.clone()
    held[:, -1].clamp_(max=math.log1p(KNOWN_WEEKS))
    return held


def restore_response(family: Family, tensors: dict[str, Tensor]) -> ResponseModel:
    """Rebuild a model from `ResponseModel.tensors`."""
    depth = sum(name.startswith("weight_") for name in tensors)

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    return ResponseModel(
        family=family,
        mean=tensors["mean"],
        scale=tensors["scale"],
        weights=tuple(tensors[f"weight_{i}"] for i in range(depth)),
        biases=tuple(tensors[f"bias_{i}"] for i in range(depth)),
        calibration=tensors["calibration"],
        redemption=tensors["redemption"],
        visit=VisitModel(**part("visit.")),
        shocks=WeekShocks(**part("shocks.")),
    )


def forward(weights: tuple[Tensor, ...], biases: tuple[Tensor, ...], inputs: Tensor) -> Tensor:
    """Run every member on the same customers, or each on its own: customers along the last dimension, as memory has it.

    Args:
        weights, biases: As `ResponseModel` holds them.
        inputs: What `basis` gives, shape (n_inputs, n) or (m, n_inputs, n).

    Returns:
        Raw heads in the order of `HEADS`, shape (m, len(HEADS), n).
    """
    hidden = inputs.expand(len(weights[0]), -1, -1)
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        hidden = torch.relu_(torch.baddbmm(bias.mT, weight.mT, hidden))
    return torch.baddbmm(biases[-1].mT, weights[-1].mT, hidden)


def of_baseline(values: Tensor) -> Tensor:
    """Return the columns of `FEATURES` that the baseline sees, shape (n, n_features) to (n, n_seen)."""
    return torch.cat([values.T[first:after] for first, after in _STRETCHES]).T


def basis(family: Family, z: Tensor) -> Tensor:
    """Return the inputs of the first layer: standardised features, and their squares in the additive family.

    Args:
        family: Form of the baseline.
        z: What the baseline sees, standardised, shape (n, n_seen).

    Returns:
        Shape (n_inputs, n).
    """
    if family is Family.ADDITIVE:
        return torch.cat([z.T, z.T.square() - 1.0])
    return z.T


def n_inputs(family: Family) -> int:
    return len(BASELINE_FEATURES) * (2 if family is Family.ADDITIVE else 1)
