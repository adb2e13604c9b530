"""The products behind a promoted category: for each customer the few that a push there is worth most on."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from history.state import State
from simulators.recommender.habits import Habits
from simulators.recommender.models import Moment, Recommender, blend, moment
from simulators.recommender.rhythm import product_facts

NAMED: Final = 3
"""Names per customer at most."""
SEPARATOR: Final = "; "
_LOOKED_AT: Final = 40
"""Products per customer among which names are sought."""
_ROWS: Final = 500
"""Customers scored at a time, to bound the memory."""


def promoted_items(
    recommender: Recommender, products: pd.DataFrame, habits: Habits, state: State, promoted: NDArray[np.int64]
) -> "pd.Series[str]":
    """Name for each customer the products of the promoted category to put forward, best first, as one text.

    A product's chance p within the horizon comes from the blend, and counts as p (1 - p): likely, but not certain.

    Args:
        recommender: What was learned.
        products: As in `Purchases.products`.
        habits, state: Of all n customers as of now.
        promoted: Category, shape (n,).

    Returns:
        Shape (n,); "" where the category has no product that is recommended.
    """
    names = product_names(products.iloc[recommender.assortment.rows])
    codes, uniques = pd.factorize(names)
    facts = product_facts(habits)
    parts = [
        _best(recommender, moment(habits, facts, state, rows), promoted[rows], codes)
        for rows in np.array_split(np.arange(len(promoted)), max(-(-len(promoted) // _ROWS), 1))
    ]
    text = np.append(np.asarray(uniques, dtype=object), "")
    first, *others = (text[column] for column in np.concatenate(parts).T)
    named = pd.Series(first, dtype="str")
    for other in others:
        named = named + pd.Series(np.where(other == "", "", SEPARATOR + other), dtype="str")
    return named


def product_names(products: pd.DataFrame) -> "pd.Series[str]":
    """Return what a marketer calls each product: its name, or else its category and id, or the id alone."""
    numbered = (products["category"] + " " + products["product_id"]).str.strip()
    return products["name"].str.strip().where(products["name"].str.strip() != "", numbered).reset_index(drop=True)


def _best(
    recommender: Recommender, seen: Moment, promoted: NDArray[np.int64], codes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the name codes for the customers seen, shape (n, NAMED), -1 where there is none."""
    chance = expit(blend(recommender, seen))
    inside = recommender.assortment.position[None, :] == promoted[:, None]
    worth = np.where(inside, chance * (1.0 - chance), -1.0)
    looked = min(_LOOKED_AT, worth.shape[1])
    near = np.sort(np.argpartition(-worth, looked - 1, axis=1)[:, :looked], axis=1)
    order = np.argsort(-np.take_along_axis(worth, near, axis=1), axis=1, kind="stable")
    top = np.take_along_axis(near, order, axis=1)
    listed = pd.DataFrame(
        {
            "row": np.repeat(np.arange(len(promoted)), looked),
            "name": np.where(np.take_along_axis(inside, top, axis=1), codes[top], -1).reshape(-1),
        }
    )
    listed = listed[listed["name"] >= 0].drop_duplicates()
    place = listed.groupby("row").cumcount().to_numpy()
    found = np.full((len(promoted), NAMED), -1, dtype=np.int64)
    keep = place < NAMED
    found[listed["row"].to_numpy()[keep], place[keep]] = listed["name"].to_numpy()[keep]
    return found
