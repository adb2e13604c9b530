"""The recommender fitted, judged and kept: its file says everything, repeats, and survives shops with too little."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from experiments.history import PreparedHistory
from experiments.recommendation import name_items, read_promoter, write_recommender
from experiments.sections import SECTIONS
from history.artifacts import hash_file
from serving.section import Section, Table
from serving.sections.recommender import section
from simulators.promotion import Categories, choose_category
from simulators.worlds import MarketConfig, describe_categories
from tests.simulators.recommender.fabricated_buyers import NAMES, fabricate, history_of


def categories(history: PreparedHistory) -> Categories:
    events = history.panel.events
    spend = torch.from_numpy(events.category_spend.sum(axis=(0, 1)))
    return describe_categories(events.category_names, events.category_departments, spend, MarketConfig())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a fitted recommender of the fabricated shop."""
    history, folder = fabricate(), tmp_path_factory.mktemp("recommender")
    write_recommender(folder, history, categories(history), seed=0)
    return folder


@pytest.fixture(scope="module")
def data(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "recommender.json").read_text("utf-8"))
    return found


def shown(data: dict[str, Any]) -> Section:
    return section(data, "USD")


def test_every_figure_has_its_interval(data: dict[str, Any]) -> None:
    for task in (
        *data["products"]["tasks"].values(),
        data["products"]["refresh"],
        *data["categories"]["tasks"].values(),
    ):
        assert task["models"][task["baseline"]]["over_baseline"] is None
        for model in task["models"].values():
            assert 0 <= model["coverage"] <= 1
            for measure in ("recall", "ndcg", "precision"):
                mean = model[measure]
                assert mean is None or mean["lo"] <= mean["value"] <= mean["hi"]


def test_what_a_customer_likes_is_found_again(data: dict[str, Any]) -> None:
    gain = data["products"]["tasks"]["all"]["models"]["factors"]
    popular = data["products"]["tasks"]["all"]["models"]["popularity"]
    assert gain["ndcg"]["lo"] > popular["ndcg"]["hi"]
    assert data["products"]["discovery"] in ("factors", "towers", "content")


def test_the_same_seed_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    history = fabricate()
    write_recommender(tmp_path, history, categories(history), seed=0)
    for path in folder.iterdir():
        assert hash_file(path) == hash_file(tmp_path / path.name), path.name


def test_the_promoter_read_back_promotes_the_same(folder: Path) -> None:
    history = fabricate()
    shop = replace(categories(history), promoter=read_promoter(folder))
    state = history.panel.state_before(history.panel.n_weeks)
    chosen = choose_category(shop, state)
    assert set(chosen.tolist()) <= {0, 1, 2}
    promoted = pd.Series([shop.names[i] for i in chosen.tolist()], dtype="str")
    items = name_items(folder, history, shop, promoted, torch.arange(state.n))
    assert all(text.startswith(NAMES[i]) for text, i in zip(items, chosen.tolist(), strict=True))


def test_the_section_says_what_came_out(data: dict[str, Any]) -> None:
    page = shown(data)
    assert page.anchor == "recommender"
    assert SECTIONS["fit/recommender/recommender.json"] is section
    assert "bought before, bought again" in page.verdict
    captions = [block.caption for block in page.blocks if isinstance(block, Table)]
    assert sum("95 % intervals" in caption for caption in captions) >= 7


def _only(rows: np.ndarray) -> PreparedHistory:
    history = fabricate()
    kept = history.purchases.where(rows)
    return history_of(kept, history.panel.events.n, history.panel.n_weeks, (*NAMES, "other"))


@pytest.mark.parametrize("case", ["one product", "one category", "no spend", "nothing later", "one shopper"])
def test_a_shop_with_too_little_gets_a_verdict_and_no_nan(case: str, tmp_path: Path) -> None:
    bought = fabricate().purchases
    rows = {
        "one product": bought.product == 0,
        "one category": bought.product % 3 == 0,
        "no spend": bought.week >= 0,
        "nothing later": bought.week < 30,
        "one shopper": bought.customer == 0,
    }[case]
    history = _only(rows)
    if case == "no spend":
        free = replace(history.purchases, cents=0 * history.purchases.cents)
        history = history_of(free, history.panel.events.n, history.panel.n_weeks, (*NAMES, "other"))
    shop = categories(history)
    promoter = write_recommender(tmp_path, history, shop, seed=0)
    data = json.loads((tmp_path / "recommender.json").read_text("utf-8"))  # `write_json` refuses NaN
    page = shown(data)
    assert page.verdict
    state = history.panel.state_before(history.panel.n_weeks)
    assert torch.isfinite(promoter.scores(state)).all()
    promoted = pd.Series([NAMES[0]] * state.n, dtype="str")
    assert len(name_items(tmp_path, history, shop, promoted, torch.arange(state.n))) == state.n
    if case in ("one product", "one shopper"):
        assert "not recommended" in page.verdict
