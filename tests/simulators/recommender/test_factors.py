"""Factors of customers found from their purchases alone, against the equations and against a full fit."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from simulators.recommender.factors import FactorConfig, Factors, fit_factors, fold_in

CONFIG = FactorConfig(factors=8, regularization=2.0, alpha=3.0, iterations=30)


@pytest.fixture(scope="module")
def bought() -> sparse.csr_matrix:
    """Return purchases of 60 customers in two groups with tastes of their own."""
    rng = np.random.default_rng(2)
    likes = np.where(np.arange(60)[:, None] % 2 == np.arange(40)[None, :] % 2, 0.4, 0.03)
    return sparse.csr_matrix((rng.random((60, 40)) < likes) * rng.integers(1, 4, (60, 40)), dtype=np.float32)


def test_folding_in_solves_the_equations_of_the_paper(bought: sparse.csr_matrix) -> None:
    factors = fit_factors(bought, CONFIG, seed=1)
    products = factors.products.astype(np.float64)
    dense = bought.toarray().astype(np.float64)
    for row in (0, 17, 59):
        has = dense[row] > 0
        confidence = np.where(has, CONFIG.alpha * dense[row], 1.0)
        left = (products * confidence[:, None]).T @ products + CONFIG.regularization * np.eye(CONFIG.factors)
        expected = np.linalg.solve(left, products.T @ (confidence * has))
        np.testing.assert_allclose(fold_in(factors, bought)[row], expected, rtol=2e-3, atol=2e-4)


def test_folding_in_what_was_fitted_ranks_like_the_fit(bought: sparse.csr_matrix) -> None:
    half = (
        fold_in(fit_factors(bought[:40], CONFIG, seed=1), bought) @ fit_factors(bought[:40], CONFIG, seed=1).products.T
    )
    whole = fold_in(fit_factors(bought, CONFIG, seed=1), bought) @ fit_factors(bought, CONFIG, seed=1).products.T
    alike = [np.corrcoef(one, other)[0, 1] for one, other in zip(half[40:], whole[40:], strict=True)]
    assert np.median(alike) > 0.9


def test_the_same_seed_gives_the_same_factors(bought: sparse.csr_matrix) -> None:
    first, second, other = (fit_factors(bought, replace(CONFIG, iterations=2), seed) for seed in (4, 4, 5))
    assert np.array_equal(first.products, second.products)
    assert not np.array_equal(first.products, other.products)


def test_a_customer_without_purchases_has_no_factors() -> None:
    factors = Factors(np.ones((3, 8), dtype=np.float32), CONFIG)
    assert not fold_in(factors, sparse.csr_matrix((2, 3), dtype=np.float32)).any()
