"""The product recommender on a small shop whose tastes are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.ranking import rank
from experiments.history import PreparedHistory
from simulators.recommender.assortment import build_assortment
from simulators.recommender.habits import gather_habits
from simulators.recommender.items import NAMED, SEPARATOR, promoted_items
from simulators.recommender.learning import Timeline, fit_line, fit_recommender, had, refusal, unroll
from simulators.recommender.models import DISCOVERING, MODELS, Moment, Recommender
from simulators.recommender.storage import read_products, write_products
from tests.simulators.recommender.fabricated_buyers import NAMES, fabricate, history_of


@pytest.fixture(scope="module")
def history() -> PreparedHistory:
    return fabricate()


@pytest.fixture(scope="module")
def timeline(history: PreparedHistory) -> Timeline:
    return unroll(history.panel, history.purchases, history.splits, seed=0)


@pytest.fixture(scope="module")
def recommender(history: PreparedHistory, timeline: Timeline) -> Recommender:
    return fit_recommender(timeline, history.splits, seed=0)


@pytest.fixture(scope="module")
def seen(history: PreparedHistory, timeline: Timeline) -> Moment:
    return timeline.moment(history.splits.test.weeks.start, history.splits.test.customers)


def test_what_sells_most_is_the_same_list_for_everybody(recommender: Recommender, seen: Moment) -> None:
    scores = MODELS["popularity"](recommender, seen)
    assert (scores == scores[0]).all()


@pytest.mark.parametrize("name", [name for name in MODELS if name != "popularity"])
def test_every_personal_model_scores_every_pair_and_beats_chance(
    name: str, history: PreparedHistory, timeline: Timeline, recommender: Recommender, seen: Moment
) -> None:
    split = history.splits.test
    scores = MODELS[name](recommender, seen)
    bought = timeline.bought(split.weeks.start, split.weeks.stop, split.customers)
    assert scores.shape == bought.shape and scores.dtype == np.float32
    assert np.isfinite(scores).all()
    found = np.nanmean(rank(scores, bought, np.ones_like(bought), k=5).ndcg)
    chance = np.random.default_rng(0).random(scores.shape, dtype=np.float32)
    assert found > np.nanmean(rank(chance, bought, np.ones_like(bought), k=5).ndcg) + 0.05


def test_words_that_all_products_share_tell_none_apart() -> None:
    shop = fabricate().purchases
    alike = replace(shop, products=shop.products.assign(department="FOOD", category="soup", name=""))
    vectors = build_assortment(alike, alike, seed=0).vectors
    assert vectors.shape == (shop.n_products, 1)
    assert not vectors.any()
    assert build_assortment(shop, shop, seed=0).vectors.any()


def test_the_same_seed_gives_the_same_recommender(
    history: PreparedHistory, timeline: Timeline, recommender: Recommender, seen: Moment
) -> None:
    again = fit_recommender(timeline, history.splits, seed=0)
    for name in ("factors", "towers", "blend"):
        assert np.array_equal(MODELS[name](again, seen), MODELS[name](recommender, seen)), name


def test_a_file_brings_the_recommender_back(recommender: Recommender, seen: Moment, tmp_path: Path) -> None:
    write_products(tmp_path, recommender)
    back = read_products(tmp_path)
    assert back is not None
    for name, model in MODELS.items():
        assert np.array_equal(model(back, seen), model(recommender, seen)), name
    assert read_products(tmp_path / "nowhere") is None


def test_nothing_of_test_customers_or_later_weeks_is_learned_from(
    history: PreparedHistory, recommender: Recommender, seen: Moment
) -> None:
    purchases, splits = history.purchases, history.splits
    test = np.isin(purchases.customer, splits.test.customers)
    kept = purchases.where((purchases.week < splits.test.weeks.start) & ~(test & (purchases.week > 2)))
    blind = history_of(kept, history.panel.events.n, history.panel.n_weeks, history.panel.events.category_names)
    other = fit_recommender(unroll(blind.panel, blind.purchases, blind.splits, seed=0), blind.splits, seed=0)
    assert np.array_equal(other.factors.products, recommender.factors.products)
    assert other.discovery in DISCOVERING


def test_products_are_chosen_by_training_customers_and_weeks_alone(history: PreparedHistory) -> None:
    purchases, splits = history.purchases, history.splits
    trained = np.isin(purchases.customer, splits.train.customers) & (purchases.week < splits.train.weeks.stop)
    apart = history_of(
        purchases.where(~trained | (purchases.product != 7)),
        history.panel.events.n,
        history.panel.n_weeks,
        history.panel.events.category_names,
    )
    assert 7 not in unroll(apart.panel, apart.purchases, apart.splits, seed=0).assortment.rows
    assert 7 in unroll(history.panel, purchases, splits, seed=0).assortment.rows


def test_a_product_that_nobody_bought_is_scored_by_its_words(recommender: Recommender, seen: Moment) -> None:
    unseen = np.arange(seen.habits.shape[1]) >= 30
    blind = replace(seen, habits=seen.habits.without(unseen), unseen=unseen)
    scores = MODELS["content"](recommender, blind)[:, unseen]
    group = recommender.assortment.position[unseen]
    had_before, position = MODELS["buy_again"](recommender, seen), recommender.assortment.position
    likes = np.array([had_before[:, position == g].sum(axis=1) for g in range(3)])
    mean = np.array([scores[:, group == g].mean(axis=1) for g in range(3)])
    assert (mean.argmax(axis=0) == likes.argmax(axis=0)).mean() > 0.6
    changed = replace(blind, facts=replace(blind.facts, buyers=blind.facts.buyers + 50.0 * unseen))
    before, after = (MODELS["towers"](recommender, one)[:, unseen] for one in (blind, changed))
    assert np.array_equal(before, after)


def test_a_customer_without_any_purchase_gets_what_sells(recommender: Recommender, seen: Moment) -> None:
    stranger = replace(seen, habits=seen.habits.without(np.ones(seen.habits.shape[1], dtype=bool)))
    assert np.isfinite(MODELS["blend"](recommender, stranger)).all()
    scores = MODELS["buy_again"](recommender, stranger)
    assert (scores.argmax(axis=1) == seen.facts.buyers.argmax()).all()


def test_items_are_distinct_names_of_the_promoted_category(history: PreparedHistory, recommender: Recommender) -> None:
    panel, n = history.panel, history.panel.events.n
    habits = gather_habits(history.purchases, recommender.assortment, n, panel.n_weeks)
    promoted = np.arange(n) % 4
    state = panel.state_before(panel.n_weeks)
    named = promoted_items(recommender, history.purchases.products, habits, state, promoted)
    for text, category in zip(named, promoted.tolist(), strict=True):
        if category == 3:  # "other" holds no product
            assert text == ""
            continue
        names = text.split(SEPARATOR)
        assert 1 <= len(set(names)) == len(names) <= NAMED
        assert all(name.startswith(NAMES[category]) for name in names)


def test_a_shop_of_one_product_is_refused_in_words(history: PreparedHistory) -> None:
    one = history.purchases.where(history.purchases.product == 0)
    alone = history_of(one, history.panel.events.n, history.panel.n_weeks, ("soup", "other"))
    timeline = unroll(alone.panel, alone.purchases, alone.splits, seed=0)
    assert "not recommended" in refusal(timeline)


def test_a_shop_without_descriptions_has_no_words_to_go_by_but_works() -> None:
    history = fabricate(described=False)
    timeline = unroll(history.panel, history.purchases, history.splits, seed=0)
    recommender = fit_recommender(timeline, history.splits, seed=0)
    seen = timeline.moment(history.splits.test.weeks.start, history.splits.test.customers)
    assert not history.purchases.described
    assert all(np.isfinite(model(recommender, seen)).all() for model in MODELS.values())


def test_a_shop_where_nobody_buys_twice_has_a_recommender_without_nan(history: PreparedHistory) -> None:
    purchases = history.purchases
    key = purchases.customer * 1000 + purchases.product
    first = np.zeros(len(key), dtype=bool)
    first[np.unique(key, return_index=True)[1]] = True
    once = history_of(purchases.where(first), history.panel.events.n, history.panel.n_weeks, (*NAMES, "other"))
    timeline = unroll(once.panel, once.purchases, once.splits, seed=0)
    recommender = fit_recommender(timeline, once.splits, seed=0)
    seen = timeline.moment(once.splits.test.weeks.start, once.splits.test.customers)
    assert np.isfinite(MODELS["blend"](recommender, seen)).all()
    assert had(seen.habits).any()


def test_the_line_through_chances_is_found_again() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(2.0, 3.0, 40_000)
    bought = rng.random(40_000) < 1.0 / (1.0 + np.exp(-(0.8 * scores - 3.0)))
    slope, intercept = fit_line(scores, bought)
    assert slope == pytest.approx(0.8, abs=0.03)
    assert intercept == pytest.approx(-3.0, abs=0.1)
    assert np.isfinite(fit_line(np.ones(10), np.zeros(10, dtype=bool))).all()
    assert torch.isfinite(torch.tensor(fit_line(np.zeros(0), np.zeros(0, dtype=bool)))).all()
