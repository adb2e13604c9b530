"""The bandits' posterior against textbook formulas and against drawing coefficients."""

import math

import torch
from torch import Tensor

from agents.lin_ts import win_shares
from agents.posterior import Posterior, Prior, believe, believe_apart
from agents.regression import Basis, Statistics, squares
from agents.shared import offer_rows
from campaigns.decision import Context
from tests.agents.market import LAYOUT, draw_context

PAIRS = squares(LAYOUT.n_features)


def learned(n: int = 3000) -> tuple[Posterior, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    context = draw_context(n, seed=2)
    x = Basis(PAIRS).expand(context.features)
    action = torch.randint(4, (n,), generator=generator)
    noise = (
        torch.randn(n, 2, generator=generator, dtype=torch.float64) @ torch.tensor([[1.0, 0.5], [0.0, 0.4]]).double()
    )
    outcome = x[:, 1:3].double() * action.unsqueeze(1) + noise
    statistics = Statistics.empty(4, x.shape[1])
    statistics.add(x.double(), action, outcome)
    return believe_apart(statistics, ridge=2.0, noise=1.0), x, action, outcome


def scores(posterior: Posterior, context: Context[Tensor]) -> tuple[Tensor, Tensor]:
    return posterior.scores(Basis(PAIRS).expand(context.features), context.price)


def roots(posterior: Posterior) -> Tensor:
    p = posterior.root.shape[1]
    return posterior.root.view(-1, p, p)


def test_the_posterior_is_ridge_regression_with_the_residuals_covariance() -> None:
    posterior, x, action, outcome = learned()
    rows = action == 3
    precision = x[rows].double().T @ x[rows].double() + 2.0 * torch.eye(x.shape[1]).double()
    mean = torch.linalg.solve(precision, x[rows].double().T @ outcome[rows])
    torch.testing.assert_close(posterior.mean[:, 3].T, mean.float(), atol=1e-5, rtol=1e-4)
    inverse = roots(posterior)[3].T @ roots(posterior)[3]
    torch.testing.assert_close(inverse, torch.linalg.inv(precision).float(), atol=1e-6, rtol=1e-3)
    planted = torch.tensor([[1.0, 0.5], [0.5, 0.41]])
    # a variance estimated from n residuals has a relative standard error of sqrt(2 / n)
    torch.testing.assert_close(posterior.covariance, planted, atol=4 * math.sqrt(2 / 3000), rtol=0)


def test_scores_spread_as_if_coefficients_had_been_drawn() -> None:
    posterior, *_ = learned()
    context = draw_context(6, seed=8)
    mean, deviation = scores(posterior, context)
    generator, draws = torch.Generator().manual_seed(0), 20_000
    x = Basis(PAIRS).expand(context.features)
    between = torch.linalg.cholesky(posterior.covariance)
    white = torch.randn(draws, 4, x.shape[1], 2, generator=generator)
    drawn = torch.einsum("aqp,daqk,jk->dapj", roots(posterior), white, between)
    outcome = torch.einsum("np,dapk->dnak", x, posterior.mean.permute(1, 2, 0) + drawn)
    score = outcome[..., 0] - context.price.unsqueeze(1) * outcome[..., 1]
    error = deviation / math.sqrt(draws)
    assert ((score.mean(dim=0) - mean).abs() < 5 * error).all()
    assert ((score.std(dim=0) - deviation).abs() < 5 * error / math.sqrt(2)).all()


def test_blocks_change_nothing_and_one_outcome_needs_no_price() -> None:
    posterior, *_ = learned()
    x = Basis(PAIRS).expand(draw_context(1000, seed=3).features)
    mean, deviation = posterior.scores(x)
    each = [posterior.scores(row.unsqueeze(0)) for row in x[::97]]
    torch.testing.assert_close(torch.cat([m for m, _ in each]), mean[::97])
    torch.testing.assert_close(torch.cat([d for _, d in each]), deviation[::97])
    free = posterior.scores(x, torch.zeros(1000))
    torch.testing.assert_close(free[0], mean)
    torch.testing.assert_close(free[1], deviation)


def test_the_distribution_is_the_probability_of_being_best() -> None:
    posterior, *_ = learned(n=60)
    context = draw_context(20, seed=9)
    mean, deviation = scores(posterior, context)
    noise = torch.randn(4000, 4, generator=torch.Generator().manual_seed(3))
    dist = win_shares(mean, deviation, noise, context.mask)
    draws = mean + deviation * torch.randn(4000, 20, 4, generator=torch.Generator().manual_seed(4))
    best = draws.masked_fill(~context.mask, -torch.inf).argmax(dim=2)
    share = torch.nn.functional.one_hot(best, 4).float().mean(dim=0)
    assert ((dist - share).abs() < 5 * math.sqrt(2 * 0.25 / 4000)).all()
    assert ((dist > 0.01) & (dist < 0.99)).any()


def test_before_any_data_every_offer_is_as_likely_to_be_best() -> None:
    rows = offer_rows(LAYOUT)
    prior = believe(Statistics.empty(4, 7), rows, Prior(ridge=10.0, pool=10.0, noise=1.0)).posterior(rows)
    context = draw_context(5, seed=1)
    noise = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0))
    dist = win_shares(*scores(prior, context), noise, torch.ones(5, 4, dtype=torch.bool))
    assert ((dist - 0.25).abs() < 5 * math.sqrt(0.1875 / 4000)).all()
