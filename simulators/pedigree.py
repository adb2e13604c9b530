"""Where what is believed of offers comes from: one row of provenance per effect."""

from simulators.priors import KINDS, SHIFT_SPREAD, EffectPriors
from simulators.provenance import Origin, Parameter

BELL = (
    "Bijmolt, van Heerde & Pieters, Journal of Marketing Research 42(2), 2005 (mean price elasticity -2.62) times the "
    "quarter that is primary demand in Bell, Chiang & Padmanabhan, Marketing Science 18(4), 1999"
)
EXPOSURE = (
    "Venkatesan & Farris, Journal of Marketing 76(1), 2012: customised coupons raise trips even unredeemed; the "
    "size is set low and its spread wide"
)
LEAN_PRIOR = "no source: none is believed before, and less than 0.3 in two of three cases"


def describe_priors(priors: EffectPriors) -> list[Parameter]:
    """Return one provenance row per assumed effect, at the values in force."""
    rows = [
        _row(f"visit_lift.{kind.value}", f"visit_{kind.value}", priors.lift_scale, priors,
             "logit per log1p(USD saved)", EXPOSURE)
        for kind in KINDS[1:]
    ]  # fmt: skip
    rows += [_shift_row(kind.value, priors) for kind in KINDS[1:]]
    tiring = priors.tiring_scale
    return [
        *rows,
        _row("spend_elasticity", "spend_elasticity", priors.lift_scale, priors, "log USD per share saved", BELL),
        _row("redeem_value_slope", "redeem_value_slope", 1.0, priors, "logit per log USD", "no source: kept below 1"),
        _row("fatigue", "fatigue", tiring * priors.fatigue_on, priors, "log lift per contact in 8 weeks",
             "Ansari, Mela & Neslin, Journal of Marketing Research 45(1), 2008: contact has decreasing returns"),
        _row("reference_price", "reference_price", tiring * priors.reference_price_on, priors,
             "log USD per share saved",
             "Kalyanaram & Winer, Marketing Science 14(3), 1995: past prices paid lower what a price is worth"),
        _row("stockpiling", "stockpiling", tiring * priors.stockpiling_on, priors, "share of saving",
             "van Heerde, Leeflang & Wittink, Marketing Science 23(3), 2004: about a third is time shifting"),
        Parameter("salience", priors.salience, 0.12, "share left per week", Origin.ASSUMED, "no source"),
        Parameter("carryover", priors.carryover, 0.12, "share of state dependence that is causal", Origin.ASSUMED,
                  "no source: one year of data cannot tell habit from heterogeneity"),
        *_lean_rows(priors),
    ]  # fmt: skip


def _row(name: str, entry: str, scale: float, priors: EffectPriors, unit: str, source: str) -> Parameter:
    """Describe an effect by its entry in the priors, what was learned of it in front of the prior's source."""
    value = getattr(priors, entry) * scale
    origin = Origin.COMBINED if entry in priors.spreads else Origin.ASSUMED
    note = priors.notes.get(entry)
    return Parameter(
        name, value, value * priors.spread(entry), unit, origin, f"{note}; prior: {source}" if note else source
    )


def _shift_row(kind: str, priors: EffectPriors) -> Parameter:
    name = f"redeem_{kind}"
    if name in priors.shift_spreads:
        words = "redemptions of the log's named offers, drawn to the prior"
        return Parameter(
            f"redeem_shift.{kind}", getattr(priors, name), priors.shift_spreads[name], "logit", Origin.COMBINED, words
        )
    words = "no source: the map from a bundle of brand coupons to one offer on a whole basket or category"
    return Parameter(f"redeem_shift.{kind}", getattr(priors, name), SHIFT_SPREAD, "logit", Origin.ASSUMED, words)


def _lean_rows(priors: EffectPriors) -> list[Parameter]:
    """Describe who answers more; where nothing was learned of it, that all customers are held to answer alike."""
    unit = "share of the visit effect per standard deviation"
    if not priors.leans:
        words = "held at 0, all customers answer alike: the history names no offers that would tell who answers more"
        return [Parameter("visit_lean", 0.0, 0.0, unit, Origin.ASSUMED, words)]
    words = f"visits after the log's named offers; prior: {LEAN_PRIOR}"
    return [
        Parameter(f"visit_lean.{name}", one["lean"], one["error"], unit, Origin.COMBINED, words)
        for name, one in priors.leans.items()
    ]
