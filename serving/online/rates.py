"""How often somebody may ask: a bucket that fills by the second and is emptied by requests."""

from collections.abc import Callable
from typing import Final

MOST: Final = 10_000
"""Callers that are kept in mind; beyond that the fullest buckets are forgotten."""


class Rates:
    """Buckets by caller, each of which holds as much as comes in one second."""

    def __init__(self, per_second: float, now: Callable[[], float]) -> None:
        """Begin with full buckets.

        Args:
            per_second: Requests.
            now: Seconds that never go back.
        """
        self._per_second = per_second
        self._now = now
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, caller: str, cost: float = 1.0) -> float:
        """Take `cost` out of a caller's bucket; return 0, or the seconds after which it would do."""
        now = self._now()
        left, at = self._buckets.get(caller, (self._per_second, now))
        left = min(self._per_second, left + (now - at) * self._per_second)
        if left < min(cost, self._per_second):
            self._buckets[caller] = (left, now)
            return (min(cost, self._per_second) - left) / self._per_second
        if len(self._buckets) >= MOST and caller not in self._buckets:
            self._buckets.clear()
        self._buckets[caller] = (left - cost, now)
        return 0.0
