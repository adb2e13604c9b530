"""A shop whose shelf is known: what displays and price cuts do, and what is bought ahead."""

import dataclasses

import numpy as np
import pandas as pd

from history.exposures import Exposures
from history.panel import Panel
from tests.history.fabricated_weeks import fabricate_weeks

CUSTOMERS, WEEKS, EFFECT, DIP, ELASTICITY = 1500, 40, 0.10, 0.4, 0.8
USED = range(12, WEEKS)


def shelf_shop(seed: int, ahead: float = 0.0) -> tuple[Panel, Exposures]:
    """Return customers who buy the first category more often while it is shown, less a week later; cuts raise spend.

    Args:
        seed: Of everything.
        ahead: What next week's display does to this week: nothing in a sound world.
    """
    rng = np.random.default_rng(seed)
    store = rng.integers(0, 8, CUSTOMERS)
    shown = (rng.random((8, WEEKS + 1)) < 0.4)[store].astype(float)
    depth = np.clip(rng.normal(0.2, 0.1, (8, WEEKS)), 0, 0.6)[store]
    before = np.concatenate([np.zeros((CUSTOMERS, 1)), shown[:, : WEEKS - 1]], axis=1)
    chance = 0.4 + EFFECT * (shown[:, :WEEKS] - DIP * before + ahead * shown[:, 1:])
    bought = rng.random((CUSTOMERS, WEEKS)) < chance
    visited = rng.random((CUSTOMERS, WEEKS)) < 0.8
    gross = np.exp(3.0 + rng.normal(0, 0.3, (CUSTOMERS, 1)) + ELASTICITY * depth + rng.normal(0, 0.3, depth.shape))
    plain = fabricate_weeks(CUSTOMERS, WEEKS)
    category = np.zeros_like(plain.category_spend)
    category[:, :, 0] = 5.0 * bought
    events = dataclasses.replace(
        plain, category_spend=category, baskets=visited.astype(np.float32), spend=(visited * gross).astype(np.float32)
    )
    who, slot = (index.ravel() for index in np.meshgrid(np.arange(CUSTOMERS), np.arange(12, WEEKS), indexing="ij"))
    shelf = pd.DataFrame(
        {"customer": who, "slot": slot, "position": 0, "lines": 3, "shown": shown[who, slot], "depth": depth[who, slot]}
    )
    departments = pd.DataFrame({"customer": who, "slot": slot, "department": "d", "spend": 0.0, "cut": 0.0})
    covered = pd.DataFrame({"campaign_id": [], "department": [], "products": []})
    return Panel(events, None), Exposures(shelf, departments, covered)  # type: ignore[arg-type]
