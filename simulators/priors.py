"""What is assumed about the effect of offers, each with its source: the history cannot identify any of it.

The logged action is a bundle of up to 209 coupons over five to eight weeks, aimed at busy customers; the map from it
to one weekly offer is a prior. Every entry is multiplied or shifted by nothing learned, and says so in the report.
"""

from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from campaigns.errors import InputError
from campaigns.offers import OfferKind
from simulators.provenance import Origin, Parameter

KINDS = tuple(OfferKind)

BELL = (
    "Bijmolt, van Heerde & Pieters, Journal of Marketing Research 42(2), 2005 (mean price elasticity -2.62) times the "
    "quarter that is primary demand in Bell, Chiang & Padmanabhan, Marketing Science 18(4), 1999"
)
EXPOSURE = (
    "Venkatesan & Farris, Journal of Marketing 76(1), 2012: customised coupons raise trips even unredeemed; the "
    "size is set low and its spread wide"
)


@dataclass
class EffectPriors:
    """Means and relative spreads of the assumed effects of offers.

    `lift_scale` and `tiring_scale` multiply the benefits and the costs of repetition: a judging market is stressed by
    setting them below and above 1.
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

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not 0.0 <= value <= 5.0:
                raise InputError(f"market.effects.{entry.name} is {value}; an effect is a number in [0, 5]")
        for name in ("salience", "carryover"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise InputError(f"market.effects.{name} is {getattr(self, name)}; a share is in (0, 1)")


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

    @property
    def n_draws(self) -> int:
        return self.spend.shape[0]

    def take(self, draw: Tensor) -> "Effects":
        return Effects(*(getattr(self, f.name).index_select(0, draw) for f in fields(self)))

    def to(self, device: torch.device | str) -> "Effects":
        return Effects(*(getattr(self, f.name).to(device) for f in fields(self)))


@dataclass(frozen=True)
class _Sampler:
    priors: EffectPriors
    n_draws: int
    generator: torch.Generator = field(repr=False)

    def positive(self, mean: float, n: int = 1) -> Tensor:
        """Draw log-normal values with this mean and the relative spread, shape (n_draws, n)."""
        variance = torch.log1p(torch.tensor(self.priors.relative_spread**2))
        return mean * torch.exp(variance.sqrt() * self._normal(n) - variance / 2)

    def shift(self, mean: float, spread: float) -> Tensor:
        return mean + spread * self._normal(1)

    def share(self, mean: float, spread: float = 0.5) -> Tensor:
        centre = torch.logit(torch.tensor(mean))
        return torch.sigmoid(centre + spread * self._normal(1)).squeeze(1)

    def _normal(self, n: int) -> Tensor:
        return torch.randn(self.n_draws, n, generator=self.generator)


def draw_effects(priors: EffectPriors, n_draws: int, seed: int) -> Effects:
    """Draw the effects of offers from their priors.

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
        mean = getattr(priors, f"visit_{kind.value}") * priors.lift_scale
        visit.append(sample.positive(mean) * common)
        redeem.append(sample.shift(getattr(priors, f"redeem_{kind.value}"), 0.5))
    return Effects(
        visit=torch.cat(visit, dim=1),
        redeem_shift=torch.cat(redeem, dim=1),
        spend=sample.positive(priors.spend_elasticity * priors.lift_scale).squeeze(1),
        redeem_slope=sample.positive(priors.redeem_value_slope).squeeze(1),
        fatigue=sample.positive(priors.fatigue * priors.tiring_scale).squeeze(1),
        reference_price=sample.positive(priors.reference_price * priors.tiring_scale).squeeze(1),
        stockpiling=sample.positive(priors.stockpiling * priors.tiring_scale).squeeze(1),
        salience=sample.share(priors.salience),
        carryover=sample.share(priors.carryover),
    )


def describe_priors(priors: EffectPriors) -> list[Parameter]:
    """Return one provenance row per assumed effect, at the values in force."""
    rows = [
        _row(f"visit_lift.{kind.value}", getattr(priors, f"visit_{kind.value}") * priors.lift_scale, priors,
             "logit per log1p(USD saved)", EXPOSURE, factors=2)
        for kind in KINDS[1:]
    ]  # fmt: skip
    rows += [
        Parameter(f"redeem_shift.{kind.value}", getattr(priors, f"redeem_{kind.value}"), 0.5, "logit", Origin.ASSUMED,
                  "no source: the map from a bundle of brand coupons to one offer on a whole basket or category")
        for kind in KINDS[1:]
    ]  # fmt: skip
    tiring = priors.tiring_scale
    return [
        *rows,
        _row("spend_elasticity", priors.spend_elasticity * priors.lift_scale, priors, "log USD per share saved", BELL),
        _row("redeem_value_slope", priors.redeem_value_slope, priors, "logit per log USD", "no source: kept below 1"),
        _row("fatigue", priors.fatigue * tiring, priors, "log lift per contact in 8 weeks",
             "Ansari, Mela & Neslin, Journal of Marketing Research 45(1), 2008: contact has decreasing returns"),
        _row("reference_price", priors.reference_price * tiring, priors, "log USD per share saved",
             "Kalyanaram & Winer, Marketing Science 14(3), 1995: past prices paid lower what a price is worth"),
        _row("stockpiling", priors.stockpiling * tiring, priors, "share of saving",
             "van Heerde, Leeflang & Wittink, Marketing Science 23(3), 2004: about a third is time shifting"),
        Parameter("salience", priors.salience, 0.12, "share left per week", Origin.ASSUMED, "no source"),
        Parameter("carryover", priors.carryover, 0.12, "share of state dependence that is causal", Origin.ASSUMED,
                  "no source: one year of data cannot tell habit from heterogeneity"),
    ]  # fmt: skip


def _row(name: str, value: float, priors: EffectPriors, unit: str, source: str, factors: int = 1) -> Parameter:
    """Describe a product of `factors` log-normal draws: a visit's lift is its kind's times one that all kinds share."""
    spread = ((1.0 + priors.relative_spread**2) ** factors - 1.0) ** 0.5
    return Parameter(name, value, value * spread, unit, Origin.ASSUMED, source)
