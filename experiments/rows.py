"""A policy table's decisions, row by row: what was drawn, what it is expected to bring, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campaigns.offers import Catalog
from experiments.drawing import Drawn, Trial
from serving.arms import Arm
from serving.reasons import Bound, Choice, Expectation, binding, describe, disclosures, pick, reason_codes, reasons
from serving.rules import Segments, apply_rules


@dataclass(frozen=True, eq=False)
class Shop:
    """What all customers of a table share.

    Attributes:
        catalog: The offers.
        trial: The arms.
        segments: The rules that stand for the policy.
        thirds: Usual baskets at which the lower and the middle third of the customers end [currency].
    """

    catalog: Catalog
    trial: Trial
    segments: Segments
    thirds: tuple[float, float]


def decision_rows(
    shop: Shop,
    profiles: pd.DataFrame,
    drawn: Drawn,
    expected: Mapping[str, NDArray[np.float64]],
    blocked: Mapping[Bound, NDArray[np.bool_]],
) -> pd.DataFrame:
    """Return what `serving.table.customer_rows` takes of n customers.

    Args:
        shop: What they share.
        profiles: customer_id, category, items, the features that the rules name and those of `describe`, n rows.
        drawn: Their offers.
        expected: uplift, uplift_lo, uplift_hi, cost, cost_lo, cost_hi of these [currency], each shape (n,).
        blocked: Where a constraint alone rules out every offer, shape (n,) each.
    """
    place = apply_rules(shop.segments, profiles)
    choice = Choice(drawn.offer, drawn.arm, drawn.favoured)
    ruled = np.array([shop.catalog.index(rule.offer) for rule in shop.segments.rules])[place] == drawn.offer
    limits = {
        Bound.HOLDOUT: choice.of(Arm.HOLDOUT),
        **blocked,
        Bound.BUDGET: drawn.turned_down,
        Bound.DRAW: ~choice.of(Arm.OPTIMISED) | ~drawn.favoured,
    }
    bound = binding(drawn.offer, limits)
    brings = Expectation(expected["uplift"], expected["uplift_lo"], expected["uplift_hi"])
    who, rule = describe(profiles, shop.thirds), (shop.segments, place)
    columns: dict[str, Any] = {
        "customer_id": profiles["customer_id"],
        "category": profiles["category"],
        "items": profiles["items"],
        **expected,
        **drawn.columns(shop.catalog, shop.trial),
        "segment": np.array([rule.number for rule in shop.segments.rules])[place],
        "bound": pick([str(one.value) for one in Bound], bound),
        "reason_codes": reason_codes(choice, ruled, profiles),
        "disclosure": disclosures(choice, shop.catalog),
        "reason": reasons(shop.catalog, drawn.offer, who, brings, bound, choice.chance(), rule),
    }
    return pd.DataFrame(columns)
