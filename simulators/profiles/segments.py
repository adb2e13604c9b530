"""Segments: customers grouped by recency, frequency, money and promotion habit, around centroids that are data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from campaigns.errors import InputError
from history.artifacts import read_json, read_tensors, write_json, write_tensors
from history.features import FEATURES, features, spend_rates, visit_rates
from history.state import State
from simulators.profiles.sensitivity import promotion_shares

Floats = NDArray[np.float64]
INPUTS: Final = ("visit_weeks", "weeks_since_visit", "log_spend", "promo_share", "log_redemptions")
"""What customers are grouped by; averages at a half-life of 13 weeks."""
AWAY_WEEKS: Final = 8.0
"""Weeks since the last visit beyond which a customer is no more away than they are."""
EVERYONE: Final = "all customers"
MAX_Z: Final = 3.0
FILE: Final = "segments.safetensors"


@dataclass(frozen=True, eq=False)
class Segments:
    """Named groups of customers.

    Attributes:
        names: Unique, one per group.
        mean, scale: Of the inputs over the training customers, shape (len(INPUTS),), float64.
        centroids: In standardised inputs, shape (len(names), len(INPUTS)), float64.
    """

    names: tuple[str, ...]
    mean: Tensor
    scale: Tensor
    centroids: Tensor

    def __post_init__(self) -> None:
        if self.centroids.shape != (len(self.names), len(INPUTS)) or len(set(self.names)) != len(self.names):
            raise ValueError(f"segments: {len(self.names)} names for centroids {tuple(self.centroids.shape)}")

    def save(self, folder: Path) -> None:
        """Write segments.safetensors and segments.json into `folder`."""
        write_tensors(folder / FILE, {"mean": self.mean, "scale": self.scale, "centroids": self.centroids})
        write_json(folder / "segments.json", {"names": self.names, "inputs": INPUTS})


def read_segments(folder: Path) -> Segments:
    """Read what `Segments.save` wrote.

    Raises:
        InputError: a file is missing, unreadable or not of the other's making.
    """
    tensors, names = read_tensors(folder / FILE), read_json(folder / "segments.json")
    try:
        if tuple(names["inputs"]) != INPUTS:
            raise ValueError(f"inputs {names['inputs']}")
        return Segments(tuple(names["names"]), **tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / FILE}: not the segments of this version ({error}); run fit again") from None


def segment_inputs(state: State) -> Tensor:
    """Return the columns `INPUTS` of n customers, shape (n, len(INPUTS)), float64."""
    redemptions = features(state)[:, FEATURES.index("redemption_rate")]
    columns = [
        visit_rates(state)[:, 2],
        state.weeks_since_visit.clamp(max=AWAY_WEEKS),
        torch.log1p(spend_rates(state)[:, 2]),
        promotion_shares(state),
        torch.log1p(20.0 * redemptions),  # a redemption per quarter is news, the tenth is not
    ]
    return torch.stack([column.double() for column in columns], dim=1)


def standardise(inputs: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Return inputs in standard deviations from the training customers, cut at 3."""
    return ((inputs - mean) / scale).clamp(-MAX_Z, MAX_Z)


def assign_segment(segments: Segments, state: State) -> Tensor:
    """Return the index of the nearest centroid, shape (n,), int64; on the state's device."""
    inputs = segment_inputs(state)
    device = inputs.device
    z = standardise(inputs, segments.mean.to(device), segments.scale.to(device))
    return torch.cdist(z, segments.centroids.to(device)).argmin(dim=1)


def measure_inputs(state: State) -> tuple[Tensor, Tensor]:
    """Return mean and scale of the training customers' inputs; the scale of a constant one is 1."""
    inputs = segment_inputs(state)
    scale = inputs.std(dim=0) if len(inputs) > 1 else torch.zeros(len(INPUTS), dtype=torch.float64)
    return inputs.mean(dim=0), torch.where(scale > 1e-6, scale, torch.ones_like(scale))


def cluster(z: Floats, k: int, seed: int, starts: int = 3) -> Floats:
    """Return k centroids of standardised rows, the largest group first, shape (k, len(INPUTS))."""
    from sklearn.cluster import KMeans  # a second that other verbs need not wait

    fit = KMeans(k, n_init=starts, random_state=seed).fit(z)
    order = np.argsort(-np.bincount(fit.labels_, minlength=k), kind="stable")
    centroids: Floats = fit.cluster_centers_[order]
    return centroids


def one_segment(mean: Tensor, scale: Tensor) -> Segments:
    """Return the segmentation that tells nobody apart."""
    return Segments((EVERYONE,), mean, scale, torch.zeros(1, len(INPUTS), dtype=torch.float64))
