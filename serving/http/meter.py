"""Counts requests by route and status, and how long they took."""

from bisect import bisect_left
from collections import Counter
from typing import Final

LIMITS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Upper limits of the buckets [s]."""


class Timing:
    """How long the requests of one route took."""

    def __init__(self) -> None:
        self.total = 0.0
        self._counts = [0] * (len(LIMITS) + 1)

    def add(self, seconds: float) -> None:
        self.total += seconds
        self._counts[bisect_left(LIMITS, seconds)] += 1

    def buckets(self) -> list[tuple[str, float]]:
        """Return upper limits and how many took no longer, as Prometheus wants them."""
        running, found = 0, []
        for limit, count in zip((*LIMITS, "+Inf"), self._counts, strict=True):
            running += count
            found.append((str(limit), float(running)))
        return found


class Meter:
    """Counts all requests of an application; a route is named by its template, so that ids make no new names."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.timings: dict[str, Timing] = {}

    def add(self, route: str, status: int, seconds: float) -> None:
        self.answers[route, status] += 1
        timing = self.timings.get(route)
        if timing is None:
            timing = self.timings[route] = Timing()
        timing.add(seconds)
