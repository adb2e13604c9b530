"""What no log can hold is refused in one line that names row and rule."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from campaigns.errors import InputError
from evaluation.off_policy.reward_model import fit_reward
from evaluation.off_policy.rounds import Log, condense
from history.feedback import LoggedFeedback


def good() -> dict[str, Any]:
    return {
        "n_actions": 2,
        "action": np.array([0, 1, 0]),
        "reward": np.array([1.0, 0.0, 2.0]),
        "pscore": np.array([0.5, 0.5, 1.0]),
    }


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("pscore", np.array([0.5, 0.0, 1.0]), r"row 1 of 'pscore' is 0.0, expected a probability in \(0, 1\]"),
        ("pscore", np.array([0.5, 0.5, 1.1]), "row 2 of 'pscore' is 1.1"),
        ("pscore", np.array([np.nan, 0.5, 1.0]), "row 0 of 'pscore' is nan, expected a finite number"),
        ("action", np.array([0, 2, 0]), "row 1 of 'action' is 2, expected an action of the catalog, 0 to 1"),
        ("action", np.array([0, -1, 0]), "row 1 of 'action' is -1"),
        ("reward", np.array([0, 1, np.inf]), "row 2 of 'reward' is inf"),
        ("reward", np.array([0.0, 1]), r"'reward' has shape \(2,\), expected \(3,\)"),
        ("customer", np.array([0, 1]), "'customer' has shape"),
    ],
)
def test_a_bad_column_is_named_with_its_row(column: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Log(**good() | {column: value})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.5, 0.6], r"policy: row 2 has probabilities that sum to 1\.1"),
        ([1.5, -0.5], r"policy: row 2 has a probability of -0\.5"),
        ([np.nan, 0.5], "policy: row 2 has"),
    ],
)
def test_a_row_that_is_no_distribution_is_named(row: list[float], message: str) -> None:
    policy = np.array([[0.5, 0.5], [1.0, 0.0], row])
    with pytest.raises(InputError, match=message):
        condense(Log(**good()), policy, chunk=2)
    with pytest.raises(InputError, match="behavior: row 2"):
        condense(replace(Log(**good()), behavior=policy), np.full((3, 2), 0.5))
    with pytest.raises(InputError, match=r"policy: probabilities have shape \(3, 3\)"):
        condense(Log(**good()), np.full((3, 3), 1 / 3))


def test_fewer_rounds_than_folds_and_a_model_with_a_hole_are_refused() -> None:
    with pytest.raises(InputError, match="folds is 4 for 3 customers in 3 rounds"):
        fit_reward(Log(**good()), np.zeros((3, 1)), 0, folds=4)
    with pytest.raises(InputError, match="row 1 of 'model' is"):
        condense(Log(**good()), np.full((3, 2), 0.5), np.array([[1, 1], [np.nan, 1], [1, 1.0]]))
    with pytest.raises(InputError, match="it has 1 rounds"):
        Log(2, np.array([0]), np.array([1.0]), np.array([1.0]))


def test_a_round_that_stands_twice_and_a_feature_that_is_missing_are_named() -> None:
    assert Log(**good(), ids=np.array([3, 1, 2])).n == 3
    with pytest.raises(InputError, match="rows 0 and 2 hold the same round 3"):
        Log(**good(), ids=np.array([3, 1, 3]))
    columns: dict[str, Any] = {name: column for name, column in good().items() if name != "n_actions"}
    columns |= {"mask": np.ones((3, 2), bool), "features": np.zeros((3, 2), np.float32), "feature_names": ("a", "b")}
    feedback = LoggedFeedback(**columns, cost=np.zeros(3))
    assert Log.from_feedback(feedback, ("a", "b")).n == 3
    with pytest.raises(InputError, match="feature 'c' is missing"):
        Log.from_feedback(feedback, ("a", "c"))
    with pytest.raises(InputError, match="in this order"):
        Log.from_feedback(feedback, ("b", "a"))
    with pytest.raises(InputError, match="rows 1 and 2 hold the same round 7"):
        Log.from_feedback(feedback, ("a", "b"), ids=np.array([5, 7, 7]))


def test_logged_feedback_is_taken_over_with_its_mask_and_not_without_pscores() -> None:
    mask = np.array([[True, True], [True, True], [True, False]])
    columns: dict[str, Any] = good() | {"mask": mask, "features": np.zeros((3, 0), np.float32), "feature_names": ()}
    del columns["n_actions"]
    log = Log.from_feedback(LoggedFeedback(**columns, cost=np.zeros(3)), ())
    found = condense(log, np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])).coverage
    assert found.unsupported == pytest.approx(0.5 / 3)
    with pytest.raises(InputError, match="row 0 of 'pscore' is nan"):
        Log.from_feedback(LoggedFeedback(**columns | {"pscore": None}, cost=np.zeros(3)), ())
