"""Draws of the effects as numbers on a line: what a delta method takes derivatives by."""

import torch
from torch import Tensor

from simulators.priors import Effects

SAME = 1e-9
"""Spread of a coordinate below which all draws are taken to be equal."""


def coordinates(effects: Effects, kind: int, draws: int) -> Tensor:
    """Return what sets the draws of an offer's effects apart, uncorrelated and of unit variance.

    Sizes are taken by their logarithm and shares by their logit, as they are drawn; of what kinds of offer have each
    of their own, only that of this kind. A draw that is used more than once counts as often.

    Args:
        effects: The draws.
        kind: Place of the offer's kind in `OfferKind`.
        draws: How many, from the first on; they begin anew where there are fewer.

    Returns:
        Shape (draws, k), float64; k is 0 where all draws are equal.
    """
    sizes = [effects.visit[:, kind], effects.spend, effects.redeem_slope, effects.fatigue]
    sizes += [effects.reference_price, effects.stockpiling]
    lines = [effects.redeem_shift[:, kind], torch.logit(effects.salience), torch.logit(effects.carryover)]
    if effects.reach is not None:
        sizes += [effects.reach.stretch[:, kind], effects.reach.share_stretch]
    if effects.lean is not None:
        lines += list(effects.lean.slope[:, kind].unbind(dim=1))
    lines += [torch.log(size.clamp(min=1e-9)) for size in sizes]
    table = torch.stack(lines, dim=1).double().cpu()
    return whitened(table.index_select(0, torch.arange(draws) % len(table)))


def whitened(table: Tensor) -> Tensor:
    """Return the columns of a table, shape (d, k), as uncorrelated ones of mean 0 and unit variance, at most k."""
    table = table - table.mean(dim=0)
    spread = table.std(dim=0)
    table = table[:, spread > SAME] / spread[spread > SAME]
    if table.shape[1] == 0:
        return table
    left, sizes, _ = torch.linalg.svd(table, full_matrices=False)
    told: Tensor = left[:, sizes > 1e-6 * sizes[0]] * (len(table) - 1) ** 0.5
    return told
