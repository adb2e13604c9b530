"""Estimates meet priors: known answers, what widens, what stays, and what a market then draws."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.errors import InputError
from simulators.effects.audit import BundleAudit
from simulators.effects.inference import Effect
from simulators.effects.logged_offers import NONE, OfferEffects
from simulators.effects.posterior import NOTHING, Estimates, bundle_factor, combine, posterior
from simulators.effects.shelf import NO_SHELF, ShelfEffects
from simulators.lift import reached_log, reached_share
from simulators.pedigree import describe_priors
from simulators.priors import KINDS, EffectPriors, draw_effects
from simulators.provenance import Origin

NO_SHELF_AT_ALL = ShelfEffects(NO_SHELF, None, None, None, 0.0, {})
UNKNOWN = Estimates(NOTHING, NONE, NO_SHELF_AT_ALL)
COUPON = 1 + [kind.value for kind in KINDS[1:]].index("coupon")


def effect(value: float, error: float) -> Effect:
    return Effect(value, error, value - 1.96 * error, value + 1.96 * error, 500, 5000)


def logged(value: float = 0.3, error: float = 0.02) -> Estimates:
    offers = OfferEffects(
        "offer effects: estimated", {"coupon": effect(value, error)}, {}, effect(0.4, 0.05), effect(0.2, 0.05),
        {"coupon": (1.0, 2.0)}, {"coupon": 900},
    )  # fmt: skip
    return Estimates(NOTHING, offers, NO_SHELF_AT_ALL)


def test_a_precise_estimate_gives_the_conjugate_answer_on_the_log_scale() -> None:
    prior, spread, estimate, error = 0.2, 0.6, 0.3, 0.015
    variance, noise = np.log1p(spread**2), (error / estimate) ** 2
    share = variance / (variance + noise)
    middle = (1 - share) * (np.log(prior) - variance / 2) + share * np.log(estimate)
    left = variance * noise / (variance + noise)
    mean, sd = combine(prior, spread, estimate, error, map_spread=0.0)
    assert mean == pytest.approx(np.exp(middle + left / 2), rel=0.01)
    assert sd / mean == pytest.approx(np.sqrt(np.expm1(left)), rel=0.02)


def test_an_estimate_that_says_nothing_leaves_the_prior() -> None:
    mean, sd = combine(0.2, 0.6, estimate=-3.0, error=500.0, map_spread=0.0)
    assert (mean, sd) == (pytest.approx(0.2, rel=1e-3), pytest.approx(0.12, rel=1e-2))


@settings(deadline=None, max_examples=60)
@given(
    prior=st.floats(0.01, 2.0), spread=st.floats(0.1, 1.0), estimate=st.floats(-1.0, 2.0), error=st.floats(0.0, 1.0),
    width=st.floats(0.0, 1.0),
)  # fmt: skip
def test_a_posterior_is_positive_and_finite_whatever_the_estimate(
    prior: float, spread: float, estimate: float, error: float, width: float
) -> None:
    mean, sd = combine(prior, spread, estimate, error, width)
    assert 0 < mean < np.inf
    assert 0 < sd < np.inf


@settings(deadline=None, max_examples=40)
@given(prior=st.floats(0.05, 1.0), ratio=st.floats(0.5, 2.0), error=st.floats(0.01, 0.3), width=st.floats(0.1, 1.0))
def test_an_assumed_map_pulls_less_and_widens(prior: float, ratio: float, error: float, width: float) -> None:
    sure = combine(prior, 0.5, ratio * prior, error * prior, 0.0)
    mapped = combine(prior, 0.5, ratio * prior, error * prior, width)
    assert mapped[1] / mapped[0] >= 0.999 * sure[1] / sure[0]


def test_without_anything_learned_the_draws_are_those_of_the_priors_bit_by_bit() -> None:
    priors = EffectPriors()
    believed = posterior(priors, UNKNOWN)
    before, after = draw_effects(priors, 300, seed=3), draw_effects(believed.priors, 300, seed=3)
    assert after.reach is None and after.lean is None and after.path is None
    for entry in dataclasses.fields(before):
        if entry.name not in ("reach", "lean", "path"):
            assert torch.equal(getattr(before, entry.name), getattr(after, entry.name)), entry.name
    assert {belief.origin for belief in believed.beliefs} == {"assumed"}
    assert "the history has no campaign" in believed.priors.notes["visit_coupon"]


def test_what_is_not_identified_moves_nothing() -> None:
    verdict = "coupon effect: not identified: placebo of visits fails the equivalence test; the prior stands"
    refused = BundleAudit(verdict, False, effect(0.2, 0.001), 0.6, {})
    believed = posterior(EffectPriors(), dataclasses.replace(UNKNOWN, bundles=refused))
    assert believed.priors.visit_coupon == EffectPriors().visit_coupon
    assert believed.priors.spreads == {}
    assert believed.priors.notes["visit_coupon"] == verdict


def test_an_identified_bundle_is_mapped_to_one_coupon_and_widened() -> None:
    audit = BundleAudit("identified", True, effect(0.02, 0.002), 0.5, {})
    estimates = Estimates(audit, NONE, NO_SHELF_AT_ALL, coupon_value=1.0, coupons_used=2.0, bundle_weeks=1.0)
    assert bundle_factor(estimates, salience=0.6) == pytest.approx(1 / (0.25 * np.log(3)))
    believed = posterior(EffectPriors(), estimates)
    (coupon,) = (belief for belief in believed.beliefs if belief.name == "visit_coupon")
    assert coupon.estimate == pytest.approx(0.02 / (0.25 * np.log(3)))
    assert coupon.error / coupon.mean > 0.4  # the map's factor of two stays, however precise the bundle
    assert believed.priors.most_logged["visit_coupon"] == 2.0


def test_draws_follow_the_posterior_of_a_log_that_names_its_offers() -> None:
    believed = posterior(EffectPriors(), logged())
    drawn = draw_effects(believed.priors, 20_000, seed=0)
    coupon = drawn.visit[:, COUPON]
    (belief,) = (b for b in believed.beliefs if b.name == "visit_coupon")
    assert belief.origin == "estimate+prior"
    assert float(coupon.mean()) == pytest.approx(belief.mean, rel=0.01)
    assert float(coupon.std()) == pytest.approx(belief.error, rel=0.05)
    assert belief.error < 0.03 < belief.prior_error
    other = draw_effects(EffectPriors(), 20_000, seed=0).visit[:, 1]
    assert torch.equal(drawn.visit[:, 1], other)


def test_provenance_names_estimate_and_prior() -> None:
    rows = {row.name: row for row in describe_priors(posterior(EffectPriors(), logged()).priors)}
    row = rows["visit_lift.coupon"]
    assert row.origin is Origin.COMBINED
    assert "estimate 0.3" in row.source and "prior: Venkatesan" in row.source
    assert rows["visit_lift.gift"].origin is Origin.ASSUMED
    assert rows["spend_elasticity"].origin is Origin.COMBINED


def test_a_judge_that_is_stressed_stays_stressed_after_learning() -> None:
    stressed = posterior(EffectPriors(lift_scale=0.5), logged()).priors
    plain = posterior(EffectPriors(), logged()).priors
    halved, whole = (draw_effects(priors, 400, seed=1).visit[:, COUPON] for priors in (stressed, plain))
    torch.testing.assert_close(halved, 0.5 * whole)


def test_effects_are_less_sure_beyond_what_was_ever_offered_and_rise_all_the_same() -> None:
    drawn = draw_effects(posterior(EffectPriors(), logged()).priors, 4000, seed=0)
    kind = torch.full((4000, 1), COUPON)
    inside, steps = torch.tensor([1.0, 1.5, 2.0]), torch.tensor([0.0, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 9.0, 20.0])

    def lift(saving: float) -> torch.Tensor:
        return drawn.visit[:, COUPON] * reached_log(drawn.reach, kind, torch.full((4000,), saving))

    def unsure(saving: float) -> float:
        values = lift(saving)
        return float(values.std() / values.mean())

    narrow = [unsure(float(saving)) for saving in inside]
    assert max(narrow) - min(narrow) < 1e-3
    beyond = [unsure(saving) for saving in (2.5, 5.0, 20.0)]
    below = [unsure(saving) for saving in (0.8, 0.4, 0.1)]
    assert narrow[0] < beyond[0] < beyond[1] < beyond[2]
    assert narrow[0] < below[0] < below[1] < below[2]
    path = torch.stack([lift(float(saving)) for saving in steps])
    assert (path.diff(dim=0) >= 0).all()
    assert (path[0] == 0).all()


def test_a_kind_that_was_never_logged_has_no_support_and_its_wide_prior() -> None:
    drawn = draw_effects(posterior(EffectPriors(), logged()).priors, 500, seed=0)
    saving = torch.linspace(0.0, 30.0, 500)
    kind = torch.ones(500, 1, dtype=torch.int64)
    torch.testing.assert_close(reached_log(drawn.reach, kind, saving), torch.log1p(saving))


def test_shares_deeper_than_any_seen_are_less_sure() -> None:
    shelf = ShelfEffects("shelf effects: visible", effect(0.5, 0.05), None, None, 0.3, {})
    drawn = draw_effects(posterior(EffectPriors(), Estimates(NOTHING, NONE, shelf)).priors, 2000, seed=0)
    seen, deep = (reached_share(drawn.reach, torch.full((2000,), share)) for share in (0.3, 0.6))
    assert float(seen.std()) < 1e-6 < float(deep.std())
    assert (deep >= seen).all()
    assert torch.equal(reached_share(None, seen), seen)


@pytest.mark.parametrize("name", ["fatigue", "reference_price", "stockpiling"])
def test_each_cost_of_repetition_can_be_switched_off_alone(name: str) -> None:
    off = draw_effects(EffectPriors(**{f"{name}_on": False}), 200, seed=2)
    on = draw_effects(EffectPriors(), 200, seed=2)
    assert (getattr(off, name) == 0).all()
    for other in {"fatigue", "reference_price", "stockpiling", "spend"} - {name}:
        assert torch.equal(getattr(off, other), getattr(on, other))


def test_draws_taken_per_customer_keep_their_reach() -> None:
    drawn = draw_effects(posterior(EffectPriors(), logged()).priors, 50, seed=0)
    taken = drawn.take(torch.tensor([7, 7, 3]))
    assert taken.reach is not None and drawn.reach is not None
    assert torch.equal(taken.reach.stretch, drawn.reach.stretch[[7, 7, 3]])


def test_a_table_of_spreads_that_names_no_effect_is_refused() -> None:
    with pytest.raises(InputError, match="visit_cupon"):
        EffectPriors(spreads={"visit_cupon": 0.2})
    with pytest.raises(InputError, match="not negative"):
        EffectPriors(spreads={"visit_coupon": -0.2})
