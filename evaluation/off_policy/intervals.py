"""From the terms of a value to an estimate: four kinds of 95 % interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from campaigns.errors import InputError
from evaluation.anytime import anytime_factor
from evaluation.estimate import Estimate, Verdict
from evaluation.off_policy.estimators import Terms
from evaluation.off_policy.resampling import resampled_means
from evaluation.off_policy.rounds import CHUNK, Rounds, part_of, slices

Floats = NDArray[np.float64]
RISK = 0.05


@dataclass(frozen=True)
class Bounds:
    """What is known before the log is seen.

    Attributes:
        low, high: No reward lies outside; low < high, in the unit of the reward.
        weight: No importance weight is larger, >= 1: 1 over the least probability that the log gives an action.
    """

    low: float
    high: float
    weight: float

    def __post_init__(self) -> None:
        if not (self.low < self.high and self.weight >= 1):
            raise InputError(
                f"off-policy: bounds are rewards {self.low} to {self.high}, weights up to {self.weight}; expected a "
                "lower below an upper one and weights of 1 or more; correct the bounds"
            )


def with_normal(terms: Terms, rounds: Rounds) -> Estimate:
    """Give a value the limits of Student's t over customers, widened where the value has an estimated bias.

    Where customers have several rounds, the influences of a customer are added first. A few large weights make the
    error itself uncertain, however long the log: t has as many degrees of freedom as that error is worth.

    Reference:
        Liang & Zeger, "Longitudinal data analysis using generalized linear models", Biometrika 73(1), 1986, for
        clusters; Armstrong & Kolesár, "Optimal Inference in a Class of Regression Models", Econometrica 86(2), 2018,
        for the width under a bias.
    """
    sums = _by_customer(_adjusted(terms.influence, rounds), rounds)
    groups = len(sums)
    error = float(np.sqrt(groups / (groups - 1) * float(sums @ sums))) / rounds.n
    half = _quantile_under_bias(terms.bias, error, degrees_of_freedom(sums)) * error
    return _estimate(terms.value, error, (terms.value - half, terms.value + half), rounds, groups)


def with_bootstrap(terms: Terms, rounds: Rounds, seed: int, resamples: int = 400) -> Estimate:
    """Give a value the limits of the studentised bootstrap over customers, widened by an estimated bias.

    Each resample's deviation is divided by its own standard error, so that limits follow the heavy tails that a few
    large weights cause; they are symmetric. What is drawn anew are the influences, so all estimators share their draws.

    Args:
        terms: Of the value.
        rounds: They come from.
        seed: Same seed, same limits.
        resamples: How many times customers are drawn anew.

    Reference:
        Davison & Hinkley, "Bootstrap Methods and their Application", 1997, sections 2.4 and 3.8;
        Hall, "Theoretical comparison of bootstrap confidence intervals", Annals of Statistics 16(3), 1988.
    """
    return with_bootstraps([terms], rounds, seed, resamples)[0]


def with_bootstraps(several: Sequence[Terms], rounds: Rounds, seed: int, resamples: int = 400) -> list[Estimate]:
    """Do the same for several values with the same resamples, which costs little more than for one.

    Estimators that differ in their value and not in their influence share the resampled sums.
    """
    sums, place = _distinct([_by_customer(_adjusted(terms.influence, rounds), rounds) for terms in several])
    groups = len(sums[0])
    mean, square = resampled_means(sums, seed, resamples)
    spread = np.sqrt(np.maximum(square - mean**2, 0.0) / groups)
    ratio = np.divide(mean, spread, out=np.zeros_like(mean), where=spread > 0)
    width = np.quantile(np.abs(ratio), 1 - RISK, axis=0, method="weibull")
    scale = groups / rounds.n
    error = np.array([np.sqrt(float(one @ one) / groups / (groups - 1)) for one in sums]) * scale
    half, spreads = width * error, mean.std(axis=0, ddof=1) * scale
    return [
        _estimate(
            terms.value,
            float(spreads[number]),
            (terms.value - float(half[number]) - terms.bias, terms.value + float(half[number]) + terms.bias),
            rounds,
            groups,
        )
        for terms, number in zip(several, place, strict=True)
    ]


def with_bernstein(rounds: Rounds, bounds: Bounds, risk: float = RISK) -> Estimate:
    """Give the IPS value limits that hold in a log of any length, from the bounds of rewards and weights.

    The lower limit is that of the mean of w x, the upper one that of w (1 - x), with x the reward scaled to [0, 1].

    Raises:
        InputError: A reward or weight is outside the bounds, or customers have several rounds.

    Reference:
        Maurer & Pontil, "Empirical Bernstein Bounds and Sample Variance Penalization", COLT 2009, theorem 4; both
        sides as Waudby-Smith et al., 2024.
    """
    scaled = _scaled(rounds, bounds)
    low = _bernstein_limit(rounds.weight * scaled, bounds.weight, risk / 2)
    high = 1 - _bernstein_limit(rounds.weight * (1 - scaled), bounds.weight, risk / 2)
    return _within(rounds, bounds, low, high)


def with_confidence_sequence(rounds: Rounds, bounds: Bounds, risk: float = RISK) -> Estimate:
    """Give the IPS value the limits that hold at every length of the log at once, however often one looks.

    Raises:
        InputError: A reward or weight is outside the bounds, or customers have several rounds.

    Reference:
        Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro, "Anytime-valid off-policy inference for contextual
        bandits", ACM/IMS Journal of Data Science 1(3), 2024.
    """
    scaled = _scaled(rounds, bounds)
    low = float(np.max(lower_sequence(rounds.weight * scaled, risk / 2)))
    high = 1 - float(np.max(lower_sequence(rounds.weight * (1 - scaled), risk / 2)))
    return _within(rounds, bounds, low, high)


def lower_sequence(values: Floats, risk: float) -> Floats:
    """Return lower limits of a mean in [0, 1] after each of its values, all right at once with chance 1 - risk.

    Args:
        values: Independent, >= 0, in the order in which they came, shape (n,); their mean is at most 1.
        risk: Chance that any limit is above the mean.

    Returns:
        Limits, shape (n,), >= 0.

    Reference:
        Fan, Grama & Liu, "Exponential inequalities for martingales with applications", EJP 20, 2015, lemma 4.1;
        Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86(1), 2024,
        for the predictable guesses.
    """
    count = np.arange(1, len(values) + 1)
    mean = np.minimum(1.0, (0.5 + np.cumsum(values)) / (count + 1))
    spread = (0.25 + np.cumsum((values - mean) ** 2)) / (count + 1)
    guess = np.concatenate([[0.5], mean[:-1]])
    known = np.concatenate([[0.25], spread[:-1]])
    bet = np.minimum(0.5, np.sqrt(2 * np.log(1 / risk) / (known * count * np.log1p(count))))
    price = (values - guess) ** 2 * (-np.log1p(-bet) - bet)
    limit = (np.cumsum(bet * values) - np.log(1 / risk) - np.cumsum(price)) / np.cumsum(bet)
    return np.asarray(np.maximum(limit, 0.0))


def with_asymptotic_sequence(terms: Terms, rounds: Rounds, tuned_for: int, risk: float = RISK) -> Estimate:
    """Give any value limits that hold, in long logs, however often one looks; no bounds are needed.

    Args:
        terms: Of the value.
        rounds: They come from.
        tuned_for: Number of customers at which the limits are to be tightest.
        risk: Chance to be wrong at any look.

    Reference:
        Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory and asymptotic confidence
        sequences", Annals of Statistics 52(6), 2024.
    """
    sums = _by_customer(_adjusted(terms.influence, rounds), rounds)
    groups = len(sums)
    error = float(np.sqrt(groups / (groups - 1) * float(sums @ sums))) / rounds.n
    half = error * anytime_factor(groups, tuned_for, risk) + terms.bias
    return _estimate(terms.value, error, (terms.value - half, terms.value + half), rounds, groups)


def degrees_of_freedom(values: Floats) -> float:
    """Return those of the t whose estimated variance is as uncertain as that of these values, which have mean 0.

    The variance of a sample variance is sigma^4 (k - (n - 3) / (n - 1)) / n with k = m4 / m2^2; one with f degrees of
    freedom has 2 sigma^4 / f. Values with the k = 3 of a Gaussian get n - 1, the most there is.

    Reference:
        Satterthwaite, "An Approximate Distribution of Estimates of Variance Components", Biometrics Bulletin 2(6),
        1946, for the matching; Cramér, "Mathematical Methods of Statistics", 1946, chapter 27, for the variance.
    """
    n, square = len(values), values * values
    second = float(square.mean())
    if second <= 0:
        return n - 1.0
    uncertain = float((square @ square) / n) / second**2 - (n - 3) / (n - 1)
    return min(n - 1.0, 2.0 * n / uncertain) if uncertain > 0 else n - 1.0


def _adjusted(influence: Floats, rounds: Rounds) -> Floats:
    """Take from the influences what the fit of estimated probabilities takes from them: their projection on its score.

    Reference: Newey & McFadden, "Large sample estimation and hypothesis testing", 1994, section 6.
    """
    if rounds.score is None:
        return influence
    information: Floats | float = 0.0
    shared: Floats | float = 0.0
    for rows in slices(rounds.n, CHUNK):
        score = part_of(rounds.score, rows)
        information, shared = information + score.T @ score, shared + score.T @ influence[rows]
    slope = np.linalg.lstsq(information, shared, rcond=None)[0]
    adjusted = np.empty(rounds.n)
    for rows in slices(rounds.n, CHUNK):
        adjusted[rows] = influence[rows] - part_of(rounds.score, rows) @ slope
    return adjusted


def _by_customer(column: Floats, rounds: Rounds) -> Floats:
    return column if rounds.customer is None else np.bincount(rounds.customer, column).astype(np.float64)


def _quantile_under_bias(bias: float, error: float, freedom: float) -> float:
    """Return how many errors the limits lie off a value, if it is off by at most a bias: 95 % of |N(b, 1)| or t."""
    plain = float(stats.t.isf(RISK / 2, freedom))
    if error <= 0 or bias <= 0:
        return plain
    off = bias / error
    if off > 6:  # the far side has no chance left
        return off + float(stats.norm.isf(RISK))

    def missing(width: float) -> float:
        return float(stats.norm.cdf(width - off) - stats.norm.cdf(-width - off)) - (1 - RISK)

    return max(plain, float(optimize.brentq(missing, 0.0, off + 4.0)))


def _distinct(columns: Sequence[Floats]) -> tuple[list[Floats], list[int]]:
    """Return the columns that differ, and where each of all stands among them."""
    kept: list[Floats] = []
    place = []
    for column in columns:
        same = next((number for number, one in enumerate(kept) if np.array_equal(one, column)), len(kept))
        if same == len(kept):
            kept.append(column)
        place.append(same)
    return kept, place


def _scaled(rounds: Rounds, bounds: Bounds) -> Floats:
    if rounds.customer is not None and int(rounds.customer.max()) + 1 < rounds.n:
        raise InputError(
            "off-policy: customers have several rounds, expected one each for limits that hold in a log of any "
            "length; use the bootstrap"
        )
    if rounds.score is not None:
        raise InputError(
            "off-policy: pscores are estimated, expected known ones for limits that hold in a log of any length; "
            "use the bootstrap"
        )
    least, most, heaviest = float(rounds.reward.min()), float(rounds.reward.max()), float(rounds.weight.max())
    if least < bounds.low or most > bounds.high or heaviest > bounds.weight * (1 + 1e-12):
        raise InputError(
            f"off-policy: rewards are {least} to {most} and weights up to {heaviest}, outside the bounds "
            f"{bounds.low} to {bounds.high} and {bounds.weight}; widen the bounds"
        )
    return (rounds.reward - bounds.low) / (bounds.high - bounds.low)


def _bernstein_limit(values: Floats, most: float, risk: float) -> float:
    n, log = len(values), float(np.log(2 / risk))
    slack = np.sqrt(2 * float(values.var(ddof=1)) * log / n) + 7 * most * log / (3 * (n - 1))
    return max(0.0, float(values.mean() - slack))


def _within(rounds: Rounds, bounds: Bounds, low: float, high: float) -> Estimate:
    span = bounds.high - bounds.low
    terms = Terms(rounds.weight * rounds.reward)
    error = float(terms.influence.std(ddof=1)) / float(np.sqrt(rounds.n))
    limits = (bounds.low + span * low, bounds.low + span * high)
    return _estimate(terms.value, error, limits, rounds, rounds.n)


def _estimate(value: float, error: float, limits: tuple[float, float], rounds: Rounds, groups: int) -> Estimate:
    overlap = rounds.coverage.judge()
    if overlap.verdict is Verdict.NOT_ESTIMABLE:
        return Estimate(float("nan"), float("nan"), float("nan"), float("nan"), groups, overlap)
    return Estimate(value, error, limits[0], limits[1], groups, overlap)
