"""Who answers more: how the visit effect of each kind of offer leans on a few features, from a log that names offers.

The market says: effect on the logit of a visit = theta[kind] * (1 + lean . z), z the features less their centre, in
standard deviations. The score of `visit_score`, which estimates theta, is asked for theta * lean as well.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from simulators.effects.crossfit import Floats, Ints
from simulators.effects.visit_score import VisitProblem
from simulators.lean import COLUMNS, FARTHEST, LEANS_ON
from simulators.priors import LEAN_SPREAD, EffectPriors

LOOSE: Final = 1.0
"""Standard deviation of a weak prior on theta * lean, under which the search stays finite whatever the log [logit]."""
STEPS: Final = 30
LEAST: Final = 1e-6


@dataclass(frozen=True, eq=False)
class LeanEstimate:
    """What a log says of theta * lean before any prior: a normal likelihood; k kinds, m features.

    Attributes:
        kinds: Names of the kinds ("coupon"), k of them.
        centre: Features at which the effect is the estimate of its mean, shape (k, m).
        scale: Standard deviation of the features, shape (m,).
        precision: Of theta and theta * lean, kind after kind, shape (k * (1 + m), k * (1 + m)).
        pull: Precision times estimate, shape (k * (1 + m),).
    """

    kinds: tuple[str, ...]
    centre: Floats
    scale: Floats
    precision: Floats
    pull: Floats


def estimate_leans(
    problem: VisitProblem, x: Floats, kinds: Iterable[str], theta: Floats, fatigue: float
) -> LeanEstimate | None:
    """Estimate how the visit effects lean; None where nobody visited in a week in which an offer of a kind was sent.

    The centre weighs customer-weeks as the estimate of the mean effect does, so that its mean stays what it was. The
    likelihood is that of the score's sum, normal with its variance over customers.

    Args:
        problem: Rows of the weeks in which offers were sent.
        x: Their features, shape (n, n_features).
        kinds: Names of the problem's kinds.
        theta: Their visit effects, shape (k,).
        fatigue: At which they were estimated.

    Reference:
        Chernozhukov & Hong, "An MCMC approach to classical estimation", Journal of Econometrics 115(2), 2003: a score
        as a likelihood; for the score see `logged_offers`.
    """
    known = x[:, COLUMNS]
    spread = known.std(axis=0)
    scale = np.where(spread > LEAST, spread, 1.0)
    tired = np.exp(-fatigue * problem.contacts)[:, None]
    dose, residual = problem.dose * tired, (problem.dose - problem.expected) * tired
    weight = _weights(problem, dose, residual, theta)
    if (weight.sum(axis=0) <= LEAST).any():
        return None
    centre = weight.T @ known / weight.sum(axis=0)[:, None]
    z = np.clip((known[:, None, :] - centre) / scale, -FARTHEST, FARTHEST)
    basis = np.concatenate([np.ones((*z.shape[:2], 1)), z], axis=2)
    slope, left = ((part[:, :, None] * basis).reshape(len(x), -1) for part in (dose, residual))
    start = np.concatenate([theta[:, None], np.zeros_like(centre)], axis=1)
    precision, pull = _likelihood(problem, slope, left, start)
    return LeanEstimate(tuple(kinds), centre, scale, precision, pull)


def lean_on(priors: EffectPriors, found: LeanEstimate | None) -> EffectPriors:
    """Return the priors with what was found of who answers more, after it met a normal prior around no lean.

    The prior is on the lean, so on theta * lean it is as wide as theta is large: of an effect that is hardly there it
    is hardly believed that it differs.

    Args:
        priors: What is believed of the mean effects, after the log was seen.
        found: What the log says, or None.
    """
    if found is None:
        return priors
    mean = np.array([getattr(priors, f"visit_{kind}") for kind in found.kinds])
    believed = [kind in _known(priors) for kind in found.kinds]
    if not any(believed):
        return priors
    wide = np.zeros((len(mean), 1 + len(LEANS_ON)))
    wide[:, 1:] = 1.0 / (LEAN_SPREAD * np.maximum(mean, LEAST))[:, None] ** 2
    covariance = np.linalg.pinv(found.precision + np.diag(wide.ravel()), hermitian=True)
    value, error = covariance @ found.pull, np.sqrt(np.maximum(np.diag(covariance), 0.0))
    value, error = (each.reshape(wide.shape)[:, 1:] / np.maximum(mean, LEAST)[:, None] for each in (value, error))
    leans = {
        f"{kind}.{name}": {
            "lean": float(value[j, i]),
            "error": float(error[j, i]),
            "centre": float(found.centre[j, i]),
            "scale": float(found.scale[i]),
        }
        for j, kind in enumerate(found.kinds)
        if believed[j]
        for i, name in enumerate(LEANS_ON)
    }
    return replace(priors, leans={**priors.leans, **leans})


def _known(priors: EffectPriors) -> set[str]:
    """Return the kinds whose mean visit effect the log informed."""
    return {name.removeprefix("visit_") for name in priors.spreads if name.startswith("visit_")}


def _weights(problem: VisitProblem, dose: Floats, residual: Floats, theta: Floats) -> Floats:
    """Return what each row weighs in the estimate of each kind's mean effect, shape (n, k)."""
    pull = problem.visited * np.exp(-np.clip(dose @ theta, -20.0, 20.0)) * (1.0 - problem.baseline)
    return residual * dose * pull[:, None]


def _likelihood(problem: VisitProblem, slope: Floats, left: Floats, start: Floats) -> tuple[Floats, Floats]:
    """Return precision and precision times estimate of all parameters, where the loosely held search ends."""
    at = start.ravel().copy()
    loose = np.concatenate([np.zeros_like(start[:, :1]), np.full_like(start[:, 1:], LOOSE**-2)], axis=1).ravel()
    for _ in range(STEPS):
        score, information = problem.score(slope @ at, slope, left)
        step = np.linalg.pinv(information + np.diag(loose)) @ (score.sum(axis=0) - loose * at)
        at = at + np.clip(step, -0.5, 0.5)
        if float(np.abs(step).max()) < 1e-8:
            break
    score, information = problem.score(slope @ at, slope, left)
    to_estimate = information.T @ np.linalg.pinv(_spread(score, problem.customer), hermitian=True)
    return to_estimate @ information, to_estimate @ (information @ at + score.sum(axis=0))


def _spread(score: Floats, customer: Ints) -> Floats:
    """Return the covariance of the sum of scores, those of a customer correlated, shape (p, p)."""
    names, code = np.unique(customer, return_inverse=True)
    sums = np.stack([np.bincount(code, weights=column) for column in score.T], axis=1)
    return np.asarray(sums.T @ sums) * len(names) / max(len(names) - 1, 1)
