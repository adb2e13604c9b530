"""What a shop logged for its test customers judges the trained policies, or it is said why it cannot."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from agents.fixed import NoOfferPolicy, RandomPolicy
from campaigns.errors import InputError
from envs.world import PriceRange, World
from evaluation.estimate import Verdict
from experiments.config import Config
from experiments.history import load_history
from experiments.logged_judge import decide
from experiments.logged_value import FILE, beside_market, judge_on_log, log_line
from experiments.train import Trained
from history.artifacts import read_json, write_table
from history.decisions import FILE as DECISIONS
from history.features import FEATURES
from history.prepare import prepare
from history.sources import Tables
from history.splits import SplitConfig
from serving.section import Table
from serving.sections import off_policy
from simulators.logged_rounds import LoggedRounds, collect_rounds, offers_of
from simulators.market import Horizon
from simulators.observation import Observer
from simulators.synthetic.log import live_through
from simulators.synthetic.tables import write_tables
from simulators.synthetic.truth import CATALOG, SyntheticTruth, open_shop

Change = Callable[[pd.DataFrame], pd.DataFrame | None]
GROUPS = {
    "no_offer": [Trained("no_offer", 0, NoOfferPolicy(), 0.0)],
    "random": [Trained("random", seed, RandomPolicy(), 0.0) for seed in (0, 1)],
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    """Return what `prepare` makes of a shop that drew its offers, and its market."""
    true = open_shop(SyntheticTruth(customers=700, weeks=50, campaign_share=0.6, targeting_bias=0.3, randomised=True))
    folder, log = tmp_path_factory.mktemp("shop"), live_through(true)
    prepare(Tables(str(write_tables(true, log, folder))), folder / "run" / "prepare")
    observer = Observer(torch.zeros(len(FEATURES)), torch.ones(len(FEATURES)))
    market = replace(true.market, horizon=Horizon())
    return folder / "run" / "prepare", World(market, observer, log.after.customer, PriceRange())


def judged(shop: tuple[Path, World], out: Path, change: Change = lambda d: d, weeks: int = 2) -> dict[str, Any]:
    """Return what a log says whose decisions were changed; None for no decisions at all."""
    prepared = out / "run" / "prepare"
    copytree(shop[0], prepared)
    changed = change(pd.read_parquet(prepared / DECISIONS))
    if changed is None:
        (prepared / DECISIONS).unlink()
    else:
        write_table(prepared / DECISIONS, changed)
    config = Config(name="run", runs=str(out))
    config.evaluate.log_weeks = weeks
    return judge_on_log(config, load_history(prepared, SplitConfig()), shop[1], GROUPS)


def test_policies_are_judged_on_the_test_split_alone_and_the_same_each_time(
    shop: tuple[Path, World], tmp_path: Path
) -> None:
    found = judged(shop, tmp_path)
    test = load_history(shop[0], SplitConfig()).splits.test

    def spoil_the_rest(d: pd.DataFrame) -> pd.DataFrame:
        mine = d["customer"].isin(test.customers) & d["slot"].isin(test.weeks)
        return d.assign(pscore=d["pscore"].where(mine, 0.5))

    assert judged(shop, tmp_path / "again", spoil_the_rest) == found
    nothing, random = found["agents"]
    assert found["kind"] == "decisions" and found["pscore"] == "logged"
    assert nothing["uplift"]["value"] == 0 == nothing["offers"] and random["offers"] > 0.5
    assert random["uplift"]["overlap"]["verdict"] == Verdict.ESTIMABLE
    assert random["uplift"]["lo"] < random["uplift"]["value"] < random["uplift"]["hi"]
    assert random["weekly"]["effective"] < random["uplift"]["overlap"]["effective_n"]
    assert "2 of 2 agents can be judged by" in found["said"] and "random" in log_line(found)


def test_a_decision_for_an_offer_that_is_forbidden_today_stays_among_the_contexts(shop: tuple[Path, World]) -> None:
    history, world = load_history(shop[0], SplitConfig()), shop[1]
    decisions = pd.read_parquet(shop[0] / DECISIONS)
    offer = offers_of(decisions, CATALOG, "decisions")
    strict = replace(world.market, rules=replace(world.market.rules, margin_floor=0.2))

    def collected(too: bool) -> LoggedRounds:
        return collect_rounds(strict, world.observer, history.panel, history.splits.test, decisions, offer, too)

    kept, left = collected(True), collected(False)
    assert kept.n == left.n + left.left_out["the rules of today forbid the offer"] > left.n
    dist = decide(GROUPS["random"], kept)
    forbidden = ~kept.mask[np.arange(kept.n), kept.action]
    assert forbidden.any() and (dist[np.arange(kept.n), kept.action][forbidden] == 0).all()


@pytest.mark.parametrize(
    ("change", "weeks", "kind", "said"),
    [
        (lambda d: d.assign(pscore=float("nan")), 2, "decisions", "their chances estimated, so weakly at best"),
        (lambda d: d[d["offer"] == "none"], 2, "decisions", "not estimable: .* 0 of them with an offer"),
        (lambda d: d[d["slot"] < 20], 2, "decisions", "not estimable: 0 decisions"),
        (lambda d: None, 1, "campaigns", "not estimable for any agent that makes offers"),
    ],
)
def test_what_a_log_cannot_tell_is_said(
    shop: tuple[Path, World], tmp_path: Path, change: Change, weeks: int, kind: str, said: str
) -> None:
    found = judged(shop, tmp_path, change, weeks)
    assert found["kind"] == kind and pd.Series([found["said"]]).str.contains(said).all()
    assert log_line(found).startswith("off-policy: ")
    verdicts = {row["agent"]: row.get("verdict") or row["uplift"]["overlap"]["verdict"] for row in found["agents"]}
    assert Verdict.ESTIMABLE not in verdicts.values()
    if kind == "campaigns":
        assert verdicts == {"no_offer": Verdict.WEAK, "random": Verdict.NOT_ESTIMABLE}
        assert "never which offer" in found["agents"][1]["why"]
        assert found["campaign"]["uplift"]["overlap"]["pscore_estimated"]


def test_several_shops_and_an_unknown_offer_are_not_judged_by(shop: tuple[Path, World], tmp_path: Path) -> None:
    two = shop[0], replace(shop[1], market=replace(shop[1].market, shops=2))
    assert "several shops" in judged(two, tmp_path / "two")["said"]
    with pytest.raises(InputError, match="offer is 'gift'; expected one of"):
        judged(shop, tmp_path / "gift", lambda d: d.assign(offer="gift"))


@pytest.mark.parametrize("change", [lambda d: d, lambda d: None, lambda d: d[:0], lambda d: d[d["offer"] == "none"]])
def test_the_section_shows_both_sides_and_has_a_verdict_for_every_agent(
    shop: tuple[Path, World], tmp_path: Path, change: Change
) -> None:
    market = {"value": 0.2, "lo": 0.1, "hi": 0.3, "error": 0.05, "n": 100}
    agents = [{"agent": name, "uplift": market, "gap": 0.01} for name in ("random", "no_offer")]
    page = off_policy.section(beside_market(judged(shop, tmp_path, change), agents), "USD")
    first = next(block for block in page.blocks if isinstance(block, Table))
    assert [row[0] for row in first.rows][:2] == ["random", "no_offer"]
    assert all(row[1] == "0.200 (0.100 to 0.300)" and row[4] for row in first.rows[:2])
    assert all(row[4] in set(Verdict) and row[5] for row in first.rows)


@pytest.mark.xdist_group("tiny_run")
def test_evaluate_writes_the_file_and_the_report_shows_it(finished: Path) -> None:
    record = read_json(finished / "evaluate" / FILE)
    assert record["kind"] == "campaigns" and {"market", "gap"} <= set(record["agents"][0])
    assert "What the log says" in (finished / "report.html").read_text("utf-8")
