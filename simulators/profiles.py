"""Profiles: what is known of each customer, in units and words that people read."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from history.features import FEATURES, basket_rate, features, spend_per_active_week, spend_rates, visit_rates
from history.state import State
from simulators.promotion import Categories, choose_category, open_wallet

AWAY_WEEKS = 8.0
"""Weeks without a visit from which a customer counts as away."""


def profile_customers(
    categories: Categories, state: State, customer_ids: tuple[str, ...], currency: str, promoted: Tensor | None = None
) -> pd.DataFrame:
    """Return one row per customer in human units; money columns end in the currency's code.

    Columns: customer_id, weeks_since_visit, visits_per_week, spend_per_week_<cur>, basket_<cur>, promo_share,
    promoted_share, contacts_8w, weeks_since_redemption, category (what the recommender promotes), segment (in words).
    """
    if promoted is None:
        promoted = choose_category(categories, state)
    wallet = open_wallet(categories, state, promoted)
    column = dict(zip(FEATURES, features(state).unbind(dim=1), strict=True))
    code = currency.lower()
    rows = pd.DataFrame(
        {
            "customer_id": pd.Series(customer_ids, dtype="str"),
            "weeks_since_visit": _numbers(state.weeks_since_visit),
            "visits_per_week": _numbers(basket_rate(state)),
            f"spend_per_week_{code}": _numbers(spend_rates(state)[:, 2]),
            f"basket_{code}": _numbers(wallet.basket),
            "promo_share": _numbers(column["promo_share"]).clip(0.0, 1.0),
            "promoted_share": _numbers(wallet.share),
            "contacts_8w": _numbers(column["contacts_8w"]),
            "weeks_since_redemption": _numbers(state.weeks_since_redemption),
            "category": pd.Series([categories.names[i] for i in promoted.tolist()], dtype="str"),
        }
    )
    active = _numbers(visit_rates(state)[:, 2])
    return rows.assign(segment=name_segments(rows["weeks_since_visit"], active, _numbers(spend_per_active_week(state))))


def name_segments(
    weeks_since_visit: "pd.Series[float]", active: NDArray[np.float64], active_spend: NDArray[np.float64]
) -> "pd.Series[str]":
    """Name each customer's rhythm and size of shop, as in "weekly, big shop"; big is above the median of the active.

    Args:
        weeks_since_visit: Shape (n,).
        active: Share of weeks with a visit, shape (n,).
        active_spend: Spend of a week with a visit [currency], shape (n,).
    """
    away = weeks_since_visit.to_numpy() >= AWAY_WEEKS
    rhythm = np.select([away, active >= 0.75, active >= 0.35], ["away", "weekly", "every other week"], "occasional")
    here = active_spend[~away]
    median = float(np.median(here)) if len(here) else 0.0
    size = np.where(active_spend > median, ", big shop", ", small shop")
    return pd.Series(np.where(away, "away for 8 weeks or more", rhythm.astype(object) + size), dtype="str")


def _numbers(column: Tensor) -> NDArray[np.float64]:
    return column.double().cpu().numpy()
