import numpy as np
import pytest

from evaluation.lifetime import crps, cumulate, judge_quantiles, rank_correlation


def test_a_forecast_of_one_number_scores_its_absolute_error() -> None:
    truth = np.array([3.0, 10.0, 0.0])
    point = np.array([5.0, 6.0, 0.0])
    assert crps(np.repeat(point[:, None], 20, axis=1), truth) == pytest.approx([2.0, 4.0, 0.0])


def test_the_score_of_a_uniform_forecast_is_the_known_integral() -> None:
    """For a uniform forecast on [0, 1] and truth y the CRPS is y^3/3 + (1-y)^3/3."""
    level = (np.arange(400) + 0.5) / 400
    assert crps(level[None], np.array([0.3]))[0] == pytest.approx((0.3**3 + 0.7**3) / 3, abs=1e-4)


def test_a_true_forecast_is_calibrated_and_beats_a_wrong_one() -> None:
    rng = np.random.default_rng(0)
    mean = rng.gamma(2.0, 50.0, 4000)
    draws = mean[:, None] * rng.gamma(4.0, 0.25, (1, 4000))
    quantiles = np.quantile(draws, (np.arange(20) + 0.5) / 20, axis=1).T
    truth = mean * rng.gamma(4.0, 0.25, 4000)
    judged = judge_quantiles(quantiles, naive=1.6 * mean, truth=truth)
    assert judged["gain"]["lo"] > 0 and judged["crps_gain"]["lo"] > 0
    assert judged["coverage"]["lo"] <= 0.95 <= judged["coverage"]["hi"]
    assert judged["deciles_inside"] >= 8


def test_added_up_spend_ends_at_the_mean_total() -> None:
    spend = np.array([[1.0, 2.0], [3.0, 6.0]])
    assert [week["observed"] for week in cumulate(spend)] == [2.0, 6.0]


def test_a_constant_forecast_ranks_nobody() -> None:
    assert rank_correlation(np.ones(5), np.arange(5.0)) == 0.0
