"""Where estimates and cited priors meet: one belief per effect, with where it comes from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from simulators.effects.audit import NO_CAMPAIGN, BundleAudit
from simulators.effects.inference import Effect
from simulators.effects.leaning import lean_on
from simulators.effects.logged_offers import OfferEffects
from simulators.effects.shelf import ShelfEffects
from simulators.priors import KINDS, EffectPriors

BUNDLE_MAP: Final = 0.7
"""Standard deviation, on the log scale, of the map from a bundle of coupons to one weekly coupon: a factor 2."""
SHELF_MAP: Final = 0.5
"""The same for the map from shelf prices and displays, which nobody was sent, to an offer that somebody was."""
GRID: Final = 4001


@dataclass(frozen=True)
class Belief:
    """What is believed of one effect and why.

    Attributes:
        name: Field of `EffectPriors`.
        prior, prior_error: Mean and standard deviation of the prior.
        estimate, estimate_error: In the effect's own unit after the map; None where nothing was estimated.
        map_spread: Standard deviation on the log scale of the map to this effect; 0 where the log made this very offer.
        mean, error: Of the posterior; of the prior where it stands.
        origin: "assumed" or "estimate+prior".
        verdict: One sentence.
    """

    name: str
    prior: float
    prior_error: float
    estimate: float | None
    estimate_error: float | None
    map_spread: float
    mean: float
    error: float
    origin: str
    verdict: str


@dataclass(frozen=True, eq=False)
class EffectPosterior:
    """Beliefs after seeing the history, and the priors that carry them to a market."""

    beliefs: tuple[Belief, ...]
    priors: EffectPriors

    def to_dict(self) -> dict[str, Any]:
        return {"beliefs": [asdict(belief) for belief in self.beliefs], "priors": asdict(self.priors)}


@dataclass(frozen=True, eq=False)
class Estimates:
    """All that a history says of offers.

    Attributes:
        bundles: Of the log's campaigns as bundles.
        offers: Of a log that names its offers.
        shelf: Of shelf prices and displays.
        coupon_value: Median saving of a logged coupon [currency].
        coupons_used: Mean number of coupons redeemed by those who redeemed any, >= 1.
        bundle_weeks: Mean length of a campaign [weeks].
    """

    bundles: BundleAudit
    offers: OfferEffects
    shelf: ShelfEffects
    coupon_value: float = 1.0
    coupons_used: float = 1.0
    bundle_weeks: float = 6.0


@dataclass(frozen=True)
class _Source:
    """An estimate on its way to an effect: mapped value and error, spread of the map, words."""

    effect: Effect
    factor: float
    map_spread: float
    words: str


def posterior(priors: EffectPriors, estimates: Estimates) -> EffectPosterior:
    """Let every estimate that may be used meet its prior; the others leave a note and the prior as it is.

    Without any usable estimate the priors come back with notes alone, and so with the same draws.
    """
    sources = _sources(priors, estimates)
    verdicts = _verdicts(estimates, sources)
    beliefs: list[Belief] = []
    means: dict[str, Any] = {}
    spreads: dict[str, float] = {}
    for name, verdict in verdicts.items():
        prior = getattr(priors, name)
        spread = priors.spread(name)
        source = sources.get(name)
        mean, error, estimate, se = prior, prior * spread, None, None
        if source is not None:
            estimate, se = source.effect.value * source.factor, source.effect.error * source.factor
            if prior > 0 and spread > 0:
                mean, error = combine(prior, spread, estimate, se, source.map_spread)
                means[name], spreads[name] = mean, error / mean
        origin = "estimate+prior" if name in spreads else "assumed"
        width = source.map_spread if source else 0.0
        beliefs.append(Belief(name, prior, prior * spread, estimate, se, width, mean, error, origin, verdict))
    low, high = _support(estimates, spreads)
    informed = replace(
        priors,
        **means,
        spreads={**priors.spreads, **spreads},
        least_logged={**priors.least_logged, **low},
        most_logged={**priors.most_logged, **high},
        notes={**priors.notes, **verdicts},
    )
    return EffectPosterior(tuple(beliefs), lean_on(informed, estimates.offers.leans))


def combine(prior: float, spread: float, estimate: float, error: float, map_spread: float) -> tuple[float, float]:
    """Return mean and standard deviation of a log-normal prior after a normal estimate.

    The estimate is of the effect times an unknown factor around 1 (the map), log-normal with `map_spread`. On the log
    scale a precise positive estimate makes this the conjugate normal update; done by quadrature, it also takes
    estimates that are imprecise, zero or negative. The grid spans six prior deviations either way.

    Args:
        prior: Mean of the prior, > 0.
        spread: Its standard deviation over its mean, > 0.
        estimate: In the unit of the effect.
        error: Its standard error, >= 0.
        map_spread: Standard deviation of the log of the map, >= 0.
    """
    variance = np.log1p(spread**2)
    centre = np.log(prior) - variance / 2.0
    log_effect = np.linspace(centre - 6.0 * variance**0.5, centre + 6.0 * variance**0.5, GRID)
    effect = np.exp(log_effect)
    noise = np.sqrt(max(error, 1e-9 * prior) ** 2 + effect**2 * np.expm1(map_spread**2))
    log_weight = (
        -((log_effect - centre) ** 2) / (2.0 * variance) - ((estimate - effect) / noise) ** 2 / 2.0 - np.log(noise)
    )
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    mean = float(weight @ effect)
    return mean, max(float(np.sqrt(max(weight @ (effect - mean) ** 2, 0.0))), 1e-6 * mean)


def bundle_factor(estimates: Estimates, salience: float) -> float:
    """Return what turns a bundle's effect on weekly visits into the logit of a visit per log1p(USD saved).

    The map: the bundle counts as one saving of the coupons that a redeemer uses, at their median value, felt in full
    in its first week and by `salience` less in each further one; its effect is spread over its weeks.
    """
    rate = min(max(estimates.bundles.base_rate, 0.05), 0.95)
    weeks = max(estimates.bundle_weeks, 1.0)
    felt = (1.0 - salience**weeks) / (weeks * (1.0 - salience))
    saving = np.log1p(max(estimates.coupon_value, 0.05) * max(estimates.coupons_used, 1.0))
    return float(1.0 / (rate * (1.0 - rate) * saving * felt))


def _sources(priors: EffectPriors, estimates: Estimates) -> dict[str, _Source]:
    """Return the usable estimates by the effect that they inform."""
    sources: dict[str, _Source] = {}
    bundles, shelf = estimates.bundles, estimates.shelf
    if bundles.identified and bundles.visits is not None:
        factor = bundle_factor(estimates, priors.salience)
        sources["visit_coupon"] = _Source(bundles.visits, factor, BUNDLE_MAP, "bundles of coupons")
    for name, effect in (
        ("spend_elasticity", shelf.spend),
        ("stockpiling", shelf.dip),
        ("reference_price", shelf.reference),
    ):
        if effect is not None:
            sources[name] = _Source(effect, 1.0, SHELF_MAP, "shelf prices and displays")
    offers = estimates.offers
    direct: Mapping[str, Effect | None] = {
        **{f"visit_{kind}": effect for kind, effect in offers.visit.items()},
        "spend_elasticity": offers.spend,
        "fatigue": offers.fatigue,
    }
    for name, effect in direct.items():
        if effect is not None:
            sources[name] = _Source(effect, 1.0, 0.0, "offers that the log names")
    return sources


def _verdicts(estimates: Estimates, sources: Mapping[str, _Source]) -> dict[str, str]:
    """Return one sentence per effect that a history could speak of."""
    standing = {
        "visit_coupon": estimates.bundles.verdict if estimates.offers.visit == {} else estimates.offers.verdict,
        "spend_elasticity": f"spend effect: {_why(estimates.shelf)}",
        "fatigue": "fatigue: assumed, the log names no offers sent after few and after many contacts",
        "reference_price": f"reference price: {_why(estimates.shelf)}",
        "stockpiling": f"forward buying: {_why(estimates.shelf)}",
    }
    for kind in KINDS[1:]:
        standing.setdefault(f"visit_{kind.value}", f"{kind.value.replace('_', ' ')} effect: assumed, none was logged")
    return {name: _words(name, sources[name]) if name in sources else standing[name] for name in sorted(standing)}


def _why(shelf: ShelfEffects) -> str:
    fails = "not identified" in shelf.verdict
    return "not identified; the prior stands" if fails else "assumed, the history does not show it"


def _words(name: str, source: _Source) -> str:
    value, error = source.effect.value * source.factor, source.effect.error * source.factor
    what = name.removeprefix("visit_").replace("_", " ")
    mapped = " by an assumed map" if source.map_spread > 0 else ""
    return f"{what} effect: estimate {value:.3g} (standard error {error:.2g}) from {source.words}{mapped}"


def _support(estimates: Estimates, spreads: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the least and the most that was logged, of the effects that were informed."""
    offers = estimates.offers
    named = {f"visit_{kind}": ends for kind, ends in offers.support.items()}
    low = {name: ends[0] for name, ends in named.items() if name in spreads}
    high = {name: ends[1] for name, ends in named.items() if name in spreads}
    if "visit_coupon" in spreads and "visit_coupon" not in high:
        high["visit_coupon"] = estimates.coupon_value * estimates.coupons_used
    if "spend_elasticity" in spreads and offers.spend is None and estimates.shelf.steepest > 0:
        high["spend_elasticity"] = estimates.shelf.steepest
    return low, high


NOTHING: Final = BundleAudit(NO_CAMPAIGN, False, None, 0.0, {"verdict": NO_CAMPAIGN, "groups": []})
"""The audit of a history without campaigns."""
