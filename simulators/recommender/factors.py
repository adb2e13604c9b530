"""Implicit-feedback matrix factors: fitted once, then any customer's factors follow from their purchases alone."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FactorConfig:
    """How many factors, how strongly drawn to zero, and how much a purchase counts over none."""

    factors: int = 48
    regularization: float = 10.0
    alpha: float = 5.0
    iterations: int = 8


CANDIDATES: Final = (FactorConfig(), FactorConfig(factors=32, regularization=5.0), FactorConfig(factors=96))
"""Configurations that validation chooses from."""


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors of m products.

    Attributes:
        products: Shape (m, d).
        config: How they were fitted.
    """

    products: Floats
    config: FactorConfig


def fit_factors(bought: sparse.csr_matrix, config: FactorConfig, seed: int) -> Factors:
    """Fit factors by alternating least squares.

    Args:
        bought: Weight of each purchase, shape (n, m), float32.
        config: Settings.
        seed: Same seed, same factors.

    Reference:
        Hu, Koren & Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008.
    """
    with threadpool_limits(1):
        model = _model(config, seed)
        model.fit(bought, show_progress=False)
    return Factors(np.ascontiguousarray(model.item_factors, dtype=np.float32), config)


def fold_in(factors: Factors, bought: sparse.csr_matrix) -> Floats:
    """Return customers' factors given the products': one least-squares solve each, without a refit.

    Minimises the sum over products of c (p - x.y)^2 + regularization |x|^2 with p = 1 and c = alpha * weight where
    bought, else p = 0 and c = 1.

    Args:
        factors: Of the products.
        bought: As in `fit_factors`, of any customers, shape (k, m).

    Returns:
        Shape (k, d).

    Reference:
        Hu, Koren & Volinsky, ICDM 2008, equation 4.
    """
    with threadpool_limits(1):
        model = _model(factors.config, 0)
        model.item_factors = factors.products
        customers: Floats = model.recalculate_user(np.arange(bought.shape[0]), bought)
    return customers


def _model(config: FactorConfig, seed: int) -> AlternatingLeastSquares:
    return AlternatingLeastSquares(
        factors=config.factors,
        regularization=config.regularization,
        alpha=config.alpha,
        iterations=config.iterations,
        num_threads=1,
        random_state=seed,
    )
