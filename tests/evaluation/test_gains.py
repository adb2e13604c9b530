import math

import numpy as np
import pytest
import torch
from torch import Tensor

from campaigns.decision import ObservationLayout
from campaigns.errors import InputError
from evaluation.estimate import Z95
from evaluation.gain_fitting import RANK, Played, fit_gains, fit_played, seen_at_first
from evaluation.gains import GainBasis, GainModel, Gains
from evaluation.rollout import Play, expected_gain
from tests.host import NoHostRoundTrip

LAYOUT = ObservationLayout(("age", "spend", "saving_coupon", "saving_gift"), ("none", "coupon", "gift"))
DRAWS = 200


def _customers(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).clamp(-3, 3)


def _draws(k: int = 2) -> Tensor:
    z = torch.randn(DRAWS, k, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    left, _, right = torch.linalg.svd(z - z.mean(dim=0), full_matrices=False)
    whole: Tensor = left @ right * (DRAWS - 1) ** 0.5
    return whole


def _uplift(x: Tensor, z: Tensor) -> Tensor:
    """Return uplift by draw: its mean is 1 + saving * spend, and a draw moves it by .5 z0 + .2 spend z1."""
    return 1.0 + x[:, 2] * x[:, 1] + 0.5 * z[:, :1] + 0.2 * z[:, 1:2] * x[:, 1]


def _played(n: int = 800, luck: float = 0.0, seed: int = 0) -> list[Played]:
    x, z = _customers(n, seed), _draws()
    noise = torch.randn(DRAWS, n, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    gains = torch.stack([_uplift(x, z) + luck * noise, 0.1 * x[:, 0].square() + 0.0 * noise])
    return [Played(x, gains, z), Played(x, torch.zeros_like(gains), z)]


def _score(model: GainModel, features: Tensor) -> Gains:
    return model.score(features.float())


def test_a_polynomial_truth_is_found_and_its_spread_is_that_of_the_draws() -> None:
    x = _customers(300, seed=9)
    found = _score(fit_played(LAYOUT, _played(3000)), x)
    assert torch.allclose(found.uplift[:, 1].double(), 1.0 + x[:, 2] * x[:, 1], atol=0.01)
    assert torch.allclose(found.cost[:, 1].double(), 0.1 * x[:, 0].square(), atol=0.01)
    assert torch.allclose(found.uplift_sd[:, 1].double(), (0.25 + 0.04 * x[:, 1].square()).sqrt(), atol=0.01)
    assert float(found.cost_sd[:, 1].max()) < 0.01


def test_the_luck_of_single_lives_is_no_part_of_the_interval() -> None:
    x = _customers(300, seed=9)
    lucky = _score(fit_played(LAYOUT, _played(luck=2.0)), x)
    expected = (0.25 + 0.04 * x[:, 1].square()).sqrt()
    assert float((lucky.uplift_sd[:, 1].double() - expected).abs().mean()) < 0.05
    assert float(lucky.uplift_sd[:, 1].max()) < 1.0


def test_what_the_polynomial_cannot_say_widens_the_interval() -> None:
    x, z = _customers(2000), _draws()
    truth = 2.0 * torch.sign(x[:, 0] * x[:, 1] * x[:, 2]) + 0.0 * z[:, :1]
    played = Played(x, torch.stack([truth, truth.abs()]), z)
    model = fit_played(LAYOUT, [played, played])
    assert model.meta()["fit"]["coupon"]["uplift"]["explained"] < 0.7
    unseen = _customers(2000, seed=5)
    found = _score(model, unseen).of(torch.ones(2000, dtype=torch.int64))
    inside = (found["uplift_lo"] <= 2.0 * torch.sign(unseen[:, 0] * unseen[:, 1] * unseen[:, 2])) & (
        2.0 * torch.sign(unseen[:, 0] * unseen[:, 1] * unseen[:, 2]) <= found["uplift_hi"]
    )
    assert float(inside.double().mean()) > 0.93


def test_no_offer_brings_and_costs_nothing_and_no_cost_is_below_zero() -> None:
    x = _customers(100)
    found = _score(fit_played(LAYOUT, _played()), x)
    assert all(torch.all(found[name][:, 0] == 0) for name in ("uplift", "cost", "uplift_sd", "cost_sd"))
    of_none = found.of(torch.zeros(100, dtype=torch.int64))
    assert all(torch.all(values == 0) for values in of_none.values())
    of_coupon = found.of(torch.ones(100, dtype=torch.int64))
    assert torch.all(of_coupon["cost_lo"] >= 0) and torch.all(of_coupon["cost_lo"] <= of_coupon["cost"])
    assert torch.allclose(of_coupon["uplift_hi"] - of_coupon["uplift"], Z95 * found.uplift_sd[:, 1], atol=1e-5)


def test_customers_are_scored_alike_in_any_company() -> None:
    model, x = fit_played(LAYOUT, _played()), _customers(5000).float()
    order = torch.randperm(5000, generator=torch.Generator().manual_seed(3))
    together, apart = model.score(x), model.score(x[order])
    assert torch.allclose(together.uplift[order], apart.uplift, rtol=1e-5, atol=1e-6)
    assert torch.allclose(together.uplift_sd[order], apart.uplift_sd, rtol=1e-5, atol=1e-6)


def test_scoring_needs_no_word_with_the_host() -> None:
    model, x = fit_played(LAYOUT, _played()), _customers(50).float()
    with NoHostRoundTrip():
        model.score(x)
    assert model.to("meta").score(x.to("meta")).uplift.shape == (50, 3)


def test_a_model_comes_back_from_its_tensors_and_another_layout_is_refused() -> None:
    model, x = fit_played(LAYOUT, _played()), _customers(10).float()
    again = GainModel(LAYOUT, model.tensors(), model.meta())
    assert torch.equal(model.score(x).uplift_sd, again.score(x).uplift_sd)
    other = ObservationLayout(LAYOUT.feature_names, ("none", "gift", "coupon"))
    with pytest.raises(InputError, match="gain model: offers are none, coupon, gift; expected none, gift, coupon"):
        GainModel(other, model.tensors(), model.meta())


@pytest.mark.parametrize("n", [0, 1, 3, 12])
def test_an_offer_that_few_may_get_is_still_scored(n: int) -> None:
    plenty, few = _played(500)[0], _played(500)[0]
    few = Played(few.features[:n], few.gains[:, :, :n], few.draws)
    found = _score(fit_played(LAYOUT, [plenty, few]), _customers(40))
    assert all(torch.isfinite(found[name]).all() for name in ("uplift", "cost", "uplift_sd", "cost_sd"))


def test_draws_that_are_all_equal_leave_the_models_own_error() -> None:
    x = _customers(400)
    gains = torch.stack([_uplift(x, torch.zeros(DRAWS, 2, dtype=torch.float64))] * 2)
    one = Played(x, gains, torch.zeros(DRAWS, 0, dtype=torch.float64))
    found = _score(fit_played(LAYOUT, [one, one]), x)
    assert float(found.uplift_sd[:, 1].max()) < 0.05


def test_regressors_stand_where_the_coefficients_expect_them() -> None:
    basis, x = GainBasis.of(LAYOUT, torch.tensor([[0, 1]])), torch.tensor([[2.0, 3.0, 0.5, 0.25]])
    expected = [1, 2, 3, 4, 9, 6, 0.25, 0.5, 0.75, 0.0625]
    assert basis.of_offer(x, 1).tolist() == [expected]
    p = len(expected)
    coefficients = torch.rand(2, p, 2 * (1 + RANK), generator=torch.Generator().manual_seed(4))
    meta = {"features": list(LAYOUT.feature_names), "offers": list(LAYOUT.action_names)}
    tensors = {"coefficients": coefficients, "error": torch.zeros(2, 2), "pairs": torch.tensor([[0, 1]])}
    found = GainModel(LAYOUT, tensors, meta).score(x)
    values = basis.of_offer(x, 1) @ coefficients[1]
    assert found.uplift[0, 2].item() == pytest.approx(values[0, 0].item(), rel=1e-5)
    assert found.cost[0, 2].item() == pytest.approx(values[0, 1].item(), rel=1e-5)
    spread = math.sqrt(float(values[0, 2 : 2 + RANK].square().sum()))
    assert found.uplift_sd[0, 2].item() == pytest.approx(spread, rel=1e-5)


def test_the_market_is_learned_without_bias(where: Play) -> None:
    """Held against what the market plays under another luck, over all customers who may get the offer."""
    model = fit_gains(Play(where.market, where.observer, where.start, 64, 1), weeks=4)
    fits = model.meta()["fit"]
    features, mask = seen_at_first(where)
    for index, name in enumerate(where.market.catalog.names[1:], start=1):
        allowed = mask[:, index].numpy()
        action = torch.full((where.start.n,), index)
        uplift, cost = expected_gain(Play(where.market, where.observer, where.start, 64, 2), action, weeks=4)
        found = model.score(features)
        for outcome, played in (("uplift", uplift), ("cost", cost)):
            told = found[outcome][:, index].double().numpy()[allowed]
            by_draw = played[:, allowed].mean(axis=1)
            error = np.hypot(by_draw.std() / len(by_draw) ** 0.5, 1e-3)
            assert abs(told.mean() - by_draw.mean()) < 5 * error, (name, outcome, fits[name])
