"""How many customers an experiment needs, what it can see, and how long it takes.

Normal approximation, two-sided, for two arms of any sizes. Rates use the variances of both hypotheses.

Reference:
    Kohavi, Tang & Xu, "Trustworthy Online Controlled Experiments", 2020, chapter 17; Fleiss, Levin & Paik, "Statistical
    Methods for Rates and Proportions", 2003, chapter 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import optimize, stats

from campaigns.errors import InputError

RISK: Final = 0.05
POWER: Final = 0.8


@dataclass(frozen=True)
class Metric:
    """What is measured of a customer, before anything is done.

    Attributes:
        mean: Of all customers, in the unit of the metric.
        deviation: Standard deviation of one customer's value; for a ratio that of `means.ratio_values`.
        rate: It is a share of the customers, so that its deviation follows from its mean.
        explained: Share of the variance that a covariate from before foretells, in [0, 1): CUPED takes it away.
    """

    mean: float
    deviation: float
    rate: bool = False
    explained: float = 0.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.mean) or not (np.isfinite(self.deviation) and self.deviation >= 0):
            raise InputError(
                f"ab: a metric of mean {self.mean} and deviation {self.deviation}; expected finite numbers"
            )
        if not 0 <= self.explained < 1:
            raise InputError(f"ab: a covariate explains {self.explained}; expected a share in [0, 1)")
        if self.rate and not 0 < self.mean < 1:
            raise InputError(f"ab: a rate of {self.mean}; expected a share between 0 and 1")

    @classmethod
    def of_rate(cls, share: float, explained: float = 0.0) -> "Metric":
        return cls(share, float(np.sqrt(max(share * (1.0 - share), 0.0))), rate=True, explained=explained)

    def variance(self, effect: float = 0.0) -> float:
        """Return the variance of one customer's value, where an offer moves the mean by `effect`."""
        if self.rate:
            share = self.mean + effect
            return share * (1.0 - share) * (1.0 - self.explained)
        return self.deviation**2 * (1.0 - self.explained)


def power(metric: Metric, effect: float, treated: float, control: float, risk: float = RISK) -> float:
    """Return the chance to see an effect, in [0, 1].

    Args:
        metric: What is measured.
        effect: Of the offers on its mean, in its unit.
        treated, control: Customers of the two arms, > 0.
        risk: Chance of a false alarm.
    """
    if metric.rate and not 0 < metric.mean + effect < 1:
        raise InputError(f"ab: an effect of {effect} on a rate of {metric.mean}; the rate must stay between 0 and 1")
    pooled = metric.variance(effect * treated / (treated + control)) if metric.rate else metric.variance()
    under_none = np.sqrt(pooled * (1.0 / treated + 1.0 / control))
    under_effect = np.sqrt(metric.variance(effect) / treated + metric.variance() / control)
    edge = float(stats.norm.isf(risk / 2)) * under_none
    if under_effect <= 0:
        return float(abs(effect) > edge)
    above, below = (stats.norm.sf((edge - side) / under_effect) for side in (effect, -effect))
    return float(above + below)


def customers_needed(
    metric: Metric, effect: float, share: float, wanted: float = POWER, risk: float = RISK
) -> tuple[int, int]:
    """Return the fewest customers of the treated and of the control arm that see an effect often enough.

    Args:
        metric: What is measured.
        effect: In its unit, not 0.
        share: Of the two arms' customers who are treated, in (0, 1).
        wanted: Chance to see it.
        risk: Chance of a false alarm.

    Raises:
        InputError: The effect is 0, or no number of customers below 10^12 is enough.
    """
    if effect == 0 or not 0 < share < 1 or not risk < wanted < 1:
        raise InputError(
            f"ab: effect {effect}, share {share}, power {wanted}; expected an effect that is not 0, a share between 0 "
            f"and 1 and a power between {risk} and 1"
        )

    def missing(log_n: float) -> float:
        n = np.exp(log_n)
        return power(metric, effect, share * n, (1.0 - share) * n, risk) - wanted

    low, high = np.log(2.0 / min(share, 1.0 - share)), np.log(1e12)
    if missing(high) < 0:
        raise InputError(f"ab: an effect of {effect} cannot be seen with 10^12 customers; look for a larger one")
    n = float(np.exp(low if missing(low) >= 0 else optimize.brentq(missing, low, high, xtol=1e-12)))
    return int(np.ceil(share * n - 1e-6)), int(np.ceil((1.0 - share) * n - 1e-6))


def detectable(metric: Metric, treated: float, control: float, wanted: float = POWER, risk: float = RISK) -> float:
    """Return the smallest effect above 0 that is seen often enough with so many customers; NaN where none is."""
    room = (1.0 - metric.mean) * (1 - 1e-9) if metric.rate else 1e6 * max(metric.deviation, 1e-12)

    def missing(effect: float) -> float:
        return power(metric, effect, treated, control, risk) - wanted

    if missing(room) < 0:
        return float("nan")
    return float(optimize.brentq(missing, 0.0, room, xtol=1e-15, rtol=1e-12))


@dataclass(frozen=True)
class Duration:
    """What an experiment of so many weeks sees.

    Attributes:
        weeks: How long it runs.
        effect: Smallest effect per customer and week that is seen with the wanted power; NaN where none is.
        power: Chance to see the effect that was asked for.
    """

    weeks: int
    effect: float
    power: float


def after_weeks(weekly: Metric, alike: float, weeks: int) -> Metric:
    """Return the mean over some weeks of a customer, from the value of one week.

    Its variance is that of a week times (1 + (k - 1) alike) / k: weeks of the same customer say less than weeks of
    others do.

    Args:
        weekly: Value of one customer in one week.
        alike: Correlation of two weeks of a customer, in [0, 1].
        weeks: k, >= 1.
    """
    if not 0 <= alike <= 1:
        raise InputError(f"ab: weeks of a customer correlate by {alike}; expected a number in [0, 1]")
    shrunk = float(np.sqrt((1.0 + (weeks - 1) * alike) / weeks))
    return replace(weekly, rate=weekly.rate and weeks == 1, deviation=weekly.deviation * shrunk)


def durations(
    metrics: Sequence[Metric], effect: float, customers: tuple[float, float], wanted: float = POWER
) -> list[Duration]:
    """Return what experiments of 1, 2, ... weeks see, with the same customers in all of them.

    Args:
        metrics: Mean of a customer over as many weeks, one per duration.
        effect: Per customer and week.
        customers: Of the treated and the control arm.
        wanted: Chance to see the effect.
    """
    return [
        Duration(weeks, detectable(metric, *customers, wanted), power(metric, effect, *customers))
        for weeks, metric in enumerate(metrics, start=1)
    ]
