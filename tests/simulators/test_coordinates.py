from dataclasses import replace

import torch

from campaigns.offers import OfferKind
from simulators.coordinates import coordinates, whitened
from simulators.priors import EffectPriors, draw_effects

KINDS = list(OfferKind)
COUPON = KINDS.index(OfferKind.COUPON)


def test_coordinates_are_uncorrelated_and_of_unit_variance() -> None:
    z = coordinates(draw_effects(EffectPriors(), 256, seed=1), COUPON, 200)
    assert torch.allclose(z.mean(dim=0), torch.zeros(z.shape[1], dtype=torch.float64), atol=1e-9)
    assert torch.allclose(z.T @ z / 199, torch.eye(z.shape[1], dtype=torch.float64), atol=1e-9)


def test_what_another_kind_does_sets_no_draws_apart() -> None:
    effects, other = draw_effects(EffectPriors(), 64, seed=1), draw_effects(EffectPriors(), 64, seed=2)
    gift = KINDS.index(OfferKind.GIFT)
    changed = effects.visit.clone()
    changed[:, gift] = other.visit[:, gift]
    mixed = replace(effects, visit=changed)
    assert torch.equal(coordinates(effects, COUPON, 64), coordinates(mixed, COUPON, 64))
    assert not torch.equal(coordinates(effects, gift, 64), coordinates(mixed, gift, 64))


def test_draws_begin_anew_where_there_are_fewer() -> None:
    z = coordinates(draw_effects(EffectPriors(), 64, seed=1), COUPON, 128)
    assert torch.allclose(z[:64], z[64:], atol=1e-12)


def test_equal_draws_have_no_coordinates() -> None:
    assert whitened(torch.ones(5, 3, dtype=torch.float64)).shape == (5, 0)


def test_a_column_that_says_what_another_said_is_left_out() -> None:
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert whitened(torch.cat([x, 3 * x[:, :1] + 1], dim=1)).shape == (50, 2)
