"""Ranking measures against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.ranking import clustered_mean, differences, estimates, rank


def test_the_measures_of_a_list_are_those_worked_out_by_hand() -> None:
    scores = np.array([[0.9, 0.1, 0.8, 0.2, 0.7]], dtype=np.float32)
    relevant = np.array([[False, True, True, False, True]])
    found = rank(scores, relevant, np.ones_like(relevant), k=2)  # lists columns 0 and 2
    assert found.recall.tolist() == pytest.approx([1 / 3])
    assert found.precision.tolist() == pytest.approx([1 / 2])
    assert found.ndcg.tolist() == pytest.approx([(1 / np.log2(3)) / (1 + 1 / np.log2(3))])
    assert found.coverage == pytest.approx(2 / 5)


def test_what_is_no_candidate_is_neither_listed_nor_missed() -> None:
    scores = np.array([[9.0, 1.0, 2.0]], dtype=np.float32)
    relevant = np.array([[True, True, False]])
    found = rank(scores, relevant, np.array([[False, True, True]]), k=2)
    assert found.recall.tolist() == [1.0]
    assert found.precision.tolist() == [0.5]
    assert not found.shown[0]


def test_empty_places_of_a_short_list_are_misses() -> None:
    candidates = np.array([[True, False, False]])
    found = rank(np.zeros((1, 3), dtype=np.float32), candidates, candidates, k=3)
    assert found.precision.tolist() == pytest.approx([1 / 3])
    assert found.ndcg.tolist() == [1.0]


def test_a_customer_without_anything_relevant_is_left_out() -> None:
    relevant = np.array([[True, False], [False, False], [False, True]])
    found = rank(np.array([[1.0, 0.0]] * 3, dtype=np.float32), relevant, np.ones_like(relevant), k=1)
    assert np.isnan(found.recall[1])
    assert estimates(found, np.arange(3))["recall"]["value"] == pytest.approx(0.5)
    assert estimates(found, np.arange(3))["recall"]["n"] == 2


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_the_scores_that_know_the_truth_are_perfect_and_no_ranking_beats_them(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    relevant, everything = rng.random((5, 8)) < 0.4, np.ones((5, 8), dtype=bool)
    relevant[:, 0] = True
    best = rank(relevant.astype(np.float32), relevant, everything, k)
    other = rank(rng.random((5, 8), dtype=np.float32), relevant, everything, k)
    assert best.ndcg == pytest.approx(np.ones(5))
    assert (other.recall <= best.recall).all() and (other.precision <= best.precision).all()


def test_rows_of_one_customer_count_once() -> None:
    mean = clustered_mean(np.array([1.0, 1.0, 1.0, 0.0]), np.array([7, 7, 7, 9]))
    assert mean is not None
    assert mean.value == pytest.approx(0.5)
    assert mean.n == 2


def test_differences_are_paired_by_customer() -> None:
    rng = np.random.default_rng(1)
    relevant, everything = rng.random((200, 30)) < 0.3, np.ones((200, 30), dtype=bool)
    better = rank((relevant + rng.random((200, 30))).astype(np.float32), relevant, everything)
    worse = rank(rng.random((200, 30), dtype=np.float32), relevant, everything)
    gain = differences(better, worse, np.arange(200))["recall"]
    assert gain["lo"] > 0
    assert gain["value"] == pytest.approx(float(np.nanmean(better.recall - worse.recall)))
    assert differences(worse, worse, np.arange(200))["ndcg"] == {
        "value": 0.0, "error": 0.0, "lo": 0.0, "hi": 0.0, "n": 200,
    }  # fmt: skip


def test_the_interval_of_a_share_stays_a_share() -> None:
    scores = np.tile(np.array([[0.9, 0.8, 0.1]], dtype=np.float32), (20, 1))
    relevant = np.zeros_like(scores, dtype=bool)
    relevant[:, 0], relevant[0, 2] = True, True  # one customer of twenty misses something
    found = estimates(rank(scores, relevant, np.ones_like(relevant), k=2), np.arange(20))
    assert found["recall"]["lo"] < found["recall"]["value"] < found["recall"]["hi"] == 1.0


def test_one_customer_gives_no_interval() -> None:
    assert clustered_mean(np.array([1.0, np.nan]), np.array([0, 1])) is None
