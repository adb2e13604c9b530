"""The numbers of a customer that may become others, in the units that people read, and how a policy sees them.

What cannot change within a campaign is not among them: taste, the share of the basket in the promoted category, the
margin, how long they have been customers. Nor is the usual basket: what each offer would save hangs on it, and one
without the other would be no customer.
"""

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from campaigns.decision import Context
from history.features import FEATURES
from simulators.observation import MAX_FEATURE, Observer

_LOGGED: Final = (
    "weeks_since_visit",
    "spend_1w",
    "spend_4w",
    "spend_13w",
    "spend_52w",
    "basket_rate",
    "spend_per_active_week",
    "weeks_since_contact",
    "weeks_since_redemption",
)
"""Features that are log(1 + number)."""
_PLAIN: Final = (
    "visit_rate_1w",
    "visit_rate_4w",
    "visit_rate_13w",
    "visit_rate_52w",
    "promo_share",
    "saving_share",
    "redemption_rate",
    "contacts_8w",
    "exposure",
)
NUMBERS: Final = tuple(name for name in FEATURES if name in (*_LOGGED, *_PLAIN))
"""Features whose numbers may become others, in the order of a state's features."""
WHOLE: Final = ("weeks_since_visit", "weeks_since_contact", "weeks_since_redemption", "contacts_8w")
"""Those that are whole numbers."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """How a policy sees the numbers.

    Attributes:
        observer: What standardises them.
    """

    observer: Observer

    def of(self, seen: Tensor) -> dict[str, Tensor]:
        """Return n customers' numbers from their features, shape (n, len(FEATURES)), as a state gives them."""
        columns = dict(zip(FEATURES, seen.double().unbind(dim=1), strict=True))
        found = {name: torch.expm1(columns[name]) if name in _LOGGED else columns[name] for name in NUMBERS}
        return {name: values.round() if name in WHOLE else values for name, values in found.items()}

    def put(self, context: Context[Tensor], name: str, values: Tensor) -> Context[Tensor]:
        """Return the rows with one number replaced.

        Args:
            context: n rows, whose first columns are the standardised features.
            name: One of `NUMBERS`.
            values: The numbers, shape (n,).
        """
        place = FEATURES.index(name)
        seen = (torch.log1p(values) if name in _LOGGED else values).to(context.features.dtype)
        column = ((seen - self.observer.mean[place]) / self.observer.scale[place]).clamp(-MAX_FEATURE, MAX_FEATURE)
        features = context.features.clone()
        features[:, place] = column
        return replace(context, features=features)
