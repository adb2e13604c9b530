from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from campaigns.errors import InputError
from history.panel import states_before
from history.state import State
from simulators.profiles.grouping import fit_segments
from simulators.profiles.migration import describe_migration, quarter_positions
from simulators.profiles.segment_count import Trial, choose_count, try_counts
from simulators.profiles.segment_names import Position, name_segments
from simulators.profiles.segments import EVERYONE, Segments, assign_segment, read_segments, segment_inputs
from tests.history.fabricated_weeks import fabricate_weeks


@pytest.fixture(scope="module")
def state() -> State:
    return states_before(fabricate_weeks(n=260), range(53, 54))[0]


@pytest.fixture(scope="module")
def groups() -> np.ndarray:
    """Three clouds, far apart."""
    rng = np.random.default_rng(2)
    return np.concatenate([rng.normal(centre, 0.25, (80, 2)) for centre in ((0, 0), (4, 0), (0, 4))])


def test_three_clouds_are_three_segments(groups: np.ndarray) -> None:
    assert choose_count(try_counts(groups, seed=0, resamples=6)) == 3


def test_the_number_of_segments_follows_the_written_rule() -> None:
    def trial(k: int, silhouette: float, stability: float) -> Trial:
        return Trial(k, silhouette, stability, stability - 0.1, stability + 0.1)

    two, three, four, five = trial(2, 0.5, 0.95), trial(3, 0.3, 0.9), trial(4, 0.28, 0.85), trial(5, 0.4, 0.5)
    assert choose_count([two, three, four, five]) == 4
    assert choose_count([two, three, replace(four, silhouette=0.2)]) == 3
    assert choose_count([two, five]) == 2
    assert choose_count([five]) == 1
    assert choose_count([]) == 1


def test_every_segment_is_named_and_no_two_alike(state: State) -> None:
    segments = fit_segments(state, "USD", seed=0, resamples=4).segments
    assert len(set(segments.names)) == len(segments.names) == len(segments.centroids)
    assert all(name for name in segments.names)


def test_a_customer_belongs_to_the_nearest_centroid_whoever_stands_beside(state: State) -> None:
    segments = one_of_each(state)
    own = assign_segment(segments, state)
    z = ((segment_inputs(state) - segments.mean) / segments.scale).clamp(-3, 3)
    slow = [int(((row - segments.centroids) ** 2).sum(dim=1).argmin()) for row in z]
    assert own.tolist() == slow
    order = torch.randperm(state.n, generator=torch.Generator().manual_seed(1))
    assert torch.equal(assign_segment(segments, state.take(order)), own[order])


def one_of_each(state: State) -> Segments:
    inputs = segment_inputs(state)
    centroids = torch.tensor([[-1.0, 0, 0, 0, 0], [1.0, 0, 0, 0, 0], [0, 0, 0, 1.5, 0]], dtype=torch.float64)
    return Segments(("a", "b", "c"), inputs.mean(dim=0), inputs.std(dim=0), centroids)


def test_segments_come_back_from_their_files_as_they_were(state: State, tmp_path: Path) -> None:
    segments = one_of_each(state)
    segments.save(tmp_path)
    again = read_segments(tmp_path)
    assert again.names == segments.names
    assert torch.equal(assign_segment(again, state), assign_segment(segments, state))


def test_segments_with_foreign_inputs_are_refused(state: State, tmp_path: Path) -> None:
    one_of_each(state).save(tmp_path)
    path = tmp_path / "segments.json"
    path.write_text(path.read_text("utf-8").replace("promo_share", "income"), "utf-8")
    with pytest.raises(InputError, match="not the segments of this version"):
        read_segments(tmp_path)


def test_the_same_seed_gives_the_same_segments(state: State) -> None:
    one, other = (fit_segments(state, "USD", seed=3, resamples=3) for _ in range(2))
    assert one.trials == other.trials
    assert torch.equal(one.segments.centroids, other.segments.centroids)


@pytest.mark.parametrize("n", [1, 40])
def test_few_customers_are_one_segment(state: State, n: int) -> None:
    grouping = fit_segments(state.take(torch.arange(n)), "USD", seed=0)
    assert grouping.segments.names == (EVERYONE,)
    assert "one segment: too few customers differ" in grouping.verdict


def test_customers_who_are_all_the_same_are_one_segment(state: State) -> None:
    same = state.take(torch.zeros(300, dtype=torch.int64))
    grouping = fit_segments(same, "USD", seed=0)
    assert grouping.segments.names == (EVERYONE,)
    assert assign_segment(grouping.segments, state).tolist() == [0] * state.n


WEEKLY = Position(visit_weeks=0.9, weeks_since_visit=0.2, basket=90.0, promo=-0.7, coupons=0.0, spend=80.0)


def test_a_segment_is_named_by_where_it_lies_among_the_others() -> None:
    rare = replace(WEEKLY, visit_weeks=0.1, basket=20.0, promo=0.8)
    quiet = replace(WEEKLY, visit_weeks=0.05, weeks_since_visit=7.0, promo=0.0)
    assert name_segments([WEEKLY, rare, quiet, replace(WEEKLY, basket=50.0, promo=0.0, coupons=2.0)], "USD") == (
        "weekly, big baskets, rarely on promotion",
        "now and then, small baskets, often on promotion",
        "gone quiet",
        "weekly, medium baskets, redeem coupons",
    )


def test_names_that_would_be_the_same_are_told_apart() -> None:
    richer = replace(WEEKLY, spend=120.0)
    assert name_segments([WEEKLY, richer], "USD") == (
        "weekly, rarely on promotion, 80 USD a week",
        "weekly, rarely on promotion, 120 USD a week",
    )
    assert len(set(name_segments([WEEKLY, WEEKLY, WEEKLY], "USD"))) == 3


def test_every_customer_is_in_the_matrix_of_moves_once() -> None:
    at = [torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1]), torch.tensor([1, 1, 0, 1])]
    moved = describe_migration(at, [14, 27, 40], segments=2)
    assert moved["overall"] == [[0, 2], [1, 1]]
    assert moved["moves"] == [[[1, 1], [0, 2]], [[0, 1], [1, 2]]]
    assert moved["stayed"] == [0.75, 0.5]
    assert moved["sizes"] == [[2, 2], [1, 3], [1, 3]]


@pytest.mark.parametrize(("weeks", "points"), [(53, [14, 27, 40, 53]), (30, [17, 30]), (5, [5])])
def test_quarter_points_end_with_the_history(weeks: int, points: list[int]) -> None:
    assert quarter_positions(weeks) == points
