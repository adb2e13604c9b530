"""Category taste: what each customer buys most, and how much more of it than the shop's customers do."""

import numpy as np
import pandas as pd
from torch import Tensor

from history.features import taste
from history.state import State
from simulators.promotion import Categories

TOP = 3


def favourite_categories(categories: Categories, state: State) -> pd.DataFrame:
    """Return each customer's three largest named categories, with share of spend and lift against the shop.

    Columns taste_1, taste_share_1, taste_lift_1, ... taste_3; the rest of the assortment is no category. A lift of 2 is
    twice the share that the category has at the shop. Without a purchase, or with fewer categories, the name is "" and
    the figures are 0.
    """
    shares = taste(state).double()[:, :-1]
    top = min(TOP, shares.shape[1])
    values, places = shares.topk(top, dim=1) if top else (shares, shares.long())
    popularity = categories.popularity.double()[:-1].clamp(min=1e-6)
    names = np.array([*categories.names[:-1], ""], dtype=object)
    columns: dict[str, object] = {}
    for i in range(TOP):
        known = i < top
        share = _column(values[:, i]) if known else np.zeros(len(shares))
        place = places[:, i].cpu().numpy() if known else np.zeros(len(shares), dtype=np.int64)
        bought = share > 0
        columns[f"taste_{i + 1}"] = pd.Series(names[np.where(bought, place, len(names) - 1)], dtype="str")
        columns[f"taste_share_{i + 1}"] = share
        columns[f"taste_lift_{i + 1}"] = share / _column(popularity)[place] if known else share
    return pd.DataFrame(columns)


def segment_tastes(
    categories: Categories, state: State, segment: Tensor, count: int
) -> list[list[dict[str, str | float]]]:
    """Return each segment's three categories of highest lift among those with 1 % of its spend or more."""
    shares, popularity = taste(state).double(), categories.popularity.double()
    rows = []
    for one in range(count):
        members = shares[segment == one]
        mean = members.mean(dim=0) if len(members) else popularity
        lift = (mean / popularity.clamp(min=1e-6))[:-1]
        often = [i for i in lift.argsort(descending=True, stable=True).tolist() if mean[i] >= 0.01][:TOP]
        rows.append([{"category": categories.names[i], "lift": float(lift[i]), "share": float(mean[i])} for i in often])
    return rows


def _column(values: Tensor) -> "np.typing.NDArray[np.float64]":
    return values.double().cpu().numpy()
