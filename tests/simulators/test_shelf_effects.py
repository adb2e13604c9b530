"""Shelf effects of known size: found at category and basket level, and refused where next week moves this one."""

import dataclasses

import numpy as np
import pytest

from history.exposures import Exposures
from history.panel import Panel
from simulators.effects.shelf import NO_SHELF, ShelfEffects, estimate_shelf
from tests.simulators.shelf_shop import CUSTOMERS, DIP, EFFECT, ELASTICITY, USED, shelf_shop


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
