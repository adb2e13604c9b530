"""All estimators of one policy from one log, in one pass over the catalog and one bootstrap."""

from enum import StrEnum

from campaigns.errors import InputError
from evaluation.estimate import Estimate
from evaluation.off_policy import estimators as each
from evaluation.off_policy.estimators import Shrinking, Terms
from evaluation.off_policy.intervals import with_bootstraps, with_normal
from evaluation.off_policy.rounds import Rounds
from evaluation.off_policy.slope import tune


class Estimator(StrEnum):
    """What stands in the table."""

    REPLAY = "replay"
    DIRECT = "direct method"
    IPS = "IPS"
    CLIPPED_IPS = "clipped IPS"
    SNIPS = "SNIPS"
    DR = "DR"
    SNDR = "SNDR"
    SWITCH_DR = "Switch-DR"
    OPTIMISTIC_DR = "DRos"
    SUB_GAUSSIAN_DR = "sub-Gaussian DR"


class Interval(StrEnum):
    """How limits are found."""

    NORMAL = "normal"
    BOOTSTRAP = "bootstrap"


def terms_of(rounds: Rounds) -> dict[Estimator, Terms]:
    """Return the terms of every estimator; replay alone is missing where it cannot be asked."""
    found = {
        Estimator.DIRECT: each.direct_method(rounds),
        Estimator.IPS: each.ips(rounds),
        Estimator.CLIPPED_IPS: each.clipped_ips(rounds),
        Estimator.SNIPS: each.snips(rounds),
        Estimator.DR: each.doubly_robust(rounds),
        Estimator.SNDR: each.self_normalized_dr(rounds),
        Estimator.SWITCH_DR: each.switch_dr(rounds, tune(rounds, Shrinking.SWITCH)),
        Estimator.OPTIMISTIC_DR: each.optimistic_dr(rounds, tune(rounds, Shrinking.OPTIMISTIC)),
        Estimator.SUB_GAUSSIAN_DR: each.sub_gaussian_dr(rounds),
    }
    if rounds.uniform and bool((rounds.weight > 0).any()):
        found = {Estimator.REPLAY: each.replay(rounds)} | found
    return found


def estimate_all(
    rounds: Rounds, interval: Interval = Interval.NORMAL, seed: int = 0, resamples: int = 400
) -> dict[Estimator, Estimate]:
    """Estimate a policy's value in every way.

    Args:
        rounds: A policy beside a log.
        interval: How limits are found.
        seed, resamples: Of the bootstrap.

    Raises:
        InputError: Too few resamples for 95 % limits.
    """
    terms = terms_of(rounds)
    if interval is Interval.NORMAL:
        return {name: with_normal(found, rounds) for name, found in terms.items()}
    if resamples < 100:
        raise InputError(f"off-policy: resamples is {resamples}, expected 100 or more; take at least 100")
    return dict(zip(terms, with_bootstraps(list(terms.values()), rounds, seed, resamples), strict=True))
