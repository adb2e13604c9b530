"""The table of runs says of each trained agent what its files say; TensorBoard has what its layout asks for."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.circumstances import CIRCUMSTANCES
from experiments.collect import run_collect
from experiments.monitor import FINAL, HELD_OUT, curves_layout
from experiments.runs import MANIFEST
from history.artifacts import read_json, write_json
from tests.experiments.conftest import Configure

pytestmark = pytest.mark.xdist_group("tiny_run")


def test_the_table_has_a_row_for_each_agent_and_seed_with_settings_figures_and_circumstances(
    finished: Path, tmp_path: Path, configure: Configure
) -> None:
    shutil.copytree(finished, tmp_path / "tiny")
    write_json(tmp_path / "tiny" / "failed" / "x.json", {"label": "agent=ppo seed=9", "reason": "no memory"})
    run_collect(configure(tmp_path))
    table = pd.read_parquet(tmp_path / "runs.parquet")
    done = table[table["state"] == "finished"].set_index("agent")
    assert set(done.index) == {"ppo", "lin_ts", "knapsack", "no_offer"}
    policy = read_json(finished / "train" / "ppo-0" / "policy.json")
    row = done.loc["ppo"]
    assert (row["seed"], row["validation"], row["kernel"]) == (0, policy["validation"], "plain")
    assert row["config.agent.minibatch"] == 256 and row["config.fit.market.horizon.campaign_weeks"] == 4
    assert row["threads"] == 1 and row["seconds"] > 0 and row["versions.torch"] and len(row["commit"]) >= 40
    agents = read_json(finished / "evaluate" / "evaluation.json")["agents"]
    uplift = {agent["agent"]: agent["uplift"]["value"] for agent in agents}
    assert done["held_out_uplift"].to_dict() == pytest.approx(uplift), "one seed each, so its mean is the agent's"
    assert list(table[table["state"] == "failed"]["reason"]) == ["no memory"]
    assert "<svg" in (tmp_path / "runs.html").read_text("utf-8")


def test_a_policy_that_was_trained_anew_after_its_evaluation_has_no_held_out_figure(
    finished: Path, tmp_path: Path, configure: Configure
) -> None:
    shutil.copytree(finished, tmp_path / "tiny")
    manifest = tmp_path / "tiny" / "train" / "lin_ts-0" / MANIFEST
    manifest.write_text(manifest.read_text("utf-8") + "\n", "utf-8")
    table = run_collect(configure(tmp_path)).set_index("agent")
    assert pd.isna(table.loc["lin_ts", "held_out_uplift"]) and pd.notna(table.loc["ppo", "held_out_uplift"])


def test_the_circumstances_of_a_training_are_no_part_of_its_result(finished: Path) -> None:
    assert (finished / "train" / "ppo-0" / CIRCUMSTANCES).is_file()
    assert CIRCUMSTANCES not in (finished / "train" / "ppo-0" / MANIFEST).read_text("utf-8")


def test_every_line_of_the_custom_layout_is_logged_and_held_out_figures_stand_beside_them(finished: Path) -> None:
    events = EventAccumulator(str(finished / "train" / "ppo-0" / "tensorboard")).Reload()
    tags = events.Tags()
    offers = [tag.split("/")[1] for tag in tags["scalars"] if re.match(r"offer_share/.*/price_0$", tag)]
    layout = curves_layout([0.0, 1.0], offers)
    lines = [line for charts in layout.values() for _, lines in charts.values() for line in lines]
    missing = [line for line in lines if not any(re.match(line, tag) for tag in tags["scalars"])]
    assert [line for line in missing if "device" not in line] == [], "device memory is logged on a GPU alone"
    assert set(layout) == {"business, by budget price λ", "learning", "speed"}
    assert {FINAL, HELD_OUT} <= set(tags["scalars"])
    evaluated = {row["agent"]: row for row in read_json(finished / "evaluate" / "evaluation.json")["agents"]}
    held_out = events.Scalars(HELD_OUT)[-1].value
    assert held_out == pytest.approx(evaluated["ppo"]["uplift"]["value"], rel=1e-5)
    assert "summary/text_summary" in tags["tensors"] and "custom_scalars__config__" in tags["tensors"]
    assert json.dumps(tags["scalars"]).count("validation/score") == 1
