"""Profiles: what is known of each customer, in units and words that people read."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from history.features import FEATURES, basket_rate, features, spend_rates
from history.state import State
from simulators.promotion import Categories, choose_category, open_wallet

SCORES = ("segment", "value_26w", "value_26w_lo", "value_26w_hi", "p_alive", "churn_risk", "price_sensitivity")
"""What fitted models add; columns of money end in the currency's code."""


def score_columns(currency: str) -> list[str]:
    """Return the names of the columns `SCORES` of a currency."""
    return [f"{name}_{currency.lower()}" if name.startswith("value_") else name for name in SCORES]


def profile_customers(
    categories: Categories,
    state: State,
    customer_ids: tuple[str, ...],
    currency: str,
    scores: pd.DataFrame,
    promoted: Tensor | None = None,
) -> pd.DataFrame:
    """Return one row per customer in human units; money columns end in the currency's code.

    Columns: customer_id, weeks_since_visit, visits_per_week, spend_per_week_<cur>, basket_<cur>, promo_share,
    promoted_share, contacts_8w, weeks_since_redemption, category (what the recommender promotes), and `score_columns`:
    segment (in words), value of the next 26 weeks with its 95 % interval, p_alive, churn_risk, price_sensitivity.

    Args:
        categories: What is promoted from.
        state: Of n customers.
        customer_ids: Theirs, in the same order.
        currency: Code.
        scores: customer_id and `score_columns`, a row for each of these customers.
        promoted: Index of the promoted category, shape (n,), int64; by taste if not given.
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
    needed = scores[["customer_id", *score_columns(currency)]]
    return rows.merge(needed, on="customer_id", how="left", validate="one_to_one")


def _numbers(column: Tensor) -> NDArray[np.float64]:
    return column.double().cpu().numpy()
