"""The promoter: what it holds to be worth promoting, for any state, and that a file brings it back."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from history.features import taste
from history.state import State, initial_state, join_states
from simulators.promotion import choose_category
from simulators.recommender.learning import fit_recommender, unroll
from simulators.recommender.promoter import KINDS, Promoter, restore_promoter
from simulators.recommender.promoting import (
    Likeness,
    Outlook,
    best_kind,
    fit_promoters,
    likeness_of,
    log_loss,
    look_ahead,
)
from simulators.recommender.rhythm import product_facts
from simulators.reference import CATEGORIES, reference_pool, reference_world
from simulators.worlds import read_world, write_world
from tests.simulators.recommender.fabricated_buyers import fabricate

K = len(CATEGORIES)
MARGIN = torch.full((K,), 0.3)
EVEN = torch.full((K,), 1.0 / K)


@pytest.fixture(scope="module")
def seen() -> Outlook:
    """Return customers who buy where they spent, some categories more often than others."""
    state = reference_pool(400, seed=2)
    chance = (2.0 * taste(state)).clamp(max=0.9)
    bought = (torch.rand(chance.shape, generator=torch.Generator().manual_seed(3)) < chance).float()
    return Outlook(state, bought, torch.arange(400).numpy())


@pytest.fixture(scope="module")
def promoters(seen: Outlook) -> dict[str, Promoter]:
    return fit_promoters(seen, MARGIN, EVEN, None, seed=1)


def test_what_is_bought_anyway_is_not_promoted(promoters: dict[str, Promoter]) -> None:
    pool = reference_pool(50, seed=4)
    sure = replace(promoters["popularity"], bias=torch.tensor([0.0, 0.0, 9.0, 0.0, 0.0]))
    even = replace(pool, category_average=torch.ones_like(pool.category_average))
    assert (sure.scores(even).argmin(dim=1) == 2).all()


def test_of_equally_certain_categories_the_one_with_more_spend_and_margin_is_promoted(
    promoters: dict[str, Promoter],
) -> None:
    flat = replace(promoters["popularity"], bias=torch.zeros(K))
    state = replace(initial_state(1, K), weeks_seen=torch.ones(1), category_average=torch.tensor([[1.0, 2, 5, 2, 1]]))
    assert flat.scores(state).argmax().item() == 2
    rich = replace(flat, margin=torch.tensor([0.1, 0.9, 0.1, 0.1, 0.1]))
    assert rich.scores(state).argmax().item() == 1


def test_own_spend_predicts_better_than_popularity(seen: Outlook, promoters: dict[str, Promoter]) -> None:
    loss = {kind: float(log_loss(promoter, seen).mean()) for kind, promoter in promoters.items()}
    assert loss["taste"] < loss["popularity"] - 0.01
    assert loss["towers"] < loss["popularity"] - 0.01
    assert best_kind(promoters, seen) in ("taste", "towers")


def test_chances_are_calibrated_where_they_were_fitted(seen: Outlook, promoters: dict[str, Promoter]) -> None:
    for kind, promoter in promoters.items():
        expected, found = promoter.chance(seen.state).mean(dim=0), seen.bought.mean(dim=0)
        assert torch.allclose(expected, found, atol=0.02), kind


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_scores_every_state_and_comes_back_from_a_file(kind: str, seen: Outlook, tmp_path: Path) -> None:
    history = fabricate()
    ahead = look_ahead(history.panel, history.splits.train)
    k = ahead.bought.shape[1]
    found = None
    if kind in ("factors", "content"):
        found = likeness(k)
    promoter = fit_promoters(ahead, torch.full((k,), 0.3), torch.full((k,), 1.0 / k), found, seed=1)[kind]
    state = join_states([ahead.state, initial_state(3, k)])
    scores = promoter.scores(state)
    assert scores.shape == (state.n, k)
    assert torch.isfinite(scores).all() and (scores >= 0).all()
    back = restore_promoter(kind, promoter.tensors())
    assert torch.equal(back.scores(state), scores)
    half = torch.arange(0, state.n, 2)
    assert torch.allclose(promoter.scores(state.take(half)), scores[half], atol=1e-6)


def test_a_world_keeps_its_promoter_and_barred_categories_stay_barred(
    promoters: dict[str, Promoter], tmp_path: Path
) -> None:
    world = reference_world()
    world = replace(world, categories=replace(world.categories, promoter=promoters["towers"]))
    write_world(tmp_path, world)
    back = read_world(tmp_path).categories
    pool = reference_pool(200, seed=9)
    assert torch.equal(choose_category(back, pool), choose_category(world.categories, pool))
    barred = replace(back, promotable=torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]))
    assert (choose_category(barred, pool) == 2).all()


def test_a_world_without_a_promoter_keeps_the_most_distinctive_category(tmp_path: Path) -> None:
    write_world(tmp_path, reference_world())
    assert read_world(tmp_path).categories.promoter is None


def test_a_category_that_never_or_always_sells_gives_no_nan() -> None:
    state: State = reference_pool(60, seed=1)
    bought: Tensor = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0]).expand(60, -1).contiguous()
    outlook = Outlook(state, bought, torch.arange(60).numpy())
    for kind, promoter in fit_promoters(outlook, MARGIN, torch.zeros(K), None, seed=0).items():
        assert torch.isfinite(promoter.scores(state)).all(), kind


def likeness(k: int) -> Likeness:
    history = fabricate()
    timeline = unroll(history.panel, history.purchases, history.splits, seed=0)
    recommender = fit_recommender(timeline, history.splits, seed=0)
    buyers = product_facts(timeline.habits[history.splits.test.weeks.start]).buyers
    return likeness_of(timeline.assortment, recommender.factors, buyers, k)
