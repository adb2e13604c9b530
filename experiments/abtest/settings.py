"""What the verb `ab` is told."""

from dataclasses import dataclass, field
from enum import Enum

from campaigns.errors import InputError


class Task(Enum):
    """What the verb does."""

    PLAN = "plan"  # how many customers and weeks an experiment needs
    ANALYSE = "analyse"  # what came of one


class Absent(Enum):
    """What it means that a customer of the table has no row in a period."""

    ZERO = "zero"  # nothing was bought or earned: every metric is 0
    MISSING = "missing"  # nothing is known: the customer is left out, and the split is tested without


@dataclass
class AbConfig:
    """An experiment between the arms of a policy table."""

    act: Task = Task.PLAN
    effect: float = 0.05  # smallest effect worth seeing, as a share of the metric's mean
    power: float = 0.8  # chance to see it
    weeks: int = 12  # that an experiment may take at most
    column: str = "spend"  # of the shop's own history that is planned with: spend, or visits (a share of the weeks)
    mean: float | None = None  # of a customer's week, instead of the history's
    deviation: float | None = None  # standard deviation of one, likewise
    alike: float = 0.0  # correlation of two weeks of a customer, where mean and deviation are given
    explained: float = 0.0  # share of the variance that a covariate foretells, likewise

    policy: str = ""  # folder of the table; the run's own if empty
    outcomes: str = ""  # Parquet or CSV file: customer_id, metrics, and period where there are several
    metrics: list[str] = field(default_factory=lambda: ["margin"])
    """Columns, the first is what is decided by; `conversions/sessions` is a ratio of two."""
    covariate: str = ""  # column known of a customer before the experiment, the same in all of the customer's rows
    absent: Absent = Absent.ZERO
    tuned_for: int = 0  # customers of two arms at which always-valid limits are tightest; those of the table if 0
    least: int = 100  # customers that an arm must have

    def __post_init__(self) -> None:
        if not self.effect or not 0.05 < self.power < 1 or self.weeks < 1 or self.tuned_for < 0 or self.least < 2:
            raise InputError(
                f"ab: effect {self.effect}, power {self.power}, weeks {self.weeks}, tuned_for {self.tuned_for}, least "
                f"{self.least}; expected an effect that is not 0, a power between 0.05 and 1, and at least 1, 0 and 2"
            )
        if self.column not in ("spend", "visits"):
            raise InputError(f"ab.column is {self.column!r}; expected spend or visits")
        if (self.mean is None) != (self.deviation is None):
            raise InputError("ab: give both ab.mean and ab.deviation, or neither, to take those of the shop's history")
        if not self.metrics or len(set(self.metrics)) != len(self.metrics):
            raise InputError(f"ab.metrics is {self.metrics}; expected one column or more, none of them twice")
        for metric in self.metrics:
            if not all(parts(metric)) or metric.count("/") > 1:
                raise InputError(f"ab.metrics: {metric!r}; expected a column, or two with one / between them")


def parts(metric: str) -> list[str]:
    """Return the columns that a metric is made of: one, or the two of a ratio."""
    return [part.strip() for part in metric.split("/")]
