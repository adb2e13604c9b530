"""Twins that differ in one thing that must not matter: whether a decision moves when it alone is changed.

Reference:
    Kusner, Loftus, Russell & Silva, "Counterfactual Fairness", NeurIPS 2017; here without a model of what else an
    attribute would have changed, so it is the plain test of direct use.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from campaigns.decision import Context, ObservationLayout, Policy
from campaigns.errors import InputError

ROUNDS: Final = 8
"""Twins of each customer."""


def twin_distances(
    policy: Policy[Tensor], context: Context[Tensor], layout: ObservationLayout, forbidden: Sequence[str], seed: int
) -> dict[str, float]:
    """Return how far decisions move when a forbidden feature alone is another customer's: 0 where it is not used.

    Args:
        policy: Whose decisions.
        context: Of n customers.
        layout: Names of the features.
        forbidden: Features that must not matter.
        seed: Of the draw of the other customers.

    Returns:
        By feature, the largest total variation distance between a customer's chances and a twin's, in [0, 1].

    Raises:
        InputError: A feature is not the layout's.
    """
    unknown = [name for name in forbidden if name not in layout.feature_names]
    if unknown:
        raise InputError(
            f"export.fairness.forbidden: {unknown[0]!r} is no feature of the policy; expected some of "
            f"{', '.join(layout.feature_names)}"
        )
    generator = torch.Generator().manual_seed(seed)
    known, n = policy.action_dist(context), len(context.features)
    found = {}
    for name in forbidden:
        column, largest = layout.feature_names.index(name), torch.zeros(())
        for _ in range(ROUNDS):
            features = context.features.clone()
            features[:, column] = features[torch.randperm(n, generator=generator).to(features.device), column]
            moved = policy.action_dist(Context(features, context.mask, context.price))
            largest = torch.maximum(largest, (moved - known).abs().sum(dim=1).amax().cpu() / 2.0)
        found[name] = float(largest)
    return found
