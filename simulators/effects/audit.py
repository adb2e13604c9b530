"""The audit of the log's coupon campaigns: estimates side by side, what should be zero, and the verdict."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from simulators.effects.bundles import OUTCOMES, Bundles
from simulators.effects.crossfit import Fit, Floats, curved, dummies
from simulators.effects.doubly_robust import (
    OVERLAP,
    Nuisances,
    Units,
    average_effects,
    fit_nuisances,
    has_overlap,
    plain_differences,
    residual_effects,
)
from simulators.effects.inference import Effect, robustness_value, strongest_covariate

MARGIN: Final = 0.02
"""Equivalence margin of placebo and negative control, as a share of the mean outcome of the compared households: about
half of what the prior expects of a 1 USD coupon."""
ALPHA: Final = 0.05
VISITS: Final = OUTCOMES.index("visits")
NO_CAMPAIGN: Final = "coupon effect: assumed, the history has no campaign"


@dataclass(frozen=True, eq=False)
class BundleAudit:
    """What the log says of its campaigns.

    Attributes:
        verdict: One sentence.
        identified: Whether the estimate may enter the posterior.
        visits: Effect on the share of weeks with a visit, or None where there is no overlap.
        base_rate: Share of weeks with a visit of the compared untargeted households.
        data: The whole audit as plain data.
    """

    verdict: str
    identified: bool
    visits: Effect | None
    base_rate: float
    data: dict[str, Any]


def audit_bundles(bundles: Bundles | None, seed: int, trees: bool = False) -> BundleAudit:
    """Audit all campaigns together and each type of campaign; `trees` adds a second opinion by boosted trees."""
    if bundles is None or not bundles.after.treated.any():
        return BundleAudit(NO_CAMPAIGN, False, None, 0.0, {"verdict": NO_CAMPAIGN, "groups": []})
    pooled = _audit(bundles, "all campaigns", seed, trees)
    kinds = sorted({str(kind) for kind in bundles.kind if kind})
    groups = [_audit(bundles.of_kind(kind), kind, seed, trees=False).data for kind in kinds] if len(kinds) > 1 else []
    data = {**pooled.data, "groups": [{**pooled.data, "name": "all campaigns"}, *groups]}
    return BundleAudit(pooled.verdict, pooled.identified, pooled.visits, pooled.base_rate, data)


def _audit(bundles: Bundles, name: str, seed: int, trees: bool) -> BundleAudit:
    units = bundles.after
    d = units.treated
    facts: dict[str, Any] = {
        "name": name,
        "units": len(units),
        "targeted": int(d.sum()),
        "households": len(np.unique(units.household)),
        "campaigns": len(np.unique(units.campaign)),
        "mean_weeks": float(bundles.weeks[np.unique(units.campaign)].mean()),
    }
    if d.all() or not d.any():
        return _refused(facts, "no overlap: everyone was targeted" if d.all() else "nobody was targeted")
    if not (np.ptp(units.outcomes[:, VISITS]) and np.ptp(bundles.before.outcomes[:, VISITS])):
        return _refused(facts, "all household-campaigns have equally many weeks with a visit")
    here = fit_nuisances(units, seed)
    facts["overlap"] = _overlap(units, here)
    if not has_overlap(units, here):
        share = float(here.overlap.mean())
        return _refused(facts, f"no overlap: {share:.0%} of the household-campaigns could have gone either way")
    earlier = fit_nuisances(bundles.before, seed)
    if not has_overlap(bundles.before, earlier):
        return _refused(facts, "no overlap in the weeks of the placebo")
    estimates = _estimates(bundles, here, earlier)
    if trees:
        estimates["doubly_robust_trees"] = average_effects(units, _with_trees(units, seed))
    return _judge(bundles, facts, here, estimates)


def _refused(facts: dict[str, Any], reason: str) -> BundleAudit:
    verdict = f"coupon effect: not identified: {reason}; the prior stands"
    return BundleAudit(verdict, False, None, 0.0, {**facts, "verdict": verdict, "identified": False})


def _estimates(bundles: Bundles, here: Nuisances, earlier: Nuisances) -> dict[str, list[Effect]]:
    """Return every method's effects side by side, one per outcome."""
    units, before = bundles.after, bundles.before
    return {
        "naive": plain_differences(units.outcomes, units),
        "within_household": plain_differences(bundles.within, units),
        "difference_in_differences": plain_differences(bundles.change, units),
        "doubly_robust": average_effects(units, here),
        "r_learner": residual_effects(units, here),
        "placebo_naive": plain_differences(before.outcomes, before),
        "placebo": average_effects(before, earlier),
        "placebo_r_learner": residual_effects(before, earlier),
    }


def _judge(bundles: Bundles, facts: dict[str, Any], here: Nuisances, estimates: dict[str, list[Effect]]) -> BundleAudit:
    units = bundles.after
    compared = here.overlap & ~units.treated
    base = units.outcomes[compared].mean(axis=0)
    margins = MARGIN * np.abs(base)
    tests = {
        "placebo_spend": _test(estimates["placebo"][0], float(margins[0])),
        "placebo_visits": _test(estimates["placebo"][1], float(margins[1])),
    }
    if bundles.has_control and base[2] > 0:
        tests["negative_control"] = _test(estimates["doubly_robust"][2], float(margins[2]))
    failed = [
        name.replace("_", " of " if "placebo" in name else " ") for name, test in tests.items() if not test["passes"]
    ]
    verdict = (
        f"coupon effect: not identified: {' and '.join(failed)} {'fails' if len(failed) == 1 else 'fail'} the "
        "equivalence test; the prior stands"
        if failed
        else "coupon effect: identified for a bundle; its map to one weekly coupon is assumed"
    )
    columns = OUTCOMES if bundles.has_control else OUTCOMES[:2]
    data = {
        **facts,
        "verdict": verdict,
        "identified": not failed,
        "base": dict(zip(columns, base.tolist(), strict=False)),
        "estimates": {
            method: {column: effect.to_dict() for column, effect in zip(columns, effects, strict=False)}
            for method, effects in estimates.items()
        },
        "tests": tests,
        "balance": _balance(units, here, bundles.names),
        "sensitivity": _sensitivity(units, here, estimates["r_learner"], bundles.names),
    }
    return BundleAudit(verdict, not failed, estimates["doubly_robust"][1], float(base[1]), data)


def _test(effect: Effect, margin: float) -> dict[str, Any]:
    p = effect.equivalence_p(margin)
    return {**effect.to_dict(), "margin": margin, "p": p, "passes": p < ALPHA}


def _with_trees(units: Units, seed: int) -> Nuisances:
    """Fit the nuisances by boosted trees: a second opinion that knows interactions."""
    settings = {"max_iter": 30, "max_leaf_nodes": 6, "learning_rate": 0.1, "random_state": seed}

    def chance(x: Floats, y: Floats) -> Any:
        if len(np.unique(y)) < 2:
            return lambda rows: np.full(len(rows), y.mean())
        model = HistGradientBoostingClassifier(**settings).fit(x, y)
        return lambda rows: model.predict_proba(rows)[:, 1]

    def means(x: Floats, y: Floats) -> Any:
        models = [HistGradientBoostingRegressor(**settings).fit(x, column) for column in y.T]
        return lambda rows: np.stack([model.predict(rows) for model in models], axis=1)

    propensity: Fit = chance
    outcome: Fit = means
    return fit_nuisances(units, seed, propensity, outcome)


def _overlap(units: Units, nuisances: Nuisances) -> dict[str, Any]:
    """Return how the chances of being targeted are spread, among targeted and others."""
    edges = np.linspace(0.0, 1.0, 21)
    d = units.treated
    return {
        "edges": edges.tolist(),
        "targeted": np.histogram(nuisances.propensity[d], edges)[0].tolist(),
        "others": np.histogram(nuisances.propensity[~d], edges)[0].tolist(),
        "kept_from": OVERLAP[0],
        "kept_to": OVERLAP[1],
        "kept_share": float(nuisances.overlap.mean()),
        "kept_share_of_targeted": float(nuisances.overlap[d].mean()),
    }


def _balance(units: Units, nuisances: Nuisances, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return standardised mean differences of the covariates as they are and after weighting, the largest first."""
    keep = nuisances.overlap
    spread = np.maximum(units.x.std(axis=0), 1e-9)
    even = np.ones(len(units))
    weight = np.where(units.treated, 1.0 / nuisances.propensity, 1.0 / (1.0 - nuisances.propensity)) * keep
    plain = _difference(units, even) / spread
    after = _difference(units, weight) / spread
    order = np.argsort(-np.abs(plain), kind="stable")
    return [{"name": names[j], "before": float(plain[j]), "after": float(after[j])} for j in order]


def _difference(units: Units, weight: Floats) -> Floats:
    d = units.treated
    ours = np.average(units.x[d], axis=0, weights=weight[d])
    return np.asarray(ours - np.average(units.x[~d], axis=0, weights=weight[~d]))


def _sensitivity(units: Units, nuisances: Nuisances, effects: list[Effect], names: tuple[str, ...]) -> dict[str, Any]:
    """Return robustness values of the effects on spend and visits, and the strongest covariate as a benchmark."""
    x = np.concatenate([curved(units.x), dummies(units.campaign)], axis=1)
    freedom = max(len(units) - x.shape[1] - 1, 1)
    usable = units.x.std(axis=0) > 1e-9
    known = [name for name, use in zip(names, usable, strict=True) if use]
    result: dict[str, Any] = {}
    if known:
        level = dummies(units.campaign)
        both = np.column_stack([units.x[:, usable], units.treated, units.outcomes[:, 0]])
        both = both - level @ ((level.T @ both) / level.sum(axis=0)[:, None])
        best, share = strongest_covariate(both[:, :-2], both[:, -2])
        result["benchmark"] = {"covariate": known[best], "share_of_targeting": share}
        result["benchmark"]["share_of_spend"] = strongest_covariate(both[:, :-2], both[:, -1])[1]
    for column, effect in zip(OUTCOMES[:2], effects, strict=False):
        t = effect.value / effect.error if effect.error > 0 else 0.0
        result[column] = {
            "to_zero": robustness_value(t, freedom),
            "to_insignificance": robustness_value(t, freedom, critical=1.96),
        }
    return result
