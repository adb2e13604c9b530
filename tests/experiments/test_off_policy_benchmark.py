"""The table of estimators and the plain one that the benchmark sets beside it tell the same."""

import numpy as np
import pandas as pd
import pytest

from evaluation.off_policy.reward_model import fit_reward
from evaluation.off_policy.rounds import condense
from evaluation.off_policy.table import Interval, estimate_all
from experiments.benchmarks import off_policy_pandas as plain
from experiments.benchmarks.off_policy import ACTIONS, measure_long, open_shop


def test_the_plain_table_has_the_same_values_and_limits_up_to_the_luck_of_resampling() -> None:
    shop = open_shop(5000, 1)
    log = shop.log(1)
    model, every = fit_reward(log, shop.features, 1), slice(0, 5000)
    rounds = pd.DataFrame({"action": log.action, "reward": log.reward, "pscore": log.pscore})
    frames = plain.PandasLog(rounds, pd.DataFrame(shop.policy(every)), pd.DataFrame(model(every)))
    theirs = plain.estimate_all(frames, 200, 0)
    ours = estimate_all(condense(log, shop.policy, model), Interval.BOOTSTRAP, 0, 200)
    assert list(theirs.index) == [str(name) for name in ours]
    for name, found in ours.items():
        value, lo, hi = theirs.loc[str(name)]
        assert found.value == pytest.approx(value, abs=1e-9)
        assert found.hi - found.lo == pytest.approx(hi - lo, rel=0.25)  # a 95 % quantile of 200 is known to 8 %


def test_a_long_log_is_drawn_and_judged_in_slices() -> None:
    shop = open_shop(40_000, 0)
    log, whole = shop.log(0), shop.behavior(slice(0, 40_000))
    assert np.allclose(log.pscore, whole[np.arange(40_000), log.action]) and whole.min() >= 0.2 / ACTIONS
    assert np.bincount(log.action) / 40_000 == pytest.approx(whole.mean(axis=0), abs=0.01)
    found = measure_long(20_000)
    assert found["lo"] < found["value"] < found["hi"] and found["before_gib"] <= found["peak_gib"]
