"""Nuisances: predictions come from other folds, and what is known of everybody is not drawn towards nothing."""

import numpy as np
import pytest

from simulators.effects.crossfit import cross_fit, dummies, fold_of, logistic, ridge


def test_rare_events_keep_their_share_where_rows_of_a_group_are_few() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 60)
    happened = (rng.random(len(group)) < 0.06).astype(float)
    predicted = logistic()(dummies(group), happened)(dummies(group))
    assert predicted.mean() == pytest.approx(happened.mean(), rel=0.02)


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
