"""Draws of the assumed effects have the means and spreads that the provenance table states."""

import pytest
import torch

from campaigns.errors import InputError
from simulators.pedigree import describe_priors
from simulators.priors import KINDS, EffectPriors, draw_effects
from simulators.provenance import Origin

DRAWS = 20_000
POSITIVE = ("spend", "redeem_slope", "fatigue", "reference_price", "stockpiling")


@pytest.mark.parametrize("priors", [EffectPriors(), EffectPriors(lift_scale=0.7, tiring_scale=1.3)])
def test_draws_have_the_means_and_spreads_that_are_described(priors: EffectPriors) -> None:
    drawn, rows = draw_effects(priors, DRAWS, seed=0), {row.name: row for row in describe_priors(priors)}
    held = rows.pop("visit_lean")
    assert drawn.lean is None and held.value == held.error == 0.0
    columns = {f"visit_lift.{kind.value}": drawn.visit[:, i] for i, kind in enumerate(KINDS) if i}
    columns |= {f"redeem_shift.{kind.value}": drawn.redeem_shift[:, i] for i, kind in enumerate(KINDS) if i}
    columns |= {"spend_elasticity": drawn.spend, "redeem_value_slope": drawn.redeem_slope}
    columns |= {name: getattr(drawn, name) for name in rows if hasattr(drawn, name)}
    assert columns.keys() == rows.keys()
    for name, values in columns.items():
        spread = float(values.std())
        if name not in ("salience", "carryover"):  # their value is the middle draw, on the scale of a logit
            assert abs(float(values.mean()) - rows[name].value) <= 4 * spread / DRAWS**0.5, name
        assert float(values.median()) <= rows[name].value * 1.02, name
        assert spread == pytest.approx(rows[name].error, rel=0.05), name


def test_lifts_and_costs_of_repetition_are_positive_and_shares_are_shares() -> None:
    drawn = draw_effects(EffectPriors(), DRAWS, seed=1)
    assert (drawn.visit[:, 1:] > 0).all()
    for name in POSITIVE:
        assert (getattr(drawn, name) > 0).all(), name
    for share in (drawn.salience, drawn.carryover):
        assert ((share > 0) & (share < 1)).all()


def test_no_offer_has_no_effect() -> None:
    drawn = draw_effects(EffectPriors(), 300, seed=1)
    assert (drawn.visit[:, 0] == 0).all()
    assert (drawn.redeem_shift[:, 0] == 0).all()


def test_the_same_seed_gives_the_same_draws_and_another_one_others() -> None:
    first, again, other = (draw_effects(EffectPriors(), 300, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(first.visit, again.visit)
    assert torch.equal(first.carryover, again.carryover)
    assert not torch.equal(first.visit, other.visit)


def test_a_prior_without_lift_gives_none() -> None:
    drawn = draw_effects(EffectPriors(lift_scale=0.0), 300, seed=1)
    assert (drawn.visit == 0).all()
    assert (drawn.spend == 0).all()


def test_each_customer_lives_under_its_own_draw() -> None:
    drawn = draw_effects(EffectPriors(), 300, seed=1)
    taken = drawn.take(torch.tensor([7, 0, 7]))
    assert taken.n_draws == 3
    assert torch.equal(taken.visit[0], drawn.visit[7])
    assert torch.equal(taken.fatigue, drawn.fatigue[[7, 0, 7]])


def test_every_assumed_effect_says_that_it_is_and_where_it_comes_from() -> None:
    for row in describe_priors(EffectPriors()):
        assert row.origin is Origin.ASSUMED
        assert row.source.strip()
        assert row.unit.strip()


@pytest.mark.parametrize("wrong", [{"fatigue": -0.1}, {"visit_gift": 6.0}, {"salience": 1.0}, {"carryover": 0.0}])
def test_an_impossible_prior_is_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=rf"^market\.effects\.{next(iter(wrong))} is "):
        EffectPriors(**wrong)
