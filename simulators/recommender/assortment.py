"""The products that may be recommended, and their vectors of attributes and text."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from history.purchases import ATTRIBUTES, Purchases

Floats = NDArray[np.float32]

LEAST_BUYERS: Final = 5
"""Customers of the training split who must have bought a product before it is learned from."""
MOST_PRODUCTS: Final = 20_000
"""Products learned from at most, those with the most buyers."""
DIMENSIONS: Final = 64
"""Length of a product's vector at most."""
HELD_OUT_SHARE: Final = 0.1
"""Share of the products that the two towers never learn from, to judge them on products that are new."""
_WORD: Final = r"[^\W\d_]{2,}|\d+"


@dataclass(frozen=True, eq=False)
class Assortment:
    """The m products that are recommended.

    Attributes:
        rows: Row of each in `Purchases.products`, ascending, shape (m,), int64.
        code: Place of each row of `Purchases.products` among the m, -1 outside, shape (n_products,), int64.
        position: Category of each, shape (m,), int64.
        vectors: TF-IDF of attributes and text, reduced, unit length or 0, shape (m, d).
        held_out: Not learned from by the two towers, shape (m,), bool.
    """

    rows: NDArray[np.int64]
    code: NDArray[np.int64]
    position: NDArray[np.int64]
    vectors: Floats
    held_out: NDArray[np.bool_]

    @property
    def n(self) -> int:
        return len(self.rows)


def build_assortment(purchases: Purchases, learned: Purchases, seed: int) -> Assortment:
    """Choose the products and describe them.

    Args:
        purchases: Whose products to choose from.
        learned: Purchases of the training customers in the training weeks, of the same products.
        seed: Of the reduction and of the products held out.
    """
    pairs = distinct(learned.customer * max(purchases.n_products, 1) + learned.product)
    buyers = np.bincount(pairs % max(purchases.n_products, 1), minlength=purchases.n_products)
    enough = np.flatnonzero(buyers >= LEAST_BUYERS)
    rows = np.sort(enough[np.argsort(-buyers[enough], kind="stable")[:MOST_PRODUCTS]])
    code = np.full(purchases.n_products, -1, dtype=np.int64)
    code[rows] = np.arange(len(rows))
    chosen = purchases.products.iloc[rows]
    held_out = np.random.default_rng(seed).random(len(rows)) < HELD_OUT_SHARE
    return Assortment(rows, code, np.array(chosen["position"], dtype=np.int64), _vectors(chosen, seed), held_out)


def _vectors(products: pd.DataFrame, seed: int) -> Floats:
    """Return TF-IDF vectors of the products' words, reduced by a truncated SVD.

    Reference:
        Deerwester et al., "Indexing by Latent Semantic Analysis", JASIS 41(6), 1990.
    """
    texts = products[ATTRIBUTES[0]].astype("str")
    for name in ATTRIBUTES[1:]:
        texts = texts + " " + products[name]
    texts = texts.str.lower()
    words = int(texts.str.contains(_WORD, regex=True).sum())
    if words == 0:
        return np.zeros((len(products), 1), dtype=np.float32)
    frequencies = TfidfVectorizer(token_pattern=_WORD, sublinear_tf=True).fit_transform(texts)
    if not (frequencies.max(axis=0) - frequencies.min(axis=0)).nnz:
        return np.zeros((len(products), 1), dtype=np.float32)  # words that all products share tell none apart
    wanted = min(DIMENSIONS, min(frequencies.shape) - 1)
    dense = TruncatedSVD(wanted, random_state=seed).fit_transform(frequencies) if wanted >= 1 else frequencies.toarray()
    return unit_rows(dense)


def unit_rows(rows: NDArray[np.floating]) -> Floats:
    """Scale rows to length 1; rows of zeros stay."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Floats = (rows / np.maximum(length, 1e-9)).astype(np.float32)
    return scaled


def distinct(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sorted distinct keys; faster than `np.unique`, which hashes first."""
    keys = np.sort(keys)
    found: NDArray[np.int64] = keys[np.concatenate([np.ones(min(len(keys), 1), dtype=bool), keys[1:] != keys[:-1]])]
    return found
