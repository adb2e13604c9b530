"""The fidelity verdict: every comparison of a free-running market with the record, each against its threshold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.fidelity.distributions import (
    LAGS,
    SHAPES,
    Assign,
    by_rhythm,
    compare_autocorrelation,
    compare_migration,
    compare_shape,
)
from evaluation.fidelity.trajectories import Trajectories
from evaluation.fidelity.two_sample import judge_two_samples
from evaluation.fidelity.verdict import THRESHOLDS, Metric, judge_metrics
from evaluation.fidelity.weekly import RECENT_WEEKS, SERIES, Forecasts, compare_weeks, household_totals

Floats = NDArray[np.float64]
TITLES: Mapping[str, str] = {
    "active": "active customers per week",
    "baskets": "baskets per week",
    "spend": "spend per week",
    "redemptions": "redemptions per week",
    "gap": "weeks between visits",
    "basket_value": "value of a basket",
    "visits": "visits",
    "log_spend": "log spend",
}


@dataclass(frozen=True, eq=False)
class Record:
    """What a market is held against: nothing of it was used to fit the market.

    Attributes:
        weeks: Numbers of the held-out weeks, shape (weeks,).
        past: The same customers before the held-out weeks, shape (customers, t).
        lived: What they did in the held-out weeks, shape (customers, weeks).
        assumed: Held-out weeks whose season the history had seen at most once, and why, by number.
    """

    weeks: NDArray[np.int64]
    past: Trajectories
    lived: Trajectories
    assumed: Mapping[int, str]


@dataclass(frozen=True, eq=False)
class Redemptions:
    """Redemptions per week: recorded (weeks,), by the market (runs, weeks), and recorded in the weeks before (k,)."""

    recorded: Floats
    market: Floats
    recent: Floats


def judge_fidelity(
    record: Record, simulated: Trajectories, response: Mapping[str, Any], *, seed: int,
    redemptions: Redemptions | None = None, assign: Assign = by_rhythm,
) -> dict[str, Any]:  # fmt: skip
    """Judge a market that ran free beside the record.

    Args:
        record: Held-out customers and weeks.
        simulated: The same customers and weeks in the market, shape (runs, customers, weeks).
        response: Fit of the response models: "visit" with its "calibration_error", "offers" with a row per campaign
            type; None where not estimable.
        seed: Of all resampling.
        redemptions: If the market tells them.
        assign: Segments whose migration is compared.

    Returns:
        Plain data: the verdict, its metrics and all that they were made of. What cannot be measured says why.
    """
    why_not = _why_not(record)
    detail: dict[str, Any] = {"weekly": {}, "shapes": {}, "autocorrelation": {}, "migration": None, "two_sample": None}
    if not why_not:
        detail["weekly"] = _weekly(record, simulated, redemptions, seed)
        detail["shapes"] = {name: compare_shape(of, record.lived, simulated, seed) for name, of in SHAPES.items()}
        detail["autocorrelation"] = compare_autocorrelation(record.lived, simulated, seed)
        detail["migration"] = compare_migration(record.lived, simulated, assign, seed)
        detail["two_sample"] = judge_two_samples(record.lived, simulated.run(0), seed)
    metrics = [
        *_weekly_metrics(detail["weekly"], len(record.weeks), why_not),
        *_shape_metrics(detail["shapes"], why_not),
        *_autocorrelation_metrics(detail["autocorrelation"], why_not),
        _migration_metric(detail["migration"], why_not),
        *_calibration_metrics(response, why_not),
        *_two_sample_metrics(detail["two_sample"], why_not),
    ]
    about = {
        "weeks": record.weeks.tolist(),
        "assumed_weeks": {str(week): why for week, why in record.assumed.items()},
        "customers": record.lived.customers,
        "runs": int(simulated.baskets.shape[0]),
    }
    return {**judge_metrics(metrics), **about, **detail, "offers": response["offers"]}


def _why_not(record: Record) -> str:
    """Return why free-running weeks say nothing here; "" where they do."""
    weeks, customers = len(record.weeks), record.lived.customers
    if weeks < THRESHOLDS.weeks:
        return f"{weeks} held-out weeks, a verdict takes {THRESHOLDS.weeks}: the history is too short"
    if customers < THRESHOLDS.customers:
        return f"{customers} held-out customers, a verdict takes {THRESHOLDS.customers}"
    if record.past.weeks < RECENT_WEEKS:
        return f"{record.past.weeks} weeks before the held-out ones, the references take {RECENT_WEEKS}"
    if not record.lived.spend.sum() > 0:
        return "nobody spent anything in the held-out weeks"
    return ""


def _weekly(record: Record, simulated: Trajectories, redemptions: Redemptions | None, seed: int) -> dict[str, Any]:
    truth, market, before = record.lived.totals(), simulated.totals(), record.past.totals()
    household = household_totals(record.past, record.lived.weeks, seed)
    compared = {
        name: compare_weeks(truth[name], Forecasts(market[name], before[name][-RECENT_WEEKS:], household[name]))
        for name in SERIES
    }
    if redemptions is not None:
        recent = np.repeat(redemptions.recent[:, None], record.lived.weeks, axis=1)
        said = Forecasts(redemptions.market, redemptions.recent, recent)
        compared["redemptions"] = compare_weeks(redemptions.recorded, said)
    return compared


def _weekly_metrics(weekly: Mapping[str, Any], weeks: int, why_not: str) -> list[Metric]:
    metrics = []
    for name in weekly or SERIES:
        found = weekly.get(name)
        share = found["weeks_inside"] / weeks if found else None
        metrics.append(
            Metric(f"{name}_inside", f"{TITLES[name]}: share of weeks inside the 90 % band", share,
                   THRESHOLDS.weeks_inside, at_least=True, required=True, why_not=why_not)
        )  # fmt: skip
        for reference, words in (
            ("flat", "a flat line at the recent mean"),
            ("flat_with_spread", "the recent weeks with their spread"),
            ("household", "each household's own mean"),
        ):
            against = found["references"][reference] if found else None
            ratio = against["ratio"] if against else None
            lo, hi = _ratio_interval(against) if against and ratio is not None else (None, None)
            reason = why_not or ("" if ratio is not None else "the reference makes no error at all")
            metrics.append(
                Metric(f"{name}_crps_{reference}", f"{TITLES[name]}: CRPS over that of {words}", ratio,
                       THRESHOLDS.crps_ratio, required=True, why_not=reason, lo=lo, hi=hi,
                       surely=reference == "flat_with_spread")
            )  # fmt: skip
    return metrics


def _ratio_interval(against: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return the 95 % interval over weeks of the market's CRPS over a reference's; none where that makes no error."""
    below = against["crps"]
    if below <= 0:
        return None, None
    return 1.0 - against["gain_hi"] / below, 1.0 - against["gain_lo"] / below


def _shape_metrics(shapes: Mapping[str, Any], why_not: str) -> list[Metric]:
    metrics = []
    for name in SHAPES:
        found = shapes.get(name)
        reason = why_not or ("" if found else "fewer than ten cases on one side")
        title = "baskets in a week with a visit" if name == "baskets" else TITLES[name]
        for distance, words, limit in (
            ("ks", "Kolmogorov-Smirnov distance", THRESHOLDS.distance_ks),
            ("wasserstein", "Wasserstein distance over the mean", THRESHOLDS.distance_wasserstein),
        ):
            value, floor = (found[distance], found[f"{distance}_floor"]) if found else (None, None)
            metrics.append(Metric(f"{name}_{distance}", f"{title}: {words}", value, limit, why_not=reason, floor=floor))
    return metrics


def _autocorrelation_metrics(compared: Mapping[str, Any], why_not: str) -> list[Metric]:
    return [
        Metric(
            f"autocorrelation_{name}",
            f"autocorrelation of {TITLES[name]}: mean difference over lags 1 to {LAGS}",
            compared[name]["difference"] if compared else None,
            THRESHOLDS.autocorrelation,
            why_not=why_not,
            floor=compared[name]["floor"] if compared else None,
        )
        for name in ("visits", "log_spend")
    ]


def _migration_metric(found: Mapping[str, float] | None, why_not: str) -> Metric:
    return Metric(
        "migration",
        "customers who stay in their segment: difference of the shares",
        found["difference"] if found else None,
        THRESHOLDS.migration,
        why_not=why_not,
        floor=found["floor"] if found else None,
    )


def _calibration_metrics(response: Mapping[str, Any], why_not: str) -> list[Metric]:
    visit, offers = response["visit"], _judgeable(response["offers"])
    worst = max((abs(row["predicted"] - row["observed"]) for row in offers), default=None)
    return [
        Metric(
            "visit_calibration",
            "chance of a visit: mean distance of predicted from observed in bins of equal mass",
            None if visit is None or why_not else visit["calibration_error"],
            THRESHOLDS.calibration_error,
            why_not=why_not or ("the held-out weeks do not hold both outcomes" if visit is None else ""),
        ),
        Metric(
            "redemption_by_offer",
            "chance of a redemption: largest distance of predicted from observed in a type of campaign",
            None if why_not else worst,
            THRESHOLDS.offer_gap,
            why_not=why_not or ("" if offers else "the held-out weeks hold no type of campaign with enough customers"),
        ),
    ]


def _judgeable(offers: Sequence[Mapping[str, Any]] | None) -> list[Mapping[str, Any]]:
    """Return the types of campaign with enough rows that their redemption rate says something."""
    return [row for row in offers or () if row["n"] >= THRESHOLDS.customers]


def _two_sample_metrics(found: Mapping[str, Any] | None, why_not: str) -> list[Metric]:
    metrics = []
    for kind, words in (("boosting", "gradient-boosted trees"), ("logistic", "logistic regression")):
        one = found["classifiers"][kind] if found else {}
        metrics.append(
            Metric(f"two_sample_{kind}", f"telling real from simulated customers by {words}: AUC", one.get("auc"),
                   THRESHOLDS.two_sample_auc, required=True, why_not=why_not, floor=one.get("floor"),
                   lo=one.get("lo"), hi=one.get("hi"))
        )  # fmt: skip
    return metrics
