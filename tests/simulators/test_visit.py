"""What a visit holds: counts, residuals, promotion and categories have the means and spreads that they should."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from simulators.response import Baseline
from simulators.shocks import Level, Surprises, WeekShocks, fit_shocks, no_shocks, recent_level
from simulators.shopping import draw_noise, expected_spend, shop, spend_given_visit, with_traits
from simulators.visit import (
    VisitModel,
    appetite,
    category_chance,
    category_shares,
    count_quantile,
    plain_visit,
    promo_share,
)
from simulators.visit_fitting import Visits, fit_visit, lasting_share, residual_quantiles

K = 4
MANY = 200_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def skewed() -> VisitModel:
    residual = torch.log(torch.empty(50_000).exponential_(generator=generator(1)))
    model = fit_visit(visits_of(residual), size=2.5, basket_slope=0.8)
    return replace(model, basket_trait=torch.tensor(0.3), spend_trait=torch.tensor(0.04))


def visits_of(residual: Tensor, seed: int = 2) -> Visits:
    """Return visits made by a known model: promotion, incidence and amounts as `TRUE` says."""
    n, luck = len(residual), generator(seed)
    taste = tastes(n, luck)
    spend = torch.exp(3.5 + 0.8 * torch.randn(n, generator=luck))
    habit = torch.rand(n, generator=luck)
    promo = promo_share(TRUE, habit, spend, torch.randn(n, generator=luck))
    shares = category_shares(TRUE, appetite(TRUE, taste), spend, torch.rand(n, K, generator=luck))
    shares = torch.where(shares < 1e-4, torch.zeros_like(shares), shares)
    return Visits(residual, spend, promo, habit, taste, spend.unsqueeze(1) * shares)


def tastes(n: int, luck: torch.Generator) -> Tensor:
    weight = torch.empty(n, K).exponential_(generator=luck)
    return weight / weight.sum(dim=1, keepdim=True)


TRUE = replace(
    plain_visit(K),
    promo=torch.tensor([0.1, 0.7, 0.02, -0.2, -0.3]),
    incidence=torch.tensor([1.5, 1.0, 0.5, 2.0]),
    incidence_slopes=torch.tensor([0.8, 0.4]),
    amount=torch.tensor([0.3, -0.3, 0.2, -0.2]),
    amount_slope=torch.tensor(0.6),
)


@pytest.mark.parametrize("mean", [0.0025, 0.1, 0.6, 1.0, 3.7, 9.0])
@pytest.mark.parametrize("size", [0.8, 3.0, 1e5])
def test_the_count_quantile_is_scipy_s(mean: float, size: float) -> None:
    uniform = torch.rand(20_000, generator=generator(1))
    found = count_quantile(torch.full_like(uniform, mean), torch.tensor(size), uniform).numpy()
    law = stats.nbinom(size, size / (size + mean))
    expected = np.minimum(law.ppf(uniform.double().numpy()), 20)
    edge = np.abs(law.cdf(np.minimum(found, expected)) - uniform.numpy()) < 2e-5
    assert ((found == expected) | edge).all()
    assert (found == expected).mean() > 0.998


def test_a_residual_s_quantiles_give_mean_0_variance_1_and_its_own_shape() -> None:
    raw = torch.log(torch.empty(40_000).exponential_(generator=generator(3)))
    model = replace(plain_visit(K), quantiles=residual_quantiles(raw))
    drawn = model.residual(torch.randn(MANY, generator=generator(4)))
    assert float(drawn.mean()) == pytest.approx(0.0, abs=4 / MANY**0.5)
    assert float(drawn.std()) == pytest.approx(1.0, abs=0.01)
    assert float(stats.skew(drawn.numpy())) == pytest.approx(float(stats.skew(raw.numpy())), abs=0.25)


@pytest.mark.parametrize("extra", [0.2, 1.5, 6.0])
@pytest.mark.parametrize("sd", [0.4, 1.2])
def test_expected_spend_is_the_mean_of_what_is_drawn(extra: float, sd: float, skewed: VisitModel) -> None:
    baseline = baseline_of(MANY, extra, sd)
    bought = shop(skewed, baseline, draw_noise(MANY, 1, generator(5)))
    spend = bought.spend * bought.visited
    error = float(spend.std()) / MANY**0.5
    assert float(spend.mean()) == pytest.approx(float(expected_spend(skewed, baseline)[0]), abs=4 * error + 0.004)


def baseline_of(n: int, extra: float, sd: float) -> Baseline:
    return Baseline(torch.full((n,), 0.3), torch.full((n,), extra), torch.full((n,), 3.0), torch.full((n,), sd))


def test_what_lasts_of_a_customer_moves_them_but_not_the_mean(skewed: VisitModel) -> None:
    plain, noise = baseline_of(MANY, 1.5, 0.8), draw_noise(MANY, 1, generator(6))
    moved = with_traits(skewed, plain, noise.trait_baskets, noise.trait_spend)
    assert float(moved.extra_baskets.mean()) == pytest.approx(1.5, rel=0.005)
    assert float(moved.extra_baskets.std()) > 0.3
    together = float(spend_given_visit(skewed, moved).mean())
    assert together == pytest.approx(float(spend_given_visit(skewed, plain)[0]), rel=0.02)


def test_without_lasting_traits_nothing_moves() -> None:
    plain, noise = baseline_of(10, 1.5, 0.8), draw_noise(10, 1, generator(6))
    moved = with_traits(plain_visit(K), plain, noise.trait_baskets, noise.trait_spend)
    assert torch.equal(moved.extra_baskets, plain.extra_baskets)
    assert torch.equal(moved.spend_log_mean, plain.spend_log_mean)


def test_the_fit_recovers_the_promotion_share_and_the_categories() -> None:
    model = fit_visit(visits_of(torch.randn(30_000, generator=generator(7))), size=2.0, basket_slope=0.5)
    torch.testing.assert_close(model.promo, TRUE.promo, atol=0.05, rtol=0.1)
    torch.testing.assert_close(model.incidence_slopes, TRUE.incidence_slopes, atol=0.08, rtol=0.05)
    torch.testing.assert_close(model.incidence, TRUE.incidence, atol=0.25, rtol=0.1)
    assert float(model.amount_slope) == pytest.approx(0.6, abs=0.15)
    assert torch.argsort(model.amount).tolist() == torch.argsort(TRUE.amount).tolist()


def test_too_few_visits_leave_the_plain_model() -> None:
    model = fit_visit(visits_of(torch.randn(50, generator=generator(8))), size=2.0, basket_slope=0.5)
    assert torch.equal(model.quantiles, plain_visit(K).quantiles)
    assert float(model.basket_slope) == 0.0


def test_weeks_that_are_all_alike_are_fitted_without_a_nan() -> None:
    n = 400
    same = torch.ones(n)
    taste = torch.zeros(n, K)
    taste[:, 0] = 1.0
    model = fit_visit(Visits(0 * same, 20 * same, 0 * same, 0 * same, taste, 20 * taste), size=2.0, basket_slope=0.5)
    assert all(torch.isfinite(value).all() for value in model.tensors().values())


def test_shares_of_categories_sum_to_1_and_are_bought_as_often_as_their_chance() -> None:
    luck, n = generator(9), 100_000
    taste = tastes(1, luck).expand(n, -1)
    spend = torch.full((n,), 40.0)
    shares = category_shares(TRUE, appetite(TRUE, taste), spend, torch.rand(n, K, generator=luck))
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(n))
    chance = category_chance(TRUE, appetite(TRUE, taste), spend)[0]
    nothing = (1 - chance).prod()  # then the spend is divided as if all were bought
    assert torch.allclose((shares > 1e-4).float().mean(dim=0), chance + nothing, atol=0.01)


def test_a_share_on_promotion_stays_within_0_and_1_and_follows_habit() -> None:
    luck = torch.randn(10_000, generator=generator(10))
    spend = torch.full((10_000,), 30.0)
    low, high = (promo_share(TRUE, torch.full((10_000,), habit), spend, luck) for habit in (0.2, 0.7))
    assert float(low.min()) == 0.0 and float(high.max()) == 1.0
    assert (high >= low).all()


def test_what_lasts_is_told_from_what_comes_and_goes() -> None:
    n, weeks, luck = 4000, 12, generator(11)
    lasting = torch.randn(n, 1, generator=luck) * 0.2**0.5
    passing = torch.randn(n, weeks, generator=luck) * 0.8**0.5
    assert lasting_share(lasting + passing, torch.ones(n, weeks)) == pytest.approx(0.2, abs=0.02)
    assert lasting_share(passing, torch.ones(n, weeks)) < 0.01


def weeks_with(shock: Tensor, n: int, seed: int) -> Surprises:
    """Return surprises of n customers in as many weeks as `shock` has, visits and spend moved by it."""
    weeks, luck = len(shock), generator(seed)
    week = torch.arange(weeks).repeat(n)
    chance = torch.full((n * weeks,), 0.5)
    visited = (torch.rand(n * weeks, generator=luck) < torch.sigmoid(shock[week])).float()
    residual = visited * (shock[week] + 0.8 * torch.randn(n * weeks, generator=luck))
    mean = visited * 1.2
    count = visited * torch.poisson(torch.exp(shock[week]) * 1.2, generator=luck)
    return Surprises(
        week=week,
        visit=visited - chance,
        visit_variance=chance * (1 - chance),
        baskets=count - mean,
        baskets_mean=mean,
        baskets_variance=visited * 1.2,
        spend=residual,
        spend_variance=visited * 0.64,
    )


def test_shocks_that_all_share_are_told_from_chance() -> None:
    shock = 0.15 * torch.randn(60, generator=generator(12))
    found = fit_shocks(weeks_with(shock, 1500, seed=13))
    for sd in (found.visit_sd, found.baskets_sd, found.spend_sd):
        assert float(sd) == pytest.approx(float(shock.std()), rel=0.2)
    calm = fit_shocks(weeks_with(torch.zeros(60), 1500, seed=14))
    assert max(float(calm.visit_sd), float(calm.baskets_sd), float(calm.spend_sd)) < 0.03


def test_a_history_of_few_weeks_has_no_shocks() -> None:
    found = fit_shocks(weeks_with(torch.randn(5, generator=generator(1)), 500, seed=15))
    assert all(float(value) == 0.0 for value in found.tensors().values())


def test_a_shock_keeps_its_spread_over_the_weeks() -> None:
    shocks = WeekShocks(*(torch.tensor(v) for v in (0.1, 0.2, 0.3, 0.6)))
    luck, state = generator(16), torch.zeros(3, 20_000)
    for _ in range(30):
        last, state = state, shocks.next(state, torch.randn(3, 20_000, generator=luck))
    torch.testing.assert_close(state.std(dim=1), torch.tensor([0.1, 0.2, 0.3]), rtol=0.03, atol=0.0)
    assert float(torch.corrcoef(torch.stack([last[0], state[0]]))[0, 1]) == pytest.approx(0.6, abs=0.02)
    assert torch.equal(no_shocks().next(torch.zeros(3, 2), torch.ones(3, 2)), torch.zeros(3, 2))


def test_the_recent_level_is_found_and_drawn_to_0_where_little_is_known() -> None:
    shift = torch.full((8,), 0.12)
    known = recent_level(weeks_with(shift, 4000, seed=17))
    for part in (known.visit, known.baskets, known.spend):
        assert part == pytest.approx(0.12, abs=0.03)
    few = recent_level(weeks_with(shift, 2, seed=17))
    assert abs(few.visit) < 0.02
    nothing = Surprises(torch.zeros(0, dtype=torch.int64), *(torch.zeros(0) for _ in range(7)))
    assert recent_level(nothing) == Level()
