"""The shape of a decision: what a policy sees, what it answers, how both travel in one flat row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

Array = TypeVar("Array")
SAVING: Final = "saving_"
"""Begins the name of a feature that tells what an offer, whose name follows, would save the customer."""


@dataclass(frozen=True, eq=False)
class Context(Generic[Array]):
    """What is known of n customers before this week's offer is chosen.

    Attributes:
        features: Standardised, clipped to [-10, 10], shape (n, n_features), float32.
        mask: True where an offer is allowed, shape (n, n_actions), bool; column 0 is always True.
        price: Budget price λ, the extra worth of one unit of promo money [USD/USD], shape (n,), float32, >= 0.
    """

    features: Array
    mask: Array
    price: Array


@dataclass(frozen=True, eq=False)
class Transition(Generic[Array]):
    """What one step of n environments brought, all on the environments' own device.

    Attributes:
        rows: Observations to decide on next, those of a new episode where one ended, shape (n, width), float32.
        reward: Shape (n,), float32.
        terminated: The episode came to its end, shape (n,), bool.
        truncated: The episode was cut off although it would have gone on, shape (n,), bool.
        last_rows: Observations after the step and before any new episode began, shape (n, width), float32.
        figures: What else is told of the step, by name, each shape (n,), float32.
    """

    rows: Array
    reward: Array
    terminated: Array
    truncated: Array
    last_rows: Array
    figures: Mapping[str, Array]


class Policy(Protocol[Array]):
    """Decides: one method, whatever stands behind it."""

    def action_dist(self, context: Context[Array]) -> Array:
        """Return each customer's distribution over offers.

        Returns:
            Probabilities, shape (n, n_actions); rows sum to 1, forbidden offers get exactly 0.
        """
        ...


@dataclass(frozen=True)
class OfferFeatures:
    """Offers in numbers, so that one that was never made is still like others (`campaigns.describe`).

    Attributes:
        names: Of the columns.
        rows: One per offer, shape (n_actions, len(names)); row 0, "no offer", is all 0.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ObservationLayout:
    """Where the parts of a `Context` stand in one flat observation row: features, λ, mask.

    Works on numpy arrays and torch tensors alike, with slices alone.

    Attributes:
        feature_names: Columns of the features.
        action_names: Offers, "no offer" first.
        offers: The offers in numbers; by default nothing tells them apart.
    """

    feature_names: tuple[str, ...]
    action_names: tuple[str, ...]
    offers: OfferFeatures = OfferFeatures((), ())

    def __post_init__(self) -> None:
        if self.offers.names and len(self.offers.rows) != self.n_actions:
            raise ValueError(f"{len(self.offers.rows)} offers are described; the layout has {self.n_actions}")

    @property
    def n_features(self) -> int:
        return len(self.feature_names)

    @property
    def n_actions(self) -> int:
        return len(self.action_names)

    @property
    def width(self) -> int:
        return self.n_features + 1 + self.n_actions

    def split(self, row: Any) -> Context[Any]:
        """Cut flat rows, shape (n, width), into a `Context` of the same array type."""
        features = row[:, : self.n_features]
        price = row[:, self.n_features]
        mask = row[:, self.n_features + 1 :] > 0.5
        return Context(features=features, mask=mask, price=price)
