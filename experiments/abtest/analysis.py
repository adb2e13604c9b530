"""What an experiment says: every arm beside no offers and beside business as usual, and a verdict in words."""

from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from campaigns.errors import InputError
from evaluation.ab.checks import by_segment, check_split, holm, novelty, p_value
from evaluation.ab.means import Mean, always_valid, cuped, difference, ratio_values, relative
from evaluation.anytime import anytime_factor
from evaluation.estimate import Estimate
from experiments.abtest.outcomes import Assigned, Outcomes
from experiments.abtest.settings import AbConfig, parts
from serving.arms import Arm

Floats = NDArray[np.float64]
ARMS: Final = tuple(Arm)
PAIRS: Final = (
    (Arm.OPTIMISED, Arm.HOLDOUT),
    (Arm.OPTIMISED, Arm.USUAL),
    (Arm.RANDOM, Arm.HOLDOUT),
    (Arm.USUAL, Arm.HOLDOUT),
    (Arm.RANDOM, Arm.USUAL),
)
"""What is compared; the first two are what an experiment is run for."""
ASKED: Final = 2
WORDS: Final = {
    Arm.OPTIMISED: "the optimised arm",
    Arm.RANDOM: "the random control",
    Arm.USUAL: "business as usual",
    Arm.HOLDOUT: "no offers",
}


def analyse(found: Outcomes, assigned: Assigned, config: AbConfig, unit: str) -> dict[str, Any]:
    """Return what ab.json says; where the split is not as planned, nothing of effects.

    Args:
        found: What came of the customers.
        assigned: Who is in which arm.
        config: What was asked for.
        unit: Of the metrics that are no ratios, for words.
    """
    counts = np.bincount(found.arm, minlength=len(ARMS))
    split = check_split(counts, assigned.parts)
    least = min((int(n) for n, part in zip(counts, assigned.parts, strict=True) if part > 0), default=0)
    told: dict[str, Any] = {
        "customers": {arm.value: int(n) for arm, n in zip(ARMS, counts, strict=True)},
        "without_rows": {arm.value: int(n) for arm, n in zip(ARMS, found.absent, strict=True)},
        "absent": config.absent.value,
        "periods": list(found.periods),
        "split": {"p_value": split.p_value, "mismatch": split.mismatch},
        "unit": unit,
        "least": config.least,
        "metrics": [],
    }
    if split.mismatch:
        chance = "impossible" if split.p_value == 0 else f"as likely as {split.p_value:.1g}"
        told["verdict"] = (
            f"stop: the arms are not split as planned; such a split is {chance}. Find out who is missing before "
            "anything is said of effects"
        )
        return told
    pairs = [pair for pair in PAIRS if all(counts[ARMS.index(arm)] >= config.least for arm in pair)]
    if not pairs:
        told["verdict"] = (
            f"not estimable: no two arms to compare have {config.least:,} customers each (the smallest has {least:,})"
        )
        return told
    told["metrics"] = [_metric(name, found, pairs, config, first=name == config.metrics[0]) for name in config.metrics]
    told["verdict"] = _verdict(told["metrics"][0], pairs, len(found.periods), unit)
    return told


def _metric(
    name: str, found: Outcomes, pairs: list[tuple[Arm, Arm]], config: AbConfig, *, first: bool
) -> dict[str, Any]:
    """Compare the arms by one metric; the first one also over time and within segments."""
    values = _values(name, found)
    explained = 0.0
    if found.covariate is not None:
        values, explained = cuped(values, found.covariate, found.arm)
    means = {
        arm: Mean.of(values[found.arm == place]) for place, arm in enumerate(ARMS) if (found.arm == place).sum() > 1
    }
    told: dict[str, Any] = {
        "metric": name,
        "explained": explained,
        "means": {arm.value: _mean(mean) for arm, mean in means.items()},
        "comparisons": [],
    }
    differences = [difference(means[ours], means[theirs]) for ours, theirs in pairs]
    together = holm([p_value(one) for one in differences])
    for (ours, theirs), one, chance in zip(pairs, differences, together, strict=True):
        tuned = config.tuned_for or one.n
        over = relative(means[ours], means[theirs])
        told["comparisons"].append(
            {
                "arm": ours.value,
                "against": theirs.value,
                "difference": one.to_dict(),
                "always_valid": _limits(always_valid(one, tuned, 0.05 / ASKED)),
                "relative": None if over is None else over.to_dict(),
                "relative_always_valid": None if over is None else _limits(always_valid(over, tuned, 0.05 / ASKED)),
                "p_value": p_value(one),
                "p_value_of_all": chance,
                "tuned_for": tuned,
            }
        )
    if first:
        told |= _over_time(name, found, pairs[0]) | _in_segments(values, found, pairs[0], config.least)
        told["more_weeks"] = _more_weeks(name, found, pairs[0], differences[0], told["comparisons"][0]["tuned_for"])
    return told


def _values(name: str, found: Outcomes) -> Floats:
    """Return one value per customer whose mean over an arm is the arm's metric, per period for what is no ratio."""
    columns = [found.columns[part] for part in parts(name)]
    if len(columns) == 1:
        mean: Floats = columns[0].mean(axis=1)
        return mean
    above, below = (column.sum(axis=1) for column in columns)
    values = np.zeros(len(above))
    for place in np.unique(found.arm):
        mine = found.arm == place
        if not below[mine].mean() > 0:
            raise InputError(
                f"ab.metrics: {name} is not estimable: the sum of {parts(name)[1]} in arm {ARMS[place].value} is not "
                "above 0"
            )
        values[mine] = ratio_values(above[mine], below[mine])
    return values


def _mean(mean: Mean) -> dict[str, float]:
    return {"value": mean.value, "error": mean.error, "n": mean.n}


def _limits(estimate: Estimate) -> dict[str, float]:
    return {"lo": estimate.lo, "hi": estimate.hi}


def _over_time(name: str, found: Outcomes, pair: tuple[Arm, Arm]) -> dict[str, Any]:
    """Return by how much the effect of the first comparison grows per period, None for a ratio."""
    columns = parts(name)
    if len(columns) > 1:
        return {"novelty": None}
    ours, theirs = (found.columns[columns[0]][found.arm == ARMS.index(arm)] for arm in pair)
    slope = novelty(ours, theirs)
    return {"novelty": None if slope is None else slope.to_dict()}


def _in_segments(values: Floats, found: Outcomes, pair: tuple[Arm, Arm], least: int) -> dict[str, Any]:
    """Return the effect of the first comparison in each segment that has enough customers."""
    names, place = np.unique(found.segment, return_inverse=True)
    sides = []
    for arm in pair:
        mine = found.arm == ARMS.index(arm)
        sides.append((values[mine], place[mine].astype(np.int64)))
    split = by_segment(sides[0], sides[1], len(names), least)
    rows = [
        {"segment": int(name), "difference": None if effect is None else effect.to_dict()}
        for name, effect in zip(names, split.effects, strict=True)
    ]
    return {"segments": rows, "segments_differ": split.p_value}


def _more_weeks(
    name: str, found: Outcomes, pair: tuple[Arm, Arm], now: Estimate, tuned: float
) -> dict[str, float | None] | None:
    """Return how many more periods an effect of the size now seen would need, None where that cannot be told.

    The squared error of k periods is that of one times (1 + (k - 1) r) / k, where r is how alike two periods of a
    customer are; it never falls below r of it, so that with the same customers no time may be enough.
    """
    columns, k = parts(name), len(found.periods)
    if len(columns) > 1 or k < 2 or now.error <= 0 or now.value == 0:
        return None
    values = found.columns[columns[0]]
    single, mean = 0.0, 0.0
    for arm in pair:
        mine = values[found.arm == ARMS.index(arm)]
        single += float(mine.var(axis=0, ddof=1).mean()) / len(mine)
        mean += float(mine.mean(axis=1).var(ddof=1)) / len(mine)
    alike = min(max((k * mean / single - 1.0) / (k - 1.0), 0.0), 1.0) if single > 0 else 0.0
    wanted = (abs(now.value) / anytime_factor(now.n, tuned, 0.05 / ASKED)) ** 2
    at_one = now.error**2 * k / (1.0 + (k - 1.0) * alike)  # CUPED's gain is kept
    room = wanted - alike * at_one
    needed = None if room <= 0 else float(np.ceil((1.0 - alike) * at_one / room))
    return {"alike": alike, "periods": None if needed is None else max(needed - k, 0.0)}


def _verdict(metric: dict[str, Any], pairs: list[tuple[Arm, Arm]], periods: int, unit: str) -> str:
    """Say in words what the first comparisons come to."""
    asked = [pair for pair in PAIRS[:ASKED] if pair in pairs] or pairs[:1]
    said = [_said(metric["comparisons"][pairs.index(pair)], pair, metric["metric"], periods, unit) for pair in asked]
    words = "; ".join(said)
    first = metric["comparisons"][pairs.index(asked[0])]
    limits = first["always_valid"]
    if limits["lo"] <= 0 <= limits["hi"]:
        words += "; " + _outlook(metric["more_weeks"])
    slope = metric["novelty"]
    if slope is not None and slope["hi"] < 0 < first["difference"]["value"]:
        words += f"; the effect wears off, by {-slope['value']:.3g} from one period to the next"
    return words


def _said(one: dict[str, Any], pair: tuple[Arm, Arm], metric: str, periods: int, unit: str) -> str:
    ours, theirs = WORDS[pair[0]], WORDS[pair[1]]
    per = "" if "/" in metric else f" {unit} per customer" + (" and period" if periods > 1 else "")
    value, limits = one["difference"]["value"], one["always_valid"]
    between = f"{limits['lo']:.3g} to {limits['hi']:.3g}, which holds however often one looks"
    if limits["lo"] > 0:
        return f"{ours} is better than {theirs}: {metric} {value:+.3g}{per} (95 % interval {between})"
    if limits["hi"] < 0:
        return f"{ours} is worse than {theirs}: {metric} {value:+.3g}{per} (95 % interval {between})"
    return (
        f"cannot tell yet whether {ours} is better than {theirs}: {metric} {value:+.3g}{per} (95 % interval {between})"
    )


def _outlook(more: dict[str, float | None] | None) -> str:
    if more is None:
        return "how much longer it takes cannot be told from one period"
    if more["periods"] is None:
        return (
            "an effect of this size will not show with these customers, however long it runs: more customers are needed"
        )
    return f"if the effect is as it looks now, about {more['periods']:,.0f} more periods would tell"


def text(told: dict[str, Any]) -> str:
    """Return an analysis as lines for a console."""
    counts = ", ".join(f"{n:,} {arm}" for arm, n in told["customers"].items())
    lines = [f"ab: {counts}; the split is {'NOT ' if told['split']['mismatch'] else ''}as planned "
             f"(p = {told['split']['p_value']:.3g})"]  # fmt: skip
    for metric in told["metrics"]:
        lines.append(
            f"{metric['metric']:<22} {'difference':>11} {'95 % interval':>24} {'at any look':>24} {'p, all':>8}"
        )
        for one in metric["comparisons"]:
            d, a = one["difference"], one["always_valid"]
            lines.append(
                f"{one['arm'] + ' - ' + one['against']:<34} {d['value']:>+.4g} [{d['lo']:+.4g}, {d['hi']:+.4g}] "
                f"[{a['lo']:+.4g}, {a['hi']:+.4g}] {one['p_value_of_all']:.3g}"
            )
    return "\n".join([*lines, f"ab: {told['verdict']}"])


def as_dict(config: AbConfig) -> dict[str, Any]:
    """Return the settings of an analysis as plain data."""
    return {name: getattr(value, "value", value) for name, value in asdict(config).items()}
