"""What is logged with its chances becomes the start of a bandit; what is not is told to be not estimable."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pandas as pd
import pytest
import torch

from agents.registry import AGENTS
from agents.warm_start import Weighting
from campaigns.errors import InputError
from envs.world import PriceRange, World
from experiments.feedback import begin_from, write_feedback
from experiments.history import load_history
from history.artifacts import read_json, write_table
from history.decisions import FILE
from history.features import FEATURES
from history.prepare import prepare
from history.sources import Tables
from history.splits import SplitConfig
from serving.section import Table
from serving.sections import feedback
from simulators.market import Horizon
from simulators.observation import Observer
from simulators.synthetic.log import live_through
from simulators.synthetic.tables import write_tables
from simulators.synthetic.truth import CATALOG, SyntheticTruth, open_shop

SPLIT = SplitConfig()
Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    """Return what `prepare` makes of a shop that drew its offers, and its market."""
    shop = open_shop(SyntheticTruth(customers=400, weeks=36, campaign_share=0.5, randomised=True))
    folder, log = tmp_path_factory.mktemp("shop"), live_through(shop)
    prepare(Tables(str(write_tables(shop, log, folder))), folder / "prepare")
    observer = Observer(torch.zeros(len(FEATURES)), torch.ones(len(FEATURES)))
    market = replace(shop.market, horizon=Horizon())
    return folder / "prepare", World(market, observer, log.after.customer, PriceRange())


def found(
    prepared: tuple[Path, World], out: Path, change: Change | None = None, world: World | None = None
) -> tuple[Path, str]:
    """Return where the rounds of changed decisions were written, and what was said of them."""
    source = out / "prepare"
    copytree(prepared[0], source)
    if change is not None:
        write_table(source / FILE, change(pd.read_parquet(source / FILE)))
    history = load_history(source, SPLIT)
    return out / "feedback", write_feedback(out / "feedback", source, history, world or prepared[1])


def test_training_decisions_are_used_and_told_with_their_overlap(prepared: tuple[Path, World], tmp_path: Path) -> None:
    folder, verdict = found(prepared, tmp_path)
    record, splits = read_json(folder / "feedback.json"), load_history(prepared[0], SPLIT).splits
    decisions = pd.read_parquet(prepared[0] / FILE)
    mine = decisions[decisions["customer"].isin(splits.train.customers) & decisions["slot"].isin(splits.train.weeks)]
    assert record["logged"] == len(decisions) and record["usable"]
    assert record["rounds"] + sum(record["left_out"].values()) == len(mine)
    assert f"{record['rounds']:,} logged decisions" in verdict
    for row in record["offers"]:
        given = mine[mine["offer"] == row["offer"]]
        assert len(given) - 5 <= row["rounds"] <= len(given) and row["effective"] <= row["rounds"]
        assert row["least_pscore"] >= given["pscore"].min()
    log, told = begin_from(folder, AGENTS["lin_ts"](credit_weeks=4), CATALOG, seed=0)
    assert log is not None and log.n == told["rounds"] == record["credited"]["4"] < record["rounds"]
    assert told["weighting"] == "doubly_robust" and "followed for 4 weeks" in told["verdict"]
    assert log.feature_names == prepared[1].observer.layout(prepared[1].market).feature_names
    page = feedback.section(record, "USD")
    (table,) = [block for block in page.blocks if isinstance(block, Table)]
    assert [row[0] for row in table.rows] == list(CATALOG.names) and page.verdict.startswith("Bandits begin from")


def only(kept: int, offer: str) -> Change:
    """Keep few of an offer's decisions."""
    return lambda d: d[(d["offer"] != offer) | ((d["offer"] == offer).cumsum() <= kept)]


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda d: d.assign(pscore=float("nan")), "not estimable: the table of decisions has no pscore"),
        (lambda d: d[d["offer"] == "none"], "not estimable: the decisions for any offer are worth fewer than 30"),
        (only(20, "none"), "not estimable: the decisions for no offer are worth fewer than 30"),
        (only(20, "coupon_2"), "logged decisions .*; too seldom given to be told: coupon_2"),
        (lambda d: d[:0], "not estimable"),
    ],
)
def test_where_the_log_cannot_tell_it_says_so(
    prepared: tuple[Path, World], tmp_path: Path, change: Change, verdict: str
) -> None:
    folder, said = found(prepared, tmp_path, change)
    assert pd.Series([said]).str.contains(verdict).all()
    log, told = begin_from(folder, AGENTS["bootstrap"](), CATALOG, seed=0)
    if "not estimable" in said:
        assert log is None and told == {"rounds": 0, "verdict": said}
        assert feedback.section(read_json(folder / "feedback.json"), "USD").verdict.startswith("No bandit begins")


def test_without_the_table_or_with_several_shops_nothing_is_begun_from(
    prepared: tuple[Path, World], tmp_path: Path
) -> None:
    two = replace(prepared[1], market=replace(prepared[1].market, shops=2))
    assert "several shops" in found(prepared, tmp_path / "two", world=two)[1]
    bare = tmp_path / "bare"
    copytree(prepared[0], bare)
    (bare / FILE).unlink()
    said = write_feedback(tmp_path / "feedback", bare, load_history(bare, SPLIT), prepared[1])
    assert said == "not estimable: the source has no table of decisions"


def test_an_offer_that_the_catalog_does_not_have_stops_fit_with_file_row_and_value(
    prepared: tuple[Path, World], tmp_path: Path
) -> None:
    def rename(decisions: pd.DataFrame) -> pd.DataFrame:
        return decisions.assign(offer=decisions["offer"].where(decisions["row"] != 7, "coupon_7"))

    with pytest.raises(InputError, match=r"^decisions\.parquet: table 'decisions', row 7: offer is 'coupon_7'; exp"):
        found(prepared, tmp_path, rename)


def test_agents_that_do_not_begin_from_a_log_leave_it_and_one_can_be_told_to(
    prepared: tuple[Path, World], tmp_path: Path
) -> None:
    folder, _ = found(prepared, tmp_path)

    def begun(kind: str, **settings: Any) -> tuple[Any, dict[str, Any]]:
        return begin_from(folder, AGENTS[kind](**settings), CATALOG, seed=0)

    assert begun("ppo") == begun("knapsack") == begun("neural_linear_ts") == (None, {})
    assert begun("lin_ts", warm_start=Weighting.OFF)[0] is None
    late, told = begun("lin_ucb", credit_weeks=9)
    assert late is None and "followed for 8 weeks" in told["verdict"]
