"""Rankings by uplift: a good one beats chance, a blind one does not, and rows of a customer are resampled together."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.planner_baseline import Weeks, compare_models
from evaluation.uplift import Ranked, judge_ranking

RNG = np.random.default_rng(0)
EFFECT = RNG.normal(1.0, 1.0, 1500)
SCORE = EFFECT + RNG.normal(0.0, 2.0, 1500)
GOOD = Ranked(np.arange(1500), EFFECT, SCORE)


def test_a_good_ranking_beats_chance_and_its_reverse_loses() -> None:
    good, bad = judge_ranking(GOOD), judge_ranking(replace(GOOD, predicted=-EFFECT))
    assert good is not None and bad is not None
    assert good["qini"]["lo"] > 0 > bad["qini"]["hi"]
    assert good["auuc"]["value"] > bad["auuc"]["value"]


def test_a_blind_ranking_is_not_told_from_chance() -> None:
    blind = judge_ranking(replace(GOOD, predicted=np.random.default_rng(9).normal(size=1500)))
    assert blind is not None
    assert blind["qini"]["lo"] < 0 < blind["qini"]["hi"]


def test_the_curve_starts_at_nothing_and_ends_at_the_mean_effect() -> None:
    judged = judge_ranking(GOOD)
    assert judged is not None
    assert judged["gain"][0] == 0.0
    assert judged["gain"][-1] == pytest.approx(SCORE.mean())
    assert judged["random"][-1] == pytest.approx(SCORE.mean())


def test_the_area_is_that_of_a_two_step_curve() -> None:
    # The better half gains 2 each, the other half nothing: the curve rises to 1 at a half and stays, area 3/4.
    score = np.repeat([2.0, 0.0], 50)
    judged = judge_ranking(Ranked(np.arange(100), score, score))
    assert judged is not None
    assert judged["auuc"]["value"] == pytest.approx(0.75, abs=1e-9)
    assert judged["qini"]["value"] == pytest.approx(0.25, abs=1e-9)


def test_a_perfect_ordering_of_even_effects_and_its_reverse_have_the_areas_of_two_parabolas() -> None:
    # Effects spread evenly over [-1, 1], best first: the gain of the first share s is s (1 - s), its area 1/6; the
    # reverse is its mirror image. The mean effect is 0, so that both areas are also the Qini coefficients.
    n = 4200
    effect = 1.0 - 2.0 * (np.arange(n) + 0.5) / n
    for predicted, area in ((effect, 1 / 6), (-effect, -1 / 6)):
        judged = judge_ranking(Ranked(np.arange(n), predicted, effect), resamples=2)
        assert judged is not None
        trapezoids = 1 / (6 * 20**2)  # of a parabola with curvature 2 over 20 steps: what they cut off
        expected = area - np.sign(area) * trapezoids * 1.0
        assert judged["auuc"]["value"] == pytest.approx(expected, abs=1e-6)
        assert judged["qini"]["value"] == pytest.approx(expected, abs=1e-6)


def test_rows_of_one_customer_count_as_one() -> None:
    twice = Ranked(np.tile(np.arange(1500), 4), np.tile(EFFECT, 4), np.tile(SCORE, 4))
    once, repeated = judge_ranking(GOOD), judge_ranking(twice)
    assert once is not None and repeated is not None
    wide, same = (j["qini"]["hi"] - j["qini"]["lo"] for j in (once, repeated))
    assert same == pytest.approx(wide, rel=0.15)


def test_too_few_rows_are_not_judged() -> None:
    assert judge_ranking(Ranked(np.arange(5), EFFECT[:5], SCORE[:5])) is None


def weeks(n: int, seed: int) -> Weeks:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    visited = rng.random(n) < 1 / (1 + np.exp(-1.5 * x[:, 0]))
    return Weeks(x, visited, visited * np.exp(3.0 + 0.5 * x[:, 1]))


def test_trees_are_judged_beside_what_they_are_compared_with() -> None:
    train, test = weeks(4000, 0), weeks(2000, 1)
    flat = (np.full(2000, train.visited.mean()), np.full(2000, train.spend[train.visited].mean()))
    rows = {row["model"]: row for row in compare_models(train, test, {"flat": flat}, seed=0)}
    assert set(rows) == {"flat", "boosted trees", "random forest"}
    for name in ("boosted trees", "random forest"):
        assert rows[name]["auc"] > 0.75 > 0.55 > rows["flat"]["auc"]
        assert rows[name]["log_loss"] < rows["flat"]["log_loss"]
        assert rows[name]["spend_error"] < rows["flat"]["spend_error"]


def test_a_shop_that_nobody_visits_is_compared_without_trees() -> None:
    train, test = weeks(500, 0), weeks(300, 1)
    none = Weeks(train.features, train.visited & False, train.spend * 0)
    empty = Weeks(test.features, test.visited & False, test.spend * 0)
    flat = (np.full(300, 0.1), np.full(300, 20.0))
    (row,) = compare_models(none, empty, {"flat": flat}, seed=0)
    assert row["auc"] is None and row["spend_error"] is None
