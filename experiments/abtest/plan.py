"""How long an experiment between the arms takes, from the shop's own history or from numbers that are given."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from campaigns.errors import InputError
from evaluation.ab.planning import Metric, after_weeks, customers_needed, durations
from evaluation.anytime import anytime_factor
from experiments.abtest.settings import AbConfig
from serving.arms import Arm

BEFORE: Final = 8
"""Weeks before an experiment whose mean is the covariate that CUPED is planned with."""
Z95: Final = 1.959963984540054


@dataclass(frozen=True, eq=False)
class Baseline:
    """What is measured, without offers of ours, by the length of an experiment.

    Attributes:
        plain: Mean of a customer over 1, 2, ... weeks.
        adjusted: The same with a covariate from before.
        origin: Where it is from, in words.
        unit: Of the mean.
    """

    plain: Sequence[Metric]
    adjusted: Sequence[Metric]
    origin: str
    unit: str


def given(config: AbConfig) -> Baseline:
    """Return the baseline that the settings state."""
    assert config.mean is not None and config.deviation is not None
    weekly = Metric(config.mean, config.deviation)
    better = Metric(config.mean, config.deviation, explained=config.explained)
    plain, adjusted = (
        [after_weeks(metric, config.alike, weeks) for weeks in range(1, config.weeks + 1)]
        for metric in (weekly, better)
    )
    return Baseline(plain, adjusted, "given", "")


def from_history(values: NDArray[np.float32], config: AbConfig, unit: str) -> Baseline:
    """Return the baseline of the last weeks of a history: each length with its own spread and its own covariate.

    Args:
        values: Of n customers in T full weeks, shape (n, T).
        config: How many weeks an experiment may take.
        unit: Of the values.

    Raises:
        InputError: The history is too short.
    """
    weeks = values.shape[1]
    if weeks < config.weeks + BEFORE or len(values) < 2:
        raise InputError(
            f"ab.weeks is {config.weeks}: the history has {weeks} full weeks of {len(values):,} customers; expected at "
            f"least {config.weeks + BEFORE}, {BEFORE} of them for the covariate; ask for fewer, or give ab.mean and "
            "ab.deviation"
        )
    plain, adjusted = [], []
    for length in range(1, config.weeks + 1):
        during = values[:, weeks - length :].mean(axis=1, dtype=np.float64)
        before = values[:, weeks - length - BEFORE : weeks - length].mean(axis=1, dtype=np.float64)
        alike = float(np.corrcoef(before, during)[0, 1]) if before.std() > 0 and during.std() > 0 else 0.0
        metric = Metric(float(during.mean()), float(during.std(ddof=1)))
        plain.append(metric)
        adjusted.append(Metric(metric.mean, metric.deviation, explained=min(alike**2, 1.0 - 1e-9)))
    return Baseline(plain, adjusted, f"the last {config.weeks} full weeks of {len(values):,} customers", unit)


def plan(baseline: Baseline, customers: dict[str, int], config: AbConfig) -> dict[str, Any]:
    """Return what plan.json says: what the optimised arm against each other one can see, week by week.

    Args:
        baseline: What is measured.
        customers: Of each arm, by its name.
        config: Effect, power and weeks.
    """
    effect = config.effect * baseline.plain[-1].mean
    if effect == 0:
        raise InputError("ab: the mean of the metric is 0, so no share of it can be seen; give ab.mean")
    ours = customers[Arm.OPTIMISED.value]
    comparisons = [
        _comparison(baseline, effect, (ours, customers[arm.value]), config) | {"against": arm.value}
        for arm in (Arm.HOLDOUT, Arm.USUAL, Arm.RANDOM)
        if ours > 1 and customers[arm.value] > 1
    ]
    if not comparisons:
        raise InputError(f"ab: no two arms have customers to compare ({customers}); widen export.arms")
    return {
        "origin": baseline.origin,
        "unit": baseline.unit,
        "mean": baseline.plain[-1].mean,
        "deviation": baseline.plain[-1].deviation,
        "explained": baseline.adjusted[-1].explained,
        "effect": effect,
        "effect_share": config.effect,
        "power": config.power,
        "weeks": config.weeks,
        "customers": customers,
        "comparisons": comparisons,
        "verdict": _verdict(comparisons[0], config, effect, baseline.unit),
    }


def _comparison(baseline: Baseline, effect: float, pair: tuple[int, int], config: AbConfig) -> dict[str, Any]:
    ours, theirs = pair
    total = ours + theirs
    rows = {
        name: [asdict(row) for row in durations(metrics, effect, pair, config.power)]
        for name, metrics in (("plain", baseline.plain), ("adjusted", baseline.adjusted))
    }
    enough = next((row["weeks"] for row in rows["adjusted"] if row["power"] >= config.power), None)
    needed, even = (
        customers_needed(baseline.adjusted[-1], effect, share, config.power) for share in (ours / total, 0.5)
    )
    return {
        "customers": list(pair),
        "durations": rows,
        "enough_weeks": enough,
        "needed": list(needed),
        "needed_even": even[0],
        "any_look": (anytime_factor(total, total) / Z95) ** 2,
    }


def _verdict(one: dict[str, Any], config: AbConfig, effect: float, unit: str) -> str:
    seen = f"a difference of {effect:.3g}{' ' + unit if unit else ''} per customer and week ({config.effect:.0%})"
    if one["enough_weeks"] is not None:
        enough = "1 week shows" if one["enough_weeks"] == 1 else f"{one['enough_weeks']} weeks show"
        return f"{enough} {seen} from no offers with a chance of {config.power:.0%}"
    least = one["durations"]["adjusted"][-1]["effect"]
    treated, control = one["needed"]
    return (
        f"{config.weeks} weeks do not show {seen} from no offers: they show {least:.3g} or more; "
        f"{treated:,} customers with offers and {control:,} without would do, or {one['needed_even']:,} of each"
    )


def text(told: dict[str, Any]) -> str:
    """Return a plan as lines for a console."""
    unit = f" {told['unit']}" if told["unit"] else ""
    lines = [
        f"ab: {told['mean']:.4g}{unit} per customer and week over {told['weeks']} weeks, deviation "
        f"{told['deviation']:.4g} ({told['origin']}); weeks before explain {told['explained']:.0%} of the variance"
    ]
    for one in told["comparisons"]:
        ours, theirs = one["customers"]
        lines.append(
            f"optimised ({ours:,}) against {one['against']} ({theirs:,}): smallest effect seen with a chance of "
            f"{told['power']:.0%}, and the chance to see {told['effect']:.3g}"
        )
        lines.append(f"{'weeks':>7} {'plain':>10} {'with CUPED':>11} {'chance':>8}")
        for plain, adjusted in zip(one["durations"]["plain"], one["durations"]["adjusted"], strict=True):
            lines.append(
                f"{plain['weeks']:>7} {plain['effect']:>10.4g} {adjusted['effect']:>11.4g} {adjusted['power']:>8.0%}"
            )
        lines.append(f"looking as often as one likes takes {one['any_look']:.1f} times the customers of one look")
    return "\n".join([*lines, f"ab: {told['verdict']}"])
