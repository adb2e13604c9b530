"""Who answers more: leans of known size are found, none is found where there is none, and the mean effect stays."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from campaigns.errors import InputError
from history.features import FEATURES
from history.panel import build_panel
from simulators.effects.crossfit import Floats, sigmoid
from simulators.effects.leaning import LeanEstimate, estimate_leans, lean_on
from simulators.effects.logged_offers import estimate_offers
from simulators.effects.offer_log import offer_rows
from simulators.effects.posterior import NOTHING, Estimates, posterior
from simulators.effects.shelf import NO_SHELF, ShelfEffects
from simulators.effects.visit_score import VisitProblem
from simulators.lean import COLUMNS, FARTHEST, LEANS_ON, MOST, Lean
from simulators.pedigree import describe_priors
from simulators.priors import KINDS, LEAN_SPREAD, EffectPriors, draw_effects
from simulators.reference import reference_terms
from simulators.synthetic.log import QUIET_WEEKS, live_through
from simulators.synthetic.truth import SyntheticTruth, open_shop
from simulators.worlds import MarketTerms

THETA = 0.5
INFORMED = EffectPriors(visit_coupon=THETA, spreads={"visit_coupon": 0.1})
NO_SHELF_AT_ALL = ShelfEffects(NO_SHELF, None, None, None, 0.0, {})


def campaign_of(lean: Floats, seed: int, bias: float = 1.0, n: int = 12_000) -> tuple[VisitProblem, Floats]:
    """Return a log whose nuisances are known and whose offers go to the busy, customers seen four times; and features.

    Args:
        lean: On the features, which are standard normal, shape (3,).
        seed: Of all luck.
        bias: How much likelier the busy are sent an offer [logit per standard deviation].
        n: Customer-weeks.
    """
    rng = np.random.default_rng(seed)
    known = np.repeat(rng.normal(size=(n // 4, len(LEANS_ON))), 4, axis=0)
    busy = known[:, LEANS_ON.index("visit_rate_13w")]
    alone, chance = sigmoid(busy), sigmoid(-1.0 + bias * busy)
    lift = THETA * np.clip(1.0 + known @ lean, 0.0, MOST)
    sent = rng.random(n) < chance
    lifted = sigmoid(busy + lift)
    visited = rng.random(n) < np.where(sent, lifted, alone)
    missed = chance * (1 - lifted) / (chance * (1 - lifted) + (1 - chance) * (1 - alone))
    x = np.zeros((n, len(FEATURES)))
    x[:, COLUMNS] = known
    return VisitProblem(
        dose=sent[:, None].astype(float),
        expected=missed[:, None],
        baseline=alone,
        visited=visited.astype(float),
        contacts=np.zeros(n),
        customer=np.repeat(np.arange(n // 4), 4),
    ), x


def found_in(problem: VisitProblem, x: Floats) -> LeanEstimate:
    theta, _ = problem.solve(0.0)
    found = estimate_leans(problem, x, ["coupon"], theta, 0.0)
    assert found is not None
    return found


def table(priors: EffectPriors, part: str) -> Floats:
    return np.array([priors.leans[f"coupon.{name}"][part] for name in LEANS_ON])


@pytest.mark.parametrize("lean", [(0.4, 0.0, 0.0), (0.0, -0.2, 0.3), (0.0, 0.0, 0.0)])
def test_leans_lie_in_their_intervals_and_a_strong_one_is_told_from_none(lean: tuple[float, float, float]) -> None:
    truth = np.array(lean)
    distances = []
    for seed in range(12):
        learned = lean_on(INFORMED, found_in(*campaign_of(truth, seed)))
        distances.append((table(learned, "lean") - truth) / table(learned, "error"))
        strong = np.abs(truth) >= 0.4
        assert (np.abs(table(learned, "lean")) > 2 * table(learned, "error"))[strong].all()
        assert (table(learned, "error") < LEAN_SPREAD / 2).all()
    away = np.array(distances)
    assert np.abs(away).max() < 4.0
    assert (np.abs(away) < 1.96).mean() >= 0.95 - 3 * (0.95 * 0.05 / away.size) ** 0.5


@pytest.mark.parametrize("bias", [-2.0, 0.0, 2.0])
def test_the_mean_effect_stays_what_the_estimate_made_of_it(bias: float) -> None:
    problem, x = campaign_of(np.array([0.0, 0.0, 0.5]), seed=1, bias=bias, n=40_000)
    learned = lean_on(INFORMED, found_in(problem, x))
    draws = draw_effects(replace(learned, leans={k: {**v, "error": 0.0} for k, v in learned.leans.items()}), len(x), 0)
    assert draws.lean is not None
    coupon = [kind.value for kind in KINDS].index("coupon")
    factor = draws.lean.factor(torch.from_numpy(x).float())[:, [coupon]].double().numpy()
    if bias == 0.0:  # the log speaks of everybody alike, but for the weight of a visit's variance
        assert factor.mean() == pytest.approx(1.0, abs=0.05)
    leaning = replace(problem, dose=problem.dose * factor, expected=problem.expected * factor)
    (before,), (after,) = problem.solve(0.0)[0], leaning.solve(0.0)[0]
    assert after == pytest.approx(before, rel=0.08)  # a logit is no straight line


def test_few_offers_leave_the_prior_around_no_lean() -> None:
    problem, x = campaign_of(np.array([0.4, 0.0, 0.0]), seed=2, n=80)
    learned = lean_on(INFORMED, found_in(problem, x))
    assert (table(learned, "error") > 0.8 * LEAN_SPREAD).all()
    assert (np.abs(table(learned, "lean")) < LEAN_SPREAD).all()


def test_where_nobody_visits_or_nothing_is_believed_nothing_is_learned() -> None:
    problem, x = campaign_of(np.zeros(3), seed=3, n=400)
    silent = replace(problem, visited=np.zeros_like(problem.visited))
    assert estimate_leans(silent, x, ["coupon"], np.array([THETA]), 0.0) is None
    assert lean_on(INFORMED, None) is INFORMED
    assumed = EffectPriors()
    assert lean_on(assumed, found_in(problem, x)) is assumed


def test_a_feature_that_never_differs_is_not_leant_on() -> None:
    problem, x = campaign_of(np.array([0.4, 0.0, 0.0]), seed=4)
    x[:, COLUMNS[1]] = 0.7
    learned = lean_on(INFORMED, found_in(problem, x))
    assert learned.leans[f"coupon.{LEANS_ON[1]}"]["lean"] == pytest.approx(0.0, abs=1e-6)
    assert learned.leans[f"coupon.{LEANS_ON[1]}"]["error"] == pytest.approx(LEAN_SPREAD, rel=1e-3)
    assert learned.leans[f"coupon.{LEANS_ON[0]}"]["lean"] > 0.2


def test_a_factor_is_what_a_hand_computes_held_between_nothing_and_its_cap() -> None:
    slope, kinds = torch.zeros(6, len(KINDS), 3), len(KINDS)
    slope[:, 2, 0] = torch.tensor([0.4, 0.4, 0.4, -0.6, 5.0, 0.0])
    lean = Lean(slope, torch.full((kinds, 3), 0.5), torch.full((kinds, 3), 0.2))
    seen = torch.zeros(6, len(FEATURES))
    seen[:, COLUMNS[0]] = torch.tensor([0.5, 0.7, 9.0, 9.0, 9.0, 9.0])
    expected = torch.tensor([1.0, 1.4, 1.0 + 0.4 * FARTHEST, 0.0, MOST, 1.0])
    torch.testing.assert_close(lean.factor(seen)[:, 2], expected)
    assert (lean.factor(seen)[:, [0, 1, 3, 4, 5]] == 1.0).all()


def test_leans_survive_writing_and_what_is_described_is_what_is_drawn() -> None:
    learned = lean_on(INFORMED, found_in(*campaign_of(np.array([0.4, -0.2, 0.0]), seed=5)))
    terms = MarketTerms.from_dict(json.loads(json.dumps(replace(reference_terms(), priors=learned).to_dict())))
    drawn, back = (draw_effects(priors, 20_000, 3) for priors in (learned, terms.priors))
    assert drawn.lean is not None and back.lean is not None
    assert torch.equal(drawn.lean.slope, back.lean.slope)
    rows = {row.name: row for row in describe_priors(learned)}
    for place, name in enumerate(LEANS_ON):
        row, slope = rows[f"visit_lean.coupon.{name}"], drawn.lean.slope[:, 2, place]
        assert row.origin.value == "estimate+prior"
        assert float(slope.mean()) == pytest.approx(row.value, abs=4 * row.error / 20_000**0.5)
        assert float(slope.std()) == pytest.approx(row.error, rel=0.05)
    there = drawn.to("meta").lean
    assert there is not None
    assert {there.slope.device.type, there.centre.device.type, there.scale.device.type} == {"meta"}
    without = draw_effects(replace(learned, leans={}), 20_000, 3)
    assert all(torch.equal(one, other) for one, other in zip(drawn.sizes(), without.sizes(), strict=True))


@pytest.mark.parametrize(
    "wrong",
    [
        {"none.promo_share": {"lean": 0.1, "error": 0.1, "centre": 0.0, "scale": 1.0}},
        {"coupon.shoe_size": {"lean": 0.1, "error": 0.1, "centre": 0.0, "scale": 1.0}},
        {"coupon.promo_share": {"lean": 0.1, "error": 0.1, "centre": 0.0}},
        {"coupon.promo_share": {"lean": float("nan"), "error": 0.1, "centre": 0.0, "scale": 1.0}},
        {"coupon.promo_share": {"lean": 0.1, "error": -0.1, "centre": 0.0, "scale": 1.0}},
        {"coupon.promo_share": {"lean": 0.1, "error": 0.1, "centre": 0.0, "scale": 0.0}},
    ],
)
def test_a_lean_that_makes_no_sense_is_refused_by_name(wrong: dict[str, dict[str, float]]) -> None:
    with pytest.raises(InputError, match=r"^market\.effects\.leans"):
        EffectPriors(leans=wrong)


@pytest.mark.slow
@pytest.mark.parametrize(("heterogeneity", "seed"), [(0.6, 1), (0.6, 2), (0.6, 3), (0.0, 1), (0.0, 2)])
def test_a_shop_whose_promotion_buyers_answer_more_is_seen_through(heterogeneity: float, seed: int) -> None:
    truth = SyntheticTruth(seed=seed, customers=2000, weeks=34, heterogeneity=heterogeneity, predictable=1.0)
    shop = open_shop(truth)
    log = live_through(shop)
    panel, market = build_panel(log.events), shop.market
    everyone, weeks = np.arange(truth.customers), range(QUIET_WEEKS, truth.weeks)
    rows = offer_rows(panel, log.targeting, market.catalog, market.categories, everyone, weeks)
    believed = posterior(EffectPriors(), Estimates(NOTHING, estimate_offers(rows, 0.15, 0.06, 0), NO_SHELF_AT_ALL))
    slope = heterogeneity * 2 * 3**0.5 * 12**-0.5  # of a factor that rises evenly with a habit uniform on [0, 1]
    for name, expected in zip(LEANS_ON, (slope, 0.0, 0.0), strict=True):
        one = believed.priors.leans[f"coupon.{name}"]
        assert abs(one["lean"] - expected) < 3 * one["error"], name
