"""What day it is, for people who wait for an answer."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta


class Clock:
    """Tells the date in UTC and the time; the date may be fixed, to try a table of another year."""

    def __init__(self, fixed: date | None = None, now: Callable[[], float] = time.time) -> None:
        """Start the clock.

        Args:
            fixed: The date that it always tells; None for today's.
            now: Seconds since 1970.
        """
        self.fixed = fixed
        self._now = now
        self._text = "" if fixed is None else fixed.isoformat()
        self._from = self._until = float("inf") if fixed is None else 0.0

    def now(self) -> float:
        """Return the seconds since 1970."""
        return self._now()

    def today(self) -> str:
        """Return the date, as in 2018-01-01; the text is made once a day."""
        if self.fixed is not None:
            return self._text
        now = self._now()
        if not self._from <= now < self._until:  # a clock that was set back is noticed too
            day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            self._from, self._until = day.timestamp(), (day + timedelta(days=1)).timestamp()
            self._text = day.date().isoformat()
        return self._text
