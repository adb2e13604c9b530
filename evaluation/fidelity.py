"""Does the market behave like the customers? Let it run free beside weeks and customers it never saw."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from history.state import State
from simulators.market import Market, look, open_market, step
from simulators.shopping import draw_noise


@dataclass(frozen=True, eq=False)
class Recorded:
    """What really happened, shape (weeks,) each."""

    weeks: NDArray[np.int64]
    active: NDArray[np.float64]  # customers with a visit
    spend: NDArray[np.float64]  # [currency]


def compare_with_history(market: Market, start: State, recorded: Recorded, runs: int, seed: int) -> dict[str, Any]:
    """Run the market without offers from held-out customers' states, and set it beside what they really did.

    Nothing of the recorded weeks is fed back: errors add up as they would in planning.

    Returns:
        Per week the truth, the mean and the 90 % band of the runs, for active customers and spend; and in how many
        weeks the truth lies inside.
    """
    active, spend = simulate_without_offers(market, start, len(recorded.weeks), runs, seed)
    compared = {"active": _band(recorded.active, active), "spend": _band(recorded.spend, spend)}
    inside = {name: sum(_inside(band)) for name, band in compared.items()}
    return {"weeks": recorded.weeks.tolist(), "runs": runs, **compared, "weeks_inside": inside}


def simulate_without_offers(
    market: Market, start: State, weeks: int, runs: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return active customers and spend per run and week, each shape (runs, weeks)."""
    m, n = start.n, start.n * runs
    device = start.weeks_seen.device
    generator = torch.Generator(device)
    generator.manual_seed(seed)
    rows = start.take(torch.arange(m, device=device).repeat(runs))
    draw = torch.arange(runs, device=device).repeat_interleave(m) % market.effects.n_draws
    state = open_market(market, rows, draw, cohorts=runs)
    none = torch.zeros(n, dtype=torch.int64, device=device)
    active, spend = [], []
    for _ in range(weeks):
        state, outcome = step(
            market, state, look(market, state), none, draw_noise(n, start.n_categories, generator, device)
        )
        active.append(outcome.visited.view(runs, m).sum(dim=1))
        spend.append(outcome.spend.double().view(runs, m).sum(dim=1))
    return torch.stack(active, dim=1).double().cpu().numpy(), torch.stack(spend, dim=1).cpu().numpy()


def _band(truth: NDArray[np.float64], runs: NDArray[np.float64]) -> dict[str, list[float]]:
    lo, hi = np.quantile(runs, [0.05, 0.95], axis=0)
    return {"truth": truth.tolist(), "mean": runs.mean(axis=0).tolist(), "lo": lo.tolist(), "hi": hi.tolist()}


def _inside(band: dict[str, list[float]]) -> list[bool]:
    return [lo <= truth <= hi for truth, lo, hi in zip(band["truth"], band["lo"], band["hi"], strict=True)]
