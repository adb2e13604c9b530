"""From a shop's CSV files to a published policy and a report, small: what is there, and that it is true."""

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.evaluate import read_evaluation
from experiments.runs import MANIFEST
from experiments.train import run_train
from history.artifacts import hash_file, read_tensors
from serving.publishing import read_policy
from tests.experiments.conftest import AGENTS, Configure
from tests.experiments.fabricated_shop import CUSTOMERS

pytestmark = pytest.mark.xdist_group("tiny_run")
FILES = {
    "explanations.sqlite",
    "policy_by_customer.parquet",
    "policy_by_customer.csv",
    "policy_by_customer_spreadsheet.csv",
    "policy.xlsx",
    "policy.sqlite",
    "policy_by_segment.csv",
    "policy_by_budget.parquet",
    "manifest.json",
}


@pytest.fixture(scope="module")
def evaluation(finished: Path) -> dict[str, Any]:
    return read_evaluation(finished)


@pytest.fixture(scope="module")
def manifest(finished: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((finished / "policy" / MANIFEST).read_text("utf-8"))
    return found


def test_every_step_left_a_manifest_whose_hashes_are_true(finished: Path) -> None:
    manifests = sorted(finished.glob("**/manifest.json"))
    assert {str(path.parent.relative_to(finished)) for path in manifests} == {
        "prepare",
        "fit",
        "evaluate",
        "policy",
        *(f"train/{agent[0].removeprefix('agent=')}-0" for agent in AGENTS),
    }
    for path in manifests:
        files = json.loads(path.read_text("utf-8"))["files"]
        assert files, path
        for name, digest in files.items():
            assert hash_file(path.parent / name) == digest, (path, name)


def test_the_policy_folder_holds_its_files_and_nothing_half_written(finished: Path) -> None:
    assert {path.name for path in (finished / "policy").iterdir()} == FILES
    assert not [path for path in finished.rglob(".*") if path.is_file()]
    assert not list(finished.glob(".policy*"))


def test_there_is_one_row_for_every_customer(finished: Path) -> None:
    customers = read_policy(finished / "policy").customers
    assert len(customers) == CUSTOMERS
    assert customers["customer_id"].is_unique
    assert customers["customer_id"].str.fullmatch(r"\d{4}").all()


def test_the_csv_says_what_the_parquet_says(finished: Path) -> None:
    exact = read_policy(finished / "policy").customers
    text = pd.read_csv(
        finished / "policy" / "policy_by_customer.csv", dtype={"customer_id": "str"}, encoding="utf-8-sig"
    )
    for name in exact.columns:
        written = text[name]
        if isinstance(exact[name].dtype, pd.StringDtype):
            written = written.fillna("").astype("str")
        elif exact[name].dtype.kind == "M":
            written = pd.to_datetime(written)
        assert (written == exact[name]).all(), name


def test_offers_begin_after_the_last_week_of_the_data(finished: Path) -> None:
    customers = read_policy(finished / "policy").customers
    assert set(customers["valid_from"]) == {pd.Timestamp("2024-11-11")}  # 45 weeks after 2024-01-01
    assert (customers["valid_to"] > customers["valid_from"]).all()


def test_no_agent_ever_asked_for_a_forbidden_offer(evaluation: dict[str, Any]) -> None:
    assert {row["agent"] for row in evaluation["agents"]} == {"ppo", "lin_ts", "knapsack", "no_offer"}
    assert [row["violations"] for row in evaluation["agents"]] == [0] * 4


def test_every_value_of_an_agent_has_its_interval(evaluation: dict[str, Any]) -> None:
    for row in evaluation["agents"]:
        for name in ("uplift", "cost"):
            assert row[name]["lo"] <= row[name]["value"] <= row[name]["hi"]


def test_no_offer_brings_and_costs_exactly_nothing(evaluation: dict[str, Any]) -> None:
    (row,) = (row for row in evaluation["agents"] if row["agent"] == "no_offer")
    assert row["uplift"]["value"] == row["cost"]["value"] == row["gap"] == 0.0
    assert row["roi"] is None


def test_the_manifest_ties_the_policy_to_everything_that_it_came_from(finished: Path, manifest: dict[str, Any]) -> None:
    steps = {name: hash_file(finished / name) for name in manifest["data"]}
    assert manifest["data"] == steps
    assert {"prepare/manifest.json", "fit/manifest.json", "evaluate/manifest.json"} < set(steps)
    assert manifest["policy"]["agent"] == "lin_ts"
    assert manifest["budget"]["price"] >= 0
    assert manifest["catalog"]["offers"][0]["name"] == "none"
    assert set(manifest["provenance"]) == {"learned", "estimate+prior", "assumed"}
    assert re.fullmatch(r"[0-9a-f]{40}(\+changed)?|unknown", manifest["git_commit"])


def test_what_is_learned_and_what_is_assumed_is_named_with_its_source(finished: Path) -> None:
    rows = json.loads((finished / "fit" / "provenance.json").read_text("utf-8"))
    origin = {row["name"]: row["origin"] for row in rows}
    assert origin["visit_rate"] == origin["spend_given_visit"] == "learned"
    assert {origin[f"visit_lift.{kind}"] for kind in ("coupon", "discount", "gift")} == {"assumed"}
    assert origin["gross_margin"] == "assumed"
    assert all(row["source"] and row["unit"] and row["error"] >= 0 for row in rows)


def test_the_report_is_one_file_that_asks_for_nothing_else(finished: Path) -> None:
    page = (finished / "report.html").read_text("utf-8")
    assert not re.search(r"<(script|link|iframe|object|embed|img)\b", page)
    assert not re.search(r"(?:src|href)=[\"'](?!#)", page)
    assert "url(http" not in page


def test_the_report_says_that_the_figures_are_of_this_shop_and_what_its_tables_lack(finished: Path) -> None:
    page = (finished / "report.html").read_text("utf-8")
    assert "shop.yaml" in page
    assert "promotions" in page
    assert "completejourney" not in page.replace("_", "").lower()


def test_segments_are_ordered_rules_that_end_in_a_catch_all(finished: Path) -> None:
    with (finished / "policy" / "policy_by_segment.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["segment"]) for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) <= 32
    assert [row["condition"] == "" for row in rows] == [False] * (len(rows) - 1) + [True]
    assert sum(int(row["customers"]) for row in rows) == CUSTOMERS


def test_training_writes_business_figures_and_settings_for_tensorboard(finished: Path) -> None:
    events = EventAccumulator(str(finished / "train" / "ppo-0" / "tensorboard"))
    events.Reload()
    tags = events.Tags()["scalars"]
    for figure in (
        "margin_per_customer_week",
        "uplift_per_customer_week",
        "cost_per_customer_week",
        "cost_over_budget",
        "redemption_rate",
        "entropy",
        "violations",
    ):
        assert f"business/{figure}/price_0" in tags
    for offer in ("none", "coupon_1", "flash_sale"):
        assert f"offer_share/{offer}/price_1" in tags
    assert "rollout/reward_usd_per_customer_week" in tags
    assert "train/loss" in tags
    assert [event.value for event in events.Scalars("business/violations/price_0")][-1] == 0.0
    shares = [events.Scalars(tag)[-1].value for tag in tags if re.fullmatch(r"offer_share/.*/price_0", tag)]
    assert sum(shares) == pytest.approx(1.0, abs=1e-5)


def test_training_hands_its_settings_to_tensorboard_as_hparams(finished: Path) -> None:
    events = EventAccumulator(str(finished / "train" / "ppo-0" / "tensorboard"))
    events.Reload()
    starts = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"agent.learning_rate" in starts
    assert b"agent.minibatch" in starts
    assert "_hparams_/experiment" in events.summary_metadata
    described = json.loads((finished / "train" / "ppo-0" / "policy.json").read_text("utf-8"))
    assert events.Scalars("validation/final")[-1].value == pytest.approx(described["validation"], abs=1e-6)


def test_two_seeds_give_different_weights(finished: Path, tmp_path: Path, configure: Configure) -> None:
    for step in ("prepare", "fit"):
        shutil.copytree(finished / step, tmp_path / "tiny" / step)
    run_train(configure(tmp_path, *AGENTS[0], "seed=1"))
    first = read_tensors(finished / "train" / "ppo-0" / "policy.safetensors")
    second = read_tensors(tmp_path / "tiny" / "train" / "ppo-1" / "policy.safetensors")
    assert first.keys() == second.keys()
    assert not any(first[name].equal(second[name]) for name in first)
