"""Nuisances: predictions come from other folds, and what is known of everybody is not drawn towards nothing."""

import numpy as np
import pytest

from simulators.effects.crossfit import cross_fit, curved, dummies, fold_of, logistic, ridge, sigmoid


def test_rare_events_keep_their_share_where_rows_of_a_group_are_few() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 60)
    happened = (rng.random(len(group)) < 0.06).astype(float)
    predicted = logistic()(dummies(group), happened)(dummies(group))
    assert predicted.mean() == pytest.approx(happened.mean(), rel=0.02)


@pytest.mark.parametrize("seed", [1, 3, 10, 17])
def test_rare_events_are_fitted_where_whole_newton_steps_run_away(seed: int) -> None:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(4000, 6))
    x = curved(
        np.concatenate([z, z[:, :3] + 0.1 * rng.normal(size=(4000, 3)), rng.exponential(size=(4000, 4)) ** 2], 1)
    )
    happened = (rng.random(4000) < sigmoid(-6 + 2 * z[:, 0])).astype(float)
    predicted = logistic(penalty=3.0)(x, happened)(x)
    beta = x.T @ (happened - predicted) / 3.0  # where the gradient is 0, penalty * beta is what is left of the score
    share = happened.mean()
    assert predicted == pytest.approx(sigmoid(np.log(share / (1 - share)) + x @ beta), abs=1e-4)


def test_a_ridge_on_groups_keeps_the_level_of_its_targets() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(40), 20)
    log_spend = np.stack([3.5 + 0.5 * rng.standard_normal(len(group)), -2.0 + rng.standard_normal(len(group))], axis=1)
    predicted = ridge()(dummies(group), log_spend)(dummies(group))
    assert predicted.mean(axis=0) == pytest.approx(log_spend.mean(axis=0), abs=1e-9)


def test_a_household_is_predicted_by_models_that_saw_nothing_of_it() -> None:
    cluster = np.repeat(np.arange(30), 4)
    own = np.random.default_rng(2).standard_normal(30)[cluster]
    predicted = cross_fit(ridge(1e-9), dummies(cluster), own, fold_of(cluster, 0), np.ones(len(cluster), dtype=bool))
    assert np.abs(np.corrcoef(predicted, own)[0, 1]) < 0.6
