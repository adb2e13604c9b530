"""The thresholds of a faithful market in one place, and what came of each: passed, failed or not measured."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


@dataclass(frozen=True)
class FidelityThresholds:
    """What a market must reach before a policy from it may be published; set before any market was measured.

    Attributes:
        weeks: Held-out weeks that a verdict takes: fewer cannot tell drift from luck.
        customers: Held-out customers that a verdict takes: with fewer a classifier has nothing to learn from.
        weeks_inside: Least share of weeks whose truth lies in the 90 % band; nine of ten are due, one is left to luck.
        crps_ratio: Most of the market's CRPS over that of each reference; a market that predicts worse than a flat
            line or than each household's own mean knows less than a spreadsheet. The recent weeks with their spread
            are a calibrated forecast themselves, which no other can beat by much: in ten weeks luck decides between
            two such, so that there the market fails only where it is surely worse.
        two_sample_auc: Most a classifier may tell real from simulated trajectories by; at .65 it still ranks one pair
            in three wrongly.
        distance_ks: Most of the largest gap between two distribution functions; a tenth of the cases misplaced.
        distance_wasserstein: Most of the mean displacement of a case, as a share of the recorded mean.
        autocorrelation: Most of the mean difference over lags 1 to 6; four standard errors with 700 customers.
        migration: Most of the difference in the share of customers who stay in their segment.
        calibration_error: Most of the mean distance of predicted from observed chances in bins of equal mass.
        offer_gap: Most of the distance of predicted from observed redemption in any type of campaign.
    """

    weeks: int = 10
    customers: int = 100
    weeks_inside: float = 0.8
    crps_ratio: float = 1.0
    two_sample_auc: float = 0.65
    distance_ks: float = 0.10
    distance_wasserstein: float = 0.10
    autocorrelation: float = 0.05
    migration: float = 0.05
    calibration_error: float = 0.015
    offer_gap: float = 0.05


THRESHOLDS = FidelityThresholds()


class Status(Enum):
    PASS = "pass"
    FAIL = "fail"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Metric:
    """One measured property of a market against its threshold.

    Attributes:
        name: Short, unique.
        label: In words.
        value: None where it was not measured.
        threshold: What it is held against.
        at_least: The value must reach the threshold; otherwise it must not pass it.
        required: Without it no market passes.
        why_not: Why it was not measured.
        floor: The same between two halves of the real customers, where that makes sense.
        lo, hi: 95 % interval, where one was computed.
        surely: It fails only where its whole interval is on the wrong side of the threshold.
    """

    name: str
    label: str
    value: float | None
    threshold: float
    at_least: bool = False
    required: bool = False
    why_not: str = ""
    floor: float | None = None
    lo: float | None = None
    hi: float | None = None
    surely: bool = False

    @property
    def status(self) -> Status:
        if self.value is None:
            return Status.NOT_MEASURED
        end = self.hi if self.at_least else self.lo
        value = end if self.surely and end is not None else self.value
        good = value >= self.threshold if self.at_least else value <= self.threshold
        return Status.PASS if good else Status.FAIL

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "status": self.status.value}


def judge_metrics(metrics: Sequence[Metric]) -> dict[str, Any]:
    """Return the verdict over all metrics, as plain data.

    PASS takes that no metric failed and that every required one was measured; a market of which nothing that matters
    could be measured is not faithful, it is unknown.
    """
    failed = [metric.name for metric in metrics if metric.status is Status.FAIL]
    missing = [metric.name for metric in metrics if metric.status is Status.NOT_MEASURED]
    unknown = [metric.name for metric in metrics if metric.status is Status.NOT_MEASURED and metric.required]
    verdict = "FAIL" if failed else "NOT MEASURED" if unknown else "PASS"
    return {
        "verdict": verdict,
        "failed": failed,
        "not_measured": missing,
        "missing_required": unknown,
        "metrics": [metric.to_dict() for metric in metrics],
        "thresholds": asdict(THRESHOLDS),
    }
