"""How readily a named offer is redeemed: the learned hazard, moved by kind and value, where a log names its offers."""

from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch

from campaigns.offers import Catalog
from history.panel import Panel
from simulators.effects.crossfit import Flags, Floats, sigmoid
from simulators.effects.offer_log import KINDS, OfferRows
from simulators.priors import SHIFT_SPREAD, EffectPriors
from simulators.response import ResponseModel

FEWEST: Final = 30
"""Fewest visits with an offer of a kind that its shift is learned from."""
LEAST_WORTH: Final = 0.05
"""Least saving whose log counts [currency]."""


def learn_redeeming(
    priors: EffectPriors, panel: Panel, rows: OfferRows | None, response: ResponseModel, catalog: Catalog
) -> EffectPriors:
    """Return the priors with shift and slope of redemption informed by a log that names its offers.

    The logit of redeeming in a week with a visit is hazard(x) + shift[kind] + slope * log(saving): a logistic
    regression with the hazard as offset, shift and slope drawn to their priors, its curvature giving their spread. Only
    weeks whose basket reached the offer's threshold count: the market asks for that by itself.

    Args:
        priors: What is believed before.
        panel: Says what was redeemed.
        rows: Customer-weeks of the log, or None if it names no offer.
        response: Holds the learned hazard.
        catalog: Says from which basket on an offer can be redeemed.

    Reference:
        MacKay, "The Evidence Framework Applied to Classification Networks", Neural Computation 4(5), 1992.
    """
    if rows is None:
        return priors
    made = rows.where((rows.offer > 0) & rows.visited)
    made = made.where(_reached(made, panel, catalog))
    place = np.searchsorted(rows.logged, made.offer)
    kind = rows.kind[place] if len(made) else np.zeros(0, dtype=np.int64)
    learned = [k for k in np.unique(kind) if (kind == k).sum() >= FEWEST]
    if not learned:
        return priors
    worth = np.log(np.maximum(made.worth[np.arange(len(made)), place], LEAST_WORTH))
    x = np.column_stack([*((kind == k).astype(float) for k in learned), worth])[np.isin(kind, learned)]
    names = [f"redeem_{KINDS[k].value}" for k in learned]
    mean = np.array([*(getattr(priors, name) for name in names), priors.redeem_value_slope])
    spread = np.array([*[SHIFT_SPREAD] * len(names), priors.redeem_value_slope * priors.relative_spread])
    redeemed = panel.events.redeemed[made.customer, made.week] > 0
    offset = _hazard(response, made.x)
    enough = np.isin(kind, learned)
    found, error = _laplace(x, redeemed[enough].astype(float), offset[enough], mean, spread)
    slope = float(np.clip(found[-1], 1e-3, 5.0))
    shifts: dict[str, Any] = dict(zip(names, np.clip(found[:-1], -5.0, 5.0).tolist(), strict=True))
    return replace(
        priors,
        **shifts,
        redeem_value_slope=slope,
        spreads={**priors.spreads, "redeem_value_slope": float(error[-1] / slope)},
        shift_spreads={**priors.shift_spreads, **dict(zip(names, error[:-1].tolist(), strict=True))},
    )


def _reached(made: OfferRows, panel: Panel, catalog: Catalog) -> Flags:
    """Return whether the week's mean basket reached the threshold of the offer made, shape (n,), bool."""
    baskets = np.maximum(panel.events.baskets[made.customer, made.week], 1.0)
    reached: Flags = 100.0 * made.spend / baskets >= catalog.columns().threshold[made.offer]
    return reached


def _hazard(response: ResponseModel, x: Floats) -> Floats:
    features = torch.from_numpy(x).float()
    members = [
        response.redemption_logit(features, torch.full((len(features),), member))
        for member in range(response.n_members)
    ]
    return torch.stack(members).mean(dim=0).double().numpy()


def _laplace(x: Floats, y: Floats, offset: Floats, mean: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Return the mode and the standard deviations of a logistic regression with an offset under normal priors."""
    precision, beta = np.diag(spread**-2), mean.copy()
    curvature = precision
    for _ in range(30):
        p = sigmoid(offset + x @ beta)
        curvature = (x * (p * (1.0 - p))[:, None]).T @ x + precision
        beta = beta + np.linalg.solve(curvature, x.T @ (y - p) - precision @ (beta - mean))
    return beta, np.sqrt(np.diag(np.linalg.inv(curvature)))
