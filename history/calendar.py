"""Weeks of a history: which week a date falls in."""

from dataclasses import dataclass
from datetime import date, timedelta

DAYS: int = 7


@dataclass(frozen=True)
class Calendar:
    """Numbers the weeks that a history covers.

    Attributes:
        origin: Monday (or the shop's own first weekday) on which week 1 begins.
        first: Number of the first week with transactions.
        last: Number of the last week with transactions.
    """

    origin: date
    first: int
    last: int

    @property
    def n_weeks(self) -> int:
        return self.last - self.first + 1

    def week_of(self, column: str) -> str:
        """Return the SQL expression for the week that the date in `column` falls in."""
        days = f"date_diff('day', DATE '{self.origin}', CAST({column} AS DATE))"
        return f"(CAST(floor({days} / {DAYS}.0) AS BIGINT) + 1)"

    def monday(self, week: int) -> date:
        """Return the day on which `week` begins."""
        return self.origin + timedelta(days=DAYS * (week - 1))
