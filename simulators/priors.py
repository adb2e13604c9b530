"""What is believed of the effect of offers, each with its source: priors, and what a history has made of them.

By default nothing is learned: a log whose action is a bundle of up to 209 coupons over five to eight weeks, aimed at
busy customers, says little of one weekly offer. Where `simulators.effects` did learn, means and spreads differ.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from campaigns.errors import InputError
from campaigns.offers import OfferKind
from simulators.lean import LEANS_ON, Lean

KINDS = tuple(OfferKind)

SHIFT_SPREAD = 0.5
"""Prior standard deviation of a shift of redemption [logit]."""
LEAN_SPREAD = 0.3
"""Prior standard deviation of a lean, around 0 [share of a visit effect per standard deviation of a feature]."""
LEAN_PARTS = ("lean", "error", "centre", "scale")


@dataclass
class EffectPriors:
    """Means and relative spreads of the assumed effects of offers.

    `lift_scale` and `tiring_scale` multiply the benefits and the costs of repetition: a judging market is stressed by
    setting them below and above 1. `spreads` holds the relative spread of effects that a history informed, by name of
    their field; `least_logged` and `most_logged` the savings [USD] (for `spend_elasticity`: shares of a week's spend)
    between which it did: beyond them an effect is less sure. `shift_spreads` holds the standard deviation of the shifts
    of redemption that it informed. `leans` holds how a visit effect leans on a feature ("coupon.promo_share"), each
    with `lean` and `error` (share of the effect per standard deviation of the feature), and `centre` and `scale` of the
    feature; what it does not hold leans on nothing. `notes` says what came of each attempt to learn.
    """

    visit_discount: float = 0.10  # logit of a weekly visit per log1p(saving / 1 USD)
    visit_coupon: float = 0.13
    visit_threshold: float = 0.10
    visit_gift: float = 0.12
    visit_flash_sale: float = 0.14
    spend_elasticity: float = 0.65  # log basket per share of the basket saved
    redeem_discount: float = 2.0  # logit shift from the logged bundle's weekly hazard
    redeem_coupon: float = 1.0
    redeem_threshold: float = 1.0
    redeem_gift: float = 1.5
    redeem_flash_sale: float = 2.0
    redeem_value_slope: float = 0.5  # logit per log of the saving in USD
    fatigue: float = 0.15  # log of the lift lost per contact in the last 8 weeks
    reference_price: float = 0.5  # log basket lost per share of spend saved by offers
    stockpiling: float = 0.35  # share of what an offer saved that is missing from later baskets
    salience: float = 0.6  # share of the lift left after each further week of an offer's life
    carryover: float = 0.5  # share of an induced visit's habit that is causal
    relative_spread: float = 0.4
    lift_scale: float = 1.0
    tiring_scale: float = 1.0
    fatigue_on: bool = True
    reference_price_on: bool = True
    stockpiling_on: bool = True
    spreads: dict[str, float] = field(default_factory=dict)
    shift_spreads: dict[str, float] = field(default_factory=dict)
    least_logged: dict[str, float] = field(default_factory=dict)
    most_logged: dict[str, float] = field(default_factory=dict)
    leans: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name == "leans":
                _check_leans(value)
            elif isinstance(value, dict):
                self._check_names(entry.name, value)
            elif entry.name.startswith("redeem_") and entry.name != "redeem_value_slope":
                if not -5.0 <= value <= 5.0:
                    raise InputError(f"market.effects.{entry.name} is {value}; a shift is a number in [-5, 5]")
            elif not 0.0 <= value <= 5.0:
                raise InputError(f"market.effects.{entry.name} is {value}; an effect is a number in [0, 5]")
        for name in ("salience", "carryover"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise InputError(f"market.effects.{name} is {getattr(self, name)}; a share is in (0, 1)")

    def _check_names(self, table: str, entries: Mapping[str, float | str]) -> None:
        known = {entry.name for entry in fields(self)}
        for name, value in entries.items():
            if name not in known:
                raise InputError(
                    f"market.effects.{table} has {name!r}; expected the name of an effect, as visit_coupon"
                )
            if isinstance(value, float) and not 0.0 <= value < float("inf"):
                raise InputError(f"market.effects.{table}.{name} is {value}; expected a number that is not negative")

    def spread(self, name: str) -> float:
        """Return the relative spread of an effect: standard deviation over mean."""
        kind = name.removeprefix("visit_")
        shared = kind != name and kind in {k.value for k in KINDS}
        prior = ((1.0 + self.relative_spread**2) ** 2 - 1.0) ** 0.5 if shared else self.relative_spread
        return self.spreads.get(name, prior)


def _check_leans(leans: Mapping[str, Mapping[str, float]]) -> None:
    for name, parts in leans.items():
        kind, _, feature = name.partition(".")
        if kind not in {k.value for k in KINDS[1:]} or feature not in LEANS_ON:
            raise InputError(
                f"market.effects.leans has {name!r}; expected a kind of offer and one of {', '.join(LEANS_ON)}, as "
                "coupon.promo_share"
            )
        finite = all(math.isfinite(value) for value in parts.values())
        if set(parts) != set(LEAN_PARTS) or not finite or parts["error"] < 0 or parts["scale"] <= 0:
            raise InputError(
                f"market.effects.leans.{name} is {dict(parts)}; expected finite {', '.join(LEAN_PARTS)}, an error that "
                "is not negative and a scale above 0"
            )


@dataclass(frozen=True, eq=False)
class Reach:
    """How far a history's offers reached, and how uncertain an effect is beyond them; float32, one row per draw.

    Attributes:
        floor, ceiling: log1p of the least and most that logged offers of a kind saved [log USD], (d, n_kinds); 0 and
            infinity where the kind was never learned.
        stretch: Slope of the effect above the ceiling, and power of its fall below the floor, mean 1, (d, n_kinds).
        share_ceiling: Largest share of a week's spend that was seen saved, (d,).
        share_stretch: Slope of the spend effect above it, mean 1, (d,).
    """

    floor: Tensor
    ceiling: Tensor
    stretch: Tensor
    share_ceiling: Tensor
    share_stretch: Tensor


@dataclass(frozen=True, eq=False)
class Effects:
    """Draws of the effects, one row per draw, all float32; kinds in the order of `OfferKind`."""

    visit: Tensor  # (d, n_kinds)
    redeem_shift: Tensor  # (d, n_kinds)
    spend: Tensor  # (d,)
    redeem_slope: Tensor  # (d,)
    fatigue: Tensor  # (d,)
    reference_price: Tensor  # (d,)
    stockpiling: Tensor  # (d,)
    salience: Tensor  # (d,)
    carryover: Tensor  # (d,)
    reach: Reach | None = None  # None where nothing was learned, so that no support is known
    lean: Lean | None = None  # None where nothing was learned, or where `of_customers` has counted it
    path: Tensor | None = None  # how the kinds' effects change by week of the drift, (d, weeks, n_kinds)

    @property
    def n_draws(self) -> int:
        return self.spend.shape[0]

    def sizes(self) -> list[Tensor]:
        """Return every effect, without how far the history reached and what it leans on."""
        return [getattr(self, name) for name in _SIZES]

    def at(self, week: int) -> "Effects":
        """Return the effects as they are in a week of the campaign, drift counted in."""
        if self.path is None:
            return self
        change = self.path[:, min(week, self.path.shape[1] - 1)]
        return replace(self, visit=self.visit * change.exp(), redeem_shift=self.redeem_shift + change, path=None)

    def begun(self, start: Tensor, weeks: int) -> "Effects":
        """Return the effects of a campaign that begins in a week of the drift.

        Args:
            start: Week of `path`, shape (), int64.
            weeks: Of the campaign, from the first of which `at` counts.
        """
        if self.path is None:
            return self
        week = start + torch.arange(weeks, device=start.device)
        return replace(self, path=self.path.index_select(1, week))

    def take(self, draw: Tensor) -> "Effects":
        taken = self._each(lambda tensor: tensor.index_select(0, draw))
        return replace(taken, lean=self.lean and self.lean.take(draw))

    def of_customers(self, draw: Tensor, seen: Tensor) -> "Effects":
        """Return the effects that n customers live under, what is known of each counted in.

        Args:
            draw: Of each customer, shape (n,), int64.
            seen: What is known of them, shape (n, n_features).
        """
        taken = self.take(draw)
        if taken.lean is None:
            return taken
        return replace(taken, visit=taken.visit * taken.lean.factor(seen), lean=None)

    def to(self, device: torch.device | str) -> "Effects":
        moved = self._each(lambda tensor: tensor.to(device))
        return replace(moved, lean=self.lean and self.lean.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Effects":
        tensors: dict[str, Any] = {name: change(getattr(self, name)) for name in _SIZES}
        reach = self.reach and Reach(*(change(getattr(self.reach, f.name)) for f in fields(Reach)))
        return replace(self, **tensors, reach=reach, path=None if self.path is None else change(self.path))


_SIZES = tuple(f.name for f in fields(Effects) if f.name not in ("reach", "lean", "path"))


@dataclass(frozen=True)
class _Sampler:
    priors: EffectPriors
    n_draws: int
    generator: torch.Generator = field(repr=False)

    def positive(self, mean: float, n: int = 1, spread: float | None = None) -> Tensor:
        """Draw log-normal values with this mean and relative spread, the prior's by default, shape (n_draws, n)."""
        variance = torch.log1p(torch.tensor((self.priors.relative_spread if spread is None else spread) ** 2))
        return mean * torch.exp(variance.sqrt() * self.normal(n) - variance / 2)

    def named(self, name: str, scale: float) -> Tensor:
        """Draw the effect of this name, its mean times `scale`, shape (n_draws,)."""
        return self.positive(getattr(self.priors, name) * scale, spread=self.priors.spreads.get(name)).squeeze(1)

    def shift(self, mean: float, spread: float) -> Tensor:
        return mean + spread * self.normal(1)

    def share(self, mean: float, spread: float = 0.5) -> Tensor:
        centre = torch.logit(torch.tensor(mean))
        return torch.sigmoid(centre + spread * self.normal(1)).squeeze(1)

    def normal(self, n: int) -> Tensor:
        return torch.randn(self.n_draws, n, generator=self.generator)


def draw_effects(priors: EffectPriors, n_draws: int, seed: int) -> Effects:
    """Draw the effects of offers from what is believed of them; without anything learned, from their priors.

    Args:
        priors: Means and spreads.
        n_draws: How many draws, >= 1.
        seed: Same seed, same draws.

    Returns:
        The draws, on the CPU.
    """
    sample = _Sampler(priors, n_draws, torch.Generator().manual_seed(seed))
    common = sample.positive(1.0)
    visit = [torch.zeros(n_draws, 1)]
    redeem = [torch.zeros(n_draws, 1)]
    for kind in KINDS[1:]:
        name = f"visit_{kind.value}"
        mean = getattr(priors, name) * priors.lift_scale
        informed = name in priors.spreads  # its own evidence, instead of what all kinds share
        visit.append(sample.positive(mean, spread=priors.spreads.get(name)) * (1.0 if informed else common))
        shift = f"redeem_{kind.value}"
        redeem.append(sample.shift(getattr(priors, shift), priors.shift_spreads.get(shift, SHIFT_SPREAD)))
    return Effects(
        visit=torch.cat(visit, dim=1),
        redeem_shift=torch.cat(redeem, dim=1),
        spend=sample.named("spend_elasticity", priors.lift_scale),
        redeem_slope=sample.named("redeem_value_slope", 1.0),
        fatigue=sample.named("fatigue", priors.tiring_scale * priors.fatigue_on),
        reference_price=sample.named("reference_price", priors.tiring_scale * priors.reference_price_on),
        stockpiling=sample.named("stockpiling", priors.tiring_scale * priors.stockpiling_on),
        salience=sample.share(priors.salience),
        carryover=sample.share(priors.carryover),
        reach=_draw_reach(priors, sample) if priors.most_logged else None,
        lean=_draw_lean(priors, sample) if priors.leans else None,
    )


def _draw_reach(priors: EffectPriors, sample: _Sampler) -> Reach:
    """Draw how effects go on beyond the logged savings: as within them in the mean, more or less by a draw."""
    ones, floors, ceilings, stretches = torch.ones(sample.n_draws, 1), [], [], []
    for kind in KINDS:
        name = f"visit_{kind.value}"
        known = name in priors.most_logged
        floors.append(ones * math.log1p(priors.least_logged.get(name, 0.0)))
        ceilings.append(ones * (math.log1p(priors.most_logged[name]) if known else math.inf))
        stretches.append(sample.positive(1.0) if known else ones)
    share = priors.most_logged.get("spend_elasticity", math.inf)
    return Reach(
        floor=torch.cat(floors, dim=1),
        ceiling=torch.cat(ceilings, dim=1),
        stretch=torch.cat(stretches, dim=1),
        share_ceiling=(ones * share).squeeze(1),
        share_stretch=sample.positive(1.0).squeeze(1),
    )


def _draw_lean(priors: EffectPriors, sample: _Sampler) -> Lean:
    """Draw how the visit effects lean, normal; kinds of which nothing was learned do not."""
    none = {"lean": 0.0, "error": 0.0, "centre": 0.0, "scale": 1.0}
    table = [[priors.leans.get(f"{kind.value}.{name}", none) for name in LEANS_ON] for kind in KINDS]
    mean, error, centre, scale = (torch.tensor([[one[part] for one in row] for row in table]) for part in LEAN_PARTS)
    return Lean(mean + error * sample.normal(mean.numel()).view(-1, *mean.shape), centre, scale)
