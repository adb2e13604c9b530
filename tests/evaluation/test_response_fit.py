"""How well predictions of visits are, on rows whose answer is known."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evaluation.response_fit import (
    Predictions,
    calibration_slope,
    deciles,
    judge_predictions,
    own_mean_rate,
    weighted_auc,
)

CUSTOMERS, WEEKS = 400, 10


def truth(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return customers, the chance of each row and what came of it."""
    rng = np.random.default_rng(seed)
    customer = np.repeat(np.arange(CUSTOMERS), WEEKS)
    chance = np.clip(rng.beta(1.0, 1.2, CUSTOMERS)[customer], 0.02, 0.98)
    return customer, chance, (rng.random(len(customer)) < chance).astype(float)


def rows(predicted: np.ndarray | None = None, seed: int = 0) -> Predictions:
    customer, chance, outcome = truth(seed)
    reference = np.full(len(outcome), outcome.mean())
    return Predictions(customer, outcome, chance if predicted is None else predicted, reference)


def test_the_true_chances_are_judged_calibrated_and_better_than_the_overall_rate() -> None:
    judged = judge_predictions(rows(), resamples=60)
    assert judged is not None
    customer, chance, outcome = truth()
    assert judged["auc"] == pytest.approx(roc_auc_score(outcome, chance))
    assert judged["auc_lo"] < judged["auc"] < judged["auc_hi"]
    assert judged["reference_auc"] == 0.5
    assert judged["slope"] == pytest.approx(1.0, abs=0.15)
    loss = -(outcome * np.log(chance) + (1 - outcome) * np.log(1 - chance))
    assert judged["log_loss"] == pytest.approx(loss.mean())
    gain = judged["reference_log_loss"] - judged["log_loss"]
    assert judged["log_loss_gain"] == pytest.approx(gain)
    assert 0 < judged["log_loss_gain_lo"] < gain < judged["log_loss_gain_hi"]
    assert (judged["rows"], judged["customers"]) == (CUSTOMERS * WEEKS, len(np.unique(customer)))


def test_the_interval_of_the_gain_counts_the_rows_of_a_customer_as_one() -> None:
    judged, customer = judge_predictions(rows(), resamples=5), truth()[0]
    assert judged is not None
    again = rows()
    twice = Predictions(*(np.concatenate([column, column]) for column in (customer, again.outcome, again.predicted, again.reference)))  # fmt: skip  # noqa: E501
    doubled = judge_predictions(twice, resamples=5)
    assert doubled is not None
    width = judged["log_loss_gain_hi"] - judged["log_loss_gain_lo"]
    assert doubled["log_loss_gain_hi"] - doubled["log_loss_gain_lo"] == pytest.approx(width)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_outcomes_of_one_kind_are_not_judged(outcome: float) -> None:
    some = rows()
    same = Predictions(some.customer, np.full(len(some.outcome), outcome), some.predicted, some.reference)
    assert judge_predictions(same) is None


def test_the_same_seed_gives_the_same_interval() -> None:
    first, again, other = (judge_predictions(rows(), seed=seed, resamples=20) for seed in (1, 1, 2))
    assert first == again
    assert first is not None
    assert other is not None
    assert first["auc_lo"] != other["auc_lo"]


@pytest.mark.parametrize("stretch", [0.5, 1.0, 2.0])
def test_the_slope_undoes_predictions_that_are_too_bold_or_too_timid(stretch: float) -> None:
    _, chance, outcome = truth(3)
    logit = stretch * np.log(chance / (1 - chance))
    assert calibration_slope(outcome, 1 / (1 + np.exp(-logit))) * stretch == pytest.approx(1.0, abs=0.15)


def test_deciles_are_groups_of_equal_size_from_least_likely_to_most() -> None:
    predicted, observed = np.arange(100.0)[::-1] / 100, (np.arange(100)[::-1] >= 50).astype(float)
    parts = deciles(predicted, observed)
    assert [part["n"] for part in parts] == [10] * 10
    assert [part["predicted"] for part in parts] == pytest.approx(np.arange(0.045, 1.0, 0.1))
    assert [part["observed"] for part in parts] == [0.0] * 5 + [1.0] * 5
    mixed = deciles(np.zeros(40), np.tile([0.0, 1.0], 20), bins=1)[0]
    error = np.tile([0.0, 1.0], 20).std(ddof=1) / 40**0.5
    assert (mixed["lo"], mixed["hi"]) == pytest.approx((0.5 - 1.959964 * error, 0.5 + 1.959964 * error))


def test_bins_of_one_row_are_left_out() -> None:
    assert deciles(np.arange(5.0), np.ones(5)) == []


def test_a_customer_s_own_rate_is_pulled_a_little_to_that_of_all() -> None:
    past = np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    assert own_mean_rate(past, 2) == pytest.approx([3.5 / 4, 3.5 / 4, 0.5 / 4, 0.5 / 4])


def test_the_auc_of_a_resample_is_that_of_sklearn_with_ties_and_absent_customers() -> None:
    rng = np.random.default_rng(4)
    predicted = rng.integers(20, size=400) / 20.0
    outcome, weight = (rng.random(400) < predicted).astype(float), rng.poisson(1.0, 400).astype(float)
    _, rank = np.unique(predicted, return_inverse=True)
    expected = roc_auc_score(outcome, predicted, sample_weight=weight)
    assert weighted_auc(rank, outcome, weight) == pytest.approx(expected, abs=1e-12)
