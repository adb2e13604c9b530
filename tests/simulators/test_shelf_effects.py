"""Shelf effects of known size: found at category and basket level, and refused where next week moves this one."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from history.exposures import Exposures
from history.panel import Panel
from simulators.effects.shelf import NO_SHELF, ShelfEffects, estimate_shelf
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


def estimate(shop: tuple[Panel, Exposures]) -> ShelfEffects:
    return estimate_shelf(*shop, np.arange(CUSTOMERS), USED)


@pytest.fixture(scope="module")
def found() -> ShelfEffects:
    return estimate(shelf_shop(0))


def test_category_effect_dip_and_elasticity_are_found(found: ShelfEffects) -> None:
    bought = found.data["category"]["bought"]
    assert bought["shown"]["lo"] <= EFFECT <= bought["shown"]["hi"]
    assert bought["shown"]["lo"] > 0
    assert found.dip is not None and found.dip.lo <= DIP <= found.dip.hi
    assert found.spend is not None and found.spend.lo <= ELASTICITY <= found.spend.hi
    assert found.reference is not None and found.reference.lo <= 0 <= found.reference.hi


def test_next_weeks_display_that_moves_this_week_is_noticed() -> None:
    refused = estimate(shelf_shop(0, ahead=1.0))
    assert "not identified" in refused.verdict
    assert refused.spend is refused.dip is refused.reference is None


def test_a_price_that_is_missing_is_left_out_and_not_taken_for_zero(found: ShelfEffects) -> None:
    panel, exposures = shelf_shop(0)
    gone = np.random.default_rng(1).random(len(exposures.shelf)) < 0.3
    table = exposures.shelf.assign(depth=exposures.shelf["depth"].mask(gone))
    thinned = estimate((panel, dataclasses.replace(exposures, shelf=table)))
    assert thinned.spend is not None and found.spend is not None
    assert thinned.spend.n < found.spend.n
    assert thinned.spend.lo <= ELASTICITY <= thinned.spend.hi


@pytest.mark.parametrize("column", ["shown", "depth"])
def test_a_shelf_that_never_changes_gives_no_number(column: str) -> None:
    panel, exposures = shelf_shop(0)
    table = exposures.shelf.assign(**{column: 0.2})
    flat = estimate((panel, dataclasses.replace(exposures, shelf=table)))
    assert "nan" not in str(flat.data).lower()
    assert flat.spend is None


def test_a_history_without_a_shelf_says_so() -> None:
    panel, exposures = shelf_shop(0)
    empty = dataclasses.replace(exposures, shelf=exposures.shelf.iloc[:0])
    assert estimate((panel, empty)).verdict == NO_SHELF
    assert estimate_shelf(panel, None, np.arange(CUSTOMERS), USED).verdict == NO_SHELF
    assert estimate_shelf(panel, exposures, np.arange(0), USED).verdict == NO_SHELF
