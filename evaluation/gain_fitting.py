"""Learning what offers bring from a sample of customers that the market plays: a ridge regression per offer.

Of each offer, the mean over the draws of the effects is regressed on the basis of `evaluation.gains`, and the deviation
of each draw on the basis times the draw's coordinates: its derivatives by the effects, which the delta method needs.

Reference:
    Oehlert, "A Note on the Delta Method", The American Statistician 46(1), 1992.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from campaigns.decision import ObservationLayout
from evaluation.gains import CLIP, OUTCOMES, GainBasis, GainModel
from evaluation.rollout import Play, expected_gain
from simulators.coordinates import coordinates, whitened
from simulators.market import look, open_market

SAMPLE: Final = 1024
"""Customers that are played."""
PAIRS: Final = 30
"""Products of two features, those that go most with the gains."""
PENALTIES: Final = (1.0, 10.0, 100.0, 1000.0)
"""Ridge penalties that cross-validation chooses among, in customers."""
FOLDS: Final = 5
RANK: Final = 4
"""Directions of the effects that are kept of each offer; what the others do is part of the error."""


@dataclass(frozen=True, eq=False)
class Played:
    """What an offer brought a sample of customers, by draw of the effects.

    Attributes:
        features: Of the customers who may get it, shape (m, n_features), float64.
        gains: Uplift and cost [currency], shape (2, draws, m), float64.
        draws: Coordinates of the draws, uncorrelated, of unit variance, shape (draws, k), float64.
    """

    features: Tensor
    gains: Tensor
    draws: Tensor


def fit_gains(where: Play, weeks: int) -> GainModel:
    """Play every offer to a sample of the customers, and learn what it brings all of them.

    Args:
        where: Market, customers, and as many worlds as draws of the effects are wanted.
        weeks: How long the consequences of an offer are followed; then the terminal value is added.
    """
    layout = where.observer.layout(where.market)
    sample, _ = sample_of(where)
    features, mask = seen_at_first(sample)
    members = torch.arange(where.worlds) % where.market.effects.n_draws % where.market.response.n_members
    played = []
    for index in tqdm(range(1, where.market.n_actions), desc="play offers", unit="offer", disable=None):
        together = mask[:, index].view(-1, where.market.shops).any(dim=1)  # a person's rows stay together
        rows = together.repeat_interleave(where.market.shops).nonzero().squeeze(1)
        mine = mask[rows, index]
        gains = _play(replace(sample, start=sample.start.take(rows)), index, weeks)[:, :, mine.cpu()]
        kind = int(where.market.columns.kind[index])
        draws = _with_members(coordinates(where.market.effects, kind, where.worlds), members)
        played.append(Played(features[rows][mine].double().cpu(), gains, draws))
    return fit_played(layout, played)


def fit_played(layout: ObservationLayout, played: list[Played]) -> GainModel:
    """Learn from what was played.

    Args:
        layout: Of the features.
        played: Of each offer of the catalog but "no offer", in its order.
    """
    basis = GainBasis.of(layout)
    basis = replace(basis, pairs=_strongest_pairs(basis, played))
    fits = [[_fit(basis, place, one, outcome) for outcome in range(2)] for place, one in enumerate(played)]
    coefficients = torch.stack(
        [
            torch.cat([uplift.mean[:, None], cost.mean[:, None], uplift.slopes, cost.slopes], dim=1)
            for uplift, cost in fits
        ]
    )
    tensors = {
        "coefficients": coefficients.float(),
        "error": torch.tensor([[one.error for one in pair] for pair in fits], dtype=torch.float32),
        "pairs": basis.pairs,
    }
    return GainModel(layout, tensors, _meta(layout, played, fits))


@dataclass(frozen=True, eq=False)
class _Fit:
    """Of one offer and outcome.

    Attributes:
        mean: Coefficients, shape (p,).
        slopes: Derivatives of the coefficients by the coordinates, turned so that the first `RANK` say most, (p, RANK).
        error: Standard deviation of what a customer's gain differs by, the draws' luck taken out [currency].
        explained: Share of the differences between customers that were not learned from, in [.., 1].
        penalty: The ridge's.
    """

    mean: Tensor
    slopes: Tensor
    error: float
    explained: float
    penalty: float


def _fit(basis: GainBasis, place: int, played: Played, outcome: int) -> _Fit:
    gains = played.gains[outcome]
    raw = basis.of_offer(played.features, place)
    p, m = raw.shape[1], len(raw)
    if m < 2 * FOLDS:
        mean = torch.zeros(p, dtype=torch.float64)
        if m:
            mean[0] = gains.mean()
        return _Fit(mean, torch.zeros(p, RANK, dtype=torch.float64), float(gains.std()) if m else 0.0, 0.0, 0.0)
    centre, scale = raw.mean(dim=0), raw.std(dim=0)
    scale = torch.where(scale > 1e-9, scale, 1.0)
    centre[0] = 0.0
    regressors, mean = (raw - centre) / scale, gains.mean(dim=0)
    missed = {penalty: _missed(regressors, mean, penalty) for penalty in PENALTIES}
    penalty = min(missed, key=lambda one: missed[one])
    hat = _solve(regressors, regressors.T, penalty)
    slopes = played.draws.T @ (gains - mean) @ hat.T / max(len(gains) - 1, 1)
    luck = float((gains - mean - played.draws @ slopes @ regressors.T).square().mean())
    turned, left = _main_directions(slopes, regressors)
    explained = 1.0 - missed[penalty] / max(float(mean.var(correction=0)), 1e-12)
    error = (max(missed[penalty] - luck / len(gains), 0.0) + left) ** 0.5
    return _Fit(_raw(hat @ mean, centre, scale), _raw(turned.T, centre, scale), error, explained, penalty)


def _solve(regressors: Tensor, right: Tensor, penalty: float) -> Tensor:
    """Return (X'X + penalty)^-1 times `right`; the constant, the first regressor, is not drawn to 0."""
    ridge = torch.full((regressors.shape[1],), penalty, dtype=torch.float64)
    ridge[0] = 1e-9
    solved: Tensor = torch.linalg.solve(regressors.T @ regressors + ridge.diag(), right)
    return solved


def _missed(regressors: Tensor, mean: Tensor, penalty: float) -> float:
    """Return the mean squared error on customers that were left out, a fold at a time."""
    fold = torch.arange(len(mean)) % FOLDS
    errors = torch.empty_like(mean)
    for one in range(FOLDS):
        inside, outside = regressors[fold != one], fold == one
        found = _solve(inside, inside.T @ mean[fold != one], penalty)
        errors[outside] = mean[outside] - regressors[outside] @ found
    return float(errors.square().mean())


def _main_directions(slopes: Tensor, regressors: Tensor) -> tuple[Tensor, float]:
    """Turn derivatives, shape (k, p), to those of the `RANK` directions that say most; and the variance of the rest."""
    turned = torch.zeros(RANK, slopes.shape[1], dtype=torch.float64)
    if not len(slopes):
        return turned, 0.0
    spread = slopes @ regressors.T
    sizes, directions = torch.linalg.eigh(spread @ spread.T / regressors.shape[0])
    most = directions[:, -RANK:].T
    turned[: len(most)] = most @ slopes
    return turned, float(sizes[:-RANK].clamp(min=0.0).sum())


def _raw(found: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Return coefficients on regressors as they are from those on standardised ones, shape (p,) or (p, k)."""
    shape = (-1,) + (1,) * (found.ndim - 1)
    raw: Tensor = found / scale.view(shape)
    raw[0] = raw[0] - (centre.view(shape) * raw).sum(dim=0)
    return raw


def _strongest_pairs(basis: GainBasis, played: list[Played]) -> Tensor:
    """Return the pairs whose product goes most with the uplifts, `PAIRS` of them or as many as the sample bears."""
    d = len(basis.shared)
    pairs = torch.combinations(torch.arange(d), 2)
    strength = torch.zeros(len(pairs), dtype=torch.float64)
    for one in played:
        if len(one.features) > 2:
            x = one.features.index_select(1, basis.shared).clamp(-CLIP, CLIP)
            products = x[:, pairs[:, 0]] * x[:, pairs[:, 1]]
            strength += _correlation(products, one.gains[0].mean(dim=0)).abs()
    most = min(PAIRS, max((len(one.features) for one in played), default=0) // 20)
    return pairs[strength.argsort(descending=True, stable=True)[:most].sort().values]


def _correlation(columns: Tensor, values: Tensor) -> Tensor:
    columns, values = columns - columns.mean(dim=0), values - values.mean()
    size = (columns.square().sum(dim=0) * values.square().sum()).sqrt()
    return torch.where(size > 1e-12, values @ columns / size.clamp(min=1e-12), 0.0)


def _with_members(draws: Tensor, members: Tensor) -> Tensor:
    """Put which member of the ensemble each draw goes with beside its coordinates."""
    which = torch.nn.functional.one_hot(members).double()
    return whitened(torch.cat([draws, which[:, 1:]], dim=1))


def sample_of(where: Play) -> tuple[Play, Tensor]:
    """Return the play with about `SAMPLE` of its customers, drawn without replacement, and their rows."""
    generator, shops = torch.Generator().manual_seed(where.seed), where.market.shops
    people = torch.randperm(where.start.n // shops, generator=generator)[: max(SAMPLE // shops, 1)].sort().values
    rows = (people.unsqueeze(1) * shops + torch.arange(shops)).view(-1).to(where.start.weeks_seen.device)
    return replace(where, start=where.start.take(rows)), rows


def seen_at_first(where: Play) -> tuple[Tensor, Tensor]:
    """Return features and mask of the customers at the start."""
    n, device = where.start.n, where.start.weeks_seen.device
    state = open_market(where.market, where.start, torch.zeros(n, dtype=torch.int64, device=device))
    sight = look(where.market, state)
    context = where.observer.observe(where.market, state, sight, torch.zeros(n, device=device))
    return context.features, context.mask


def _play(where: Play, index: int, weeks: int) -> Tensor:
    """Return uplift and cost by draw, shape (2, draws, m)."""
    if not where.start.n:
        return torch.zeros(2, where.worlds, 0, dtype=torch.float64)
    action = torch.full((where.start.n,), index, device=where.start.weeks_seen.device)
    found: tuple[NDArray[np.float64], ...] = expected_gain(where, action, weeks)
    return torch.from_numpy(np.stack(found))


def _meta(layout: ObservationLayout, played: list[Played], fits: list[list[_Fit]]) -> dict[str, Any]:
    said = {
        name: {
            "customers": len(one.features),
            **{
                outcome: {"explained": round(fit.explained, 4), "error": round(fit.error, 6), "penalty": fit.penalty}
                for outcome, fit in zip(OUTCOMES, pair, strict=True)
            },
        }
        for name, one, pair in zip(layout.action_names[1:], played, fits, strict=True)
    }
    return {"features": list(layout.feature_names), "offers": list(layout.action_names), "fit": said}
