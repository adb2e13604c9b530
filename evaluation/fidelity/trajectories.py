"""What customers did week by week: as recorded, and as a market left to itself tells it."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from history.events import WeeklyEvents
from history.state import State
from simulators.market import Market, look, open_market, step
from simulators.shopping import draw_noise

Floats = NDArray[np.float64]
ROWS = 65_536
"""Customers that are stepped at a time."""


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Weeks of customers' lives; every array of one shape, (..., customers, weeks)."""

    baskets: Floats
    spend: Floats  # [currency]
    promo_spend: Floats  # part of it bought on promotion [currency]

    @property
    def active(self) -> Floats:
        """1 in weeks with a visit."""
        return (self.baskets > 0).astype(np.float64)

    @property
    def customers(self) -> int:
        return int(self.baskets.shape[-2])

    @property
    def weeks(self) -> int:
        return int(self.baskets.shape[-1])

    def take(self, customers: NDArray[np.int64]) -> Self:
        """Return some customers' trajectories."""
        return type(self)(
            self.baskets[..., customers, :], self.spend[..., customers, :], self.promo_spend[..., customers, :]
        )

    def run(self, number: int) -> Self:
        """Return one run of simulated trajectories."""
        return type(self)(self.baskets[number], self.spend[number], self.promo_spend[number])

    def totals(self) -> dict[str, Floats]:
        """Return active customers, baskets and spend [currency] of all customers, each shape (..., weeks)."""
        return {
            "active": self.active.sum(axis=-2),
            "baskets": self.baskets.sum(axis=-2),
            "spend": self.spend.sum(axis=-2),
        }


def recorded_trajectories(events: WeeklyEvents, customers: NDArray[np.int64], weeks: range) -> Trajectories:
    """Cut customers and weeks (both positions) out of a history, shape (customers, weeks)."""
    index = np.ix_(customers, np.arange(weeks.start, weeks.stop))
    return Trajectories(
        *(array[index].astype(np.float64) for array in (events.baskets, events.spend, events.promo_spend))
    )


def simulate_trajectories(market: Market, start: State, weeks: int, runs: int, seed: int) -> Trajectories:
    """Let the market run free without offers: nothing recorded is fed back, so errors add up as they do in planning.

    Args:
        market: The world.
        start: Customers before the first week, m rows.
        weeks: How many.
        runs: How many copies of all customers; each is one cohort under its own draw of the effects.
        seed: Same seed, same trajectories.

    Returns:
        Arrays of shape (runs, m, weeks).
    """
    generator = torch.Generator(start.weeks_seen.device)
    generator.manual_seed(seed)
    size = max(ROWS // start.n, 1)
    parts = [
        _run_free(market, start, weeks, range(first, min(first + size, runs)), generator)
        for first in range(0, runs, size)
    ]
    return Trajectories(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _run_free(
    market: Market, start: State, weeks: int, runs: range, generator: torch.Generator
) -> tuple[Floats, Floats, Floats]:
    m, device = start.n, start.weeks_seen.device
    rows = start.take(torch.arange(m, device=device).repeat(len(runs)))
    draw = torch.arange(runs.start, runs.stop, device=device).repeat_interleave(m) % market.effects.n_draws
    state = open_market(market, rows, draw, cohorts=len(runs), alike=m)
    none = torch.zeros(state.n, dtype=torch.int64, device=device)
    told = []
    for _ in range(weeks):
        noise = draw_noise(state.n, start.n_categories, generator, device)
        state, outcome = step(market, state, look(market, state), none, noise)
        happened = outcome.happened
        told.append(torch.stack([happened.baskets, happened.spend, happened.promo_spend]))
    lived = torch.stack(told, dim=2).double().view(3, len(runs), m, weeks).cpu().numpy()
    return lived[0], lived[1], lived[2]
