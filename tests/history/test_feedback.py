"""Logged feedback is checked once, where it is made."""

from typing import Any

import numpy as np
import pytest

from history.feedback import LoggedFeedback


def columns() -> dict[str, Any]:
    return {
        "feature_names": ("recency", "spend"),
        "features": np.zeros((3, 2), np.float32),
        "mask": np.array([[True, True], [True, False], [True, True]]),
        "action": np.array([1, 0, 0]),
        "reward": np.array([1.0, -2.0, 0.0]),
        "cost": np.array([0.5, 0.0, 0.0]),
        "pscore": np.array([0.2, 1.0, 0.8]),
    }


def test_a_sound_log_is_accepted_with_and_without_propensities() -> None:
    assert LoggedFeedback(**columns()).n == 3
    assert LoggedFeedback(**columns() | {"pscore": None}).n_actions == 2


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("features", np.zeros((3, 3), np.float32), r"'features' has shape \(3, 3\)"),
        ("features", np.full((3, 2), np.nan, np.float32), "'features' has a value that is not finite"),
        ("mask", np.ones(3, bool), r"'mask' has shape \(3,\)"),
        ("mask", np.array([[False, True], [True, True], [True, True]]), "forbids action 0"),
        ("action", np.array([1, 1, 0]), "'action' has an action that the mask forbids"),
        ("action", np.array([2, 0, 0]), "'action' has an unknown action"),
        ("action", np.array([-1, 0, 0]), "'action' has an unknown action"),
        ("reward", np.array([1.0, np.inf, 0.0]), "'reward' has a value that is not finite"),
        ("cost", np.zeros(2), r"'cost' has shape \(2,\), expected \(3,\)"),
        ("pscore", np.array([0.0, 1.0, 1.0]), r"'pscore' has a value outside \(0, 1\]"),
        ("pscore", np.array([0.5, 1.1, 1.0]), r"'pscore' has a value outside \(0, 1\]"),
    ],
)
def test_a_column_that_no_log_can_hold_is_named(column: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LoggedFeedback(**columns() | {column: value})
