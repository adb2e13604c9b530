"""The bandit's posterior against textbook formulas and against drawing coefficients."""

import math

import torch
from torch import Tensor

from agents.lin_ts import LinTSPolicy, Posterior, posterior_of
from agents.regression import Basis, Statistics, squares
from campaigns.decision import Context
from tests.agents.market import LAYOUT, draw_context


def learned(n: int = 3000) -> tuple[Posterior, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    context, pairs = draw_context(n, seed=2), squares(LAYOUT.n_features)
    x = Basis(pairs).expand(context.features)
    action = torch.randint(4, (n,), generator=generator)
    noise = (
        torch.randn(n, 2, generator=generator, dtype=torch.float64) @ torch.tensor([[1.0, 0.5], [0.0, 0.4]]).double()
    )
    outcome = x[:, 1:3].double() * action.unsqueeze(1) + noise
    statistics = Statistics.empty(4, x.shape[1])
    statistics.add(x, action, outcome)
    return posterior_of(statistics, pairs, ridge=2.0, noise=1.0), x, action, outcome


def test_the_posterior_is_ridge_regression_with_the_residuals_covariance() -> None:
    posterior, x, action, outcome = learned()
    rows = action == 3
    precision = x[rows].double().T @ x[rows].double() + 2.0 * torch.eye(x.shape[1]).double()
    mean = torch.linalg.solve(precision, x[rows].double().T @ outcome[rows])
    torch.testing.assert_close(posterior.mean[3], mean.float(), atol=1e-5, rtol=1e-4)
    inverse = posterior.root[3].T @ posterior.root[3]
    torch.testing.assert_close(inverse, torch.linalg.inv(precision).float(), atol=1e-6, rtol=1e-3)
    planted = torch.tensor([[1.0, 0.5], [0.5, 0.41]])
    # a variance estimated from n residuals has a relative standard error of sqrt(2 / n)
    torch.testing.assert_close(posterior.covariance, planted, atol=4 * math.sqrt(2 / 3000), rtol=0)


def test_scores_spread_as_if_coefficients_had_been_drawn() -> None:
    posterior, *_ = learned()
    context = draw_context(6, seed=8)
    mean, deviation = posterior.scores(context)
    generator, draws = torch.Generator().manual_seed(0), 20_000
    x = Basis(posterior.pairs).expand(context.features)
    between = torch.linalg.cholesky(posterior.covariance)
    white = torch.randn(draws, 4, x.shape[1], 2, generator=generator)
    coefficients = posterior.mean + torch.einsum("aqp,daqk,jk->dapj", posterior.root, white, between)
    outcome = torch.einsum("np,dapk->dnak", x, coefficients)
    score = outcome[..., 0] - context.price.unsqueeze(1) * outcome[..., 1]
    error = deviation / math.sqrt(draws)
    assert ((score.mean(dim=0) - mean).abs() < 5 * error).all()
    assert ((score.std(dim=0) - deviation).abs() < 5 * error / math.sqrt(2)).all()


def test_the_distribution_is_the_probability_of_being_best() -> None:
    posterior, *_ = learned(n=60)
    context = draw_context(20, seed=9)
    dist = LinTSPolicy(posterior, torch.randn(4000, 4, generator=torch.Generator().manual_seed(3)), {}).action_dist(
        context
    )
    mean, deviation = posterior.scores(context)
    draws = mean + deviation * torch.randn(4000, 20, 4, generator=torch.Generator().manual_seed(4))
    best = draws.masked_fill(~context.mask, -torch.inf).argmax(dim=2)
    share = torch.nn.functional.one_hot(best, 4).float().mean(dim=0)
    assert ((dist - share).abs() < 5 * math.sqrt(2 * 0.25 / 4000)).all()
    assert ((dist > 0.01) & (dist < 0.99)).any()


def test_before_any_data_every_offer_is_as_likely_to_be_best() -> None:
    pairs = squares(LAYOUT.n_features)
    prior = posterior_of(Statistics.empty(4, 7), pairs, ridge=10.0, noise=1.0)
    context = draw_context(5, seed=1)
    everything = Context(context.features, torch.ones(5, 4, dtype=torch.bool), context.price)
    noise = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0))
    dist = LinTSPolicy(prior, noise, {}).action_dist(everything)
    assert ((dist - 0.25).abs() < 5 * math.sqrt(0.1875 / 4000)).all()
