"""What must not matter is found where it does; an attribute is found where offers tell it, and noise is not."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from campaigns.decision import Context
from campaigns.errors import InputError
from evaluation.fairness.groups import Grouping
from evaluation.fairness.proxy import told_by
from evaluation.fairness.twins import twin_distances
from tests.agents.market import LAYOUT, draw_context

NAMES = LAYOUT.feature_names


class By:
    """Gives the first two offers by one feature."""

    def __init__(self, column: int) -> None:
        self._column = column

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        dist = torch.zeros_like(context.mask, dtype=torch.float32)
        share = torch.sigmoid(context.features[:, self._column])
        dist[:, 0], dist[:, 1] = share, 1.0 - share
        return dist


def test_twins_find_a_feature_that_a_policy_uses_and_no_other() -> None:
    context = draw_context(500, seed=1)
    found = twin_distances(By(0), context, LAYOUT, list(NAMES[:2]), seed=0)
    assert found[NAMES[0]] > 0.05 and found[NAMES[1]] == 0.0
    assert found == twin_distances(By(0), context, LAYOUT, list(NAMES[:2]), seed=0)


def test_a_forbidden_feature_that_is_none_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"export.fairness.forbidden: 'age' is no feature of the policy; expected some"
    ):
        twin_distances(By(0), draw_context(5, seed=1), LAYOUT, ["age"], seed=0)


def decisions(groups: Grouping, apart: float) -> np.ndarray:
    rng = np.random.default_rng(3)
    first = np.clip(0.4 + apart * (groups.code == 1) + rng.normal(0.0, 0.1, len(groups.code)), 0.0, 1.0)
    return np.stack([1.0 - first, first], axis=1)


def test_offers_that_tell_a_group_are_found_and_noise_is_not() -> None:
    groups = Grouping.of("age", pd.Series(np.random.default_rng(0).choice(["old", "young"], 1500)))
    told = told_by(decisions(groups, 0.15), groups, seed=0)
    assert len(told) == 2 and all(one.lo > 0.6 and one.p_value < 1e-6 for one in told)
    noise = told_by(decisions(groups, 0.0), groups, seed=0)
    assert all(one.p_value > 0.05 and one.lo < 0.55 for one in noise)


def test_noise_over_many_groups_is_seldom_taken_for_a_proxy() -> None:
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        groups = Grouping.of("g", pd.Series(rng.choice(list("abcde"), 400)))
        alarms += any(one.p_value < 0.05 for one in told_by(rng.random((400, 3)), groups, seed))
    assert alarms <= 5


def test_one_group_or_decisions_that_never_differ_tell_nothing() -> None:
    one = Grouping.of("g", pd.Series(["a"] * 100))
    assert told_by(np.random.default_rng(0).random((100, 2)), one, 0) == []
    two = Grouping.of("g", pd.Series(["a", "b"] * 50))
    assert told_by(np.ones((100, 2)), two, 0) == []
