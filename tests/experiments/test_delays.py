"""The study of later consequences: its figures by hand, and a small run of it that goes on where it stopped."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns.errors import InputError
from experiments.config import Config, DelaysConfig
from experiments.delays import run_delays, summarise


def test_the_share_of_the_gap_is_that_of_means_over_seeds_and_customers() -> None:
    rows = [
        {"job": ["mild", name, seed], "gain": gain}
        for name, seed, gain in (
            ("greedy", 0, [1.0, 1.0]),
            ("plan", 0, [2.0, 4.0]),
            ("schedule", 0, [2.0, 3.0]),
            ("knapsack", 0, [1.0, 2.0]),
            ("knapsack", 1, [0.0, 1.0]),
            ("ppo", 0, [2.0, 3.0]),
        )
    ]
    found = summarise(rows)
    assert found["gap"][0] == pytest.approx(3.0 / 1.0 - 1.0)
    ppo = found["policies"]["ppo"]
    assert ppo["closed"][0] == pytest.approx((2.5 - 1.0) / (3.0 - 1.0)) and ppo["seeds"] == [2.5]
    assert ppo["closed"][1] <= ppo["closed"][0] <= ppo["closed"][2]
    assert found["policies"]["knapsack"]["seeds"] == [1.5, 0.5]


def test_where_planning_brings_nothing_there_is_no_gap_to_close() -> None:
    rows = [{"job": ["none", name, 0], "gain": [1.0, 2.0]} for name in ("plan", "schedule", "knapsack", "ppo")]
    assert "closed" not in summarise(rows)["policies"]["ppo"]


def test_the_knapsack_that_others_are_held_against_must_be_there() -> None:
    with pytest.raises(InputError, match="expected knapsack and some of"):
        DelaysConfig(strengths={}, effects={}, settings={}, agents=["ppo"])


@pytest.mark.slow
def test_a_study_of_the_committed_strengths_goes_on_where_it_stopped(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    short = ("customers=[40,20,20]", "seeds=1", "lives=2", "lucks=1", "agents=[knapsack,lin_ts]")
    settings = ("+delays.settings.knapsack.steps=1", "+delays.settings.lin_ts={steps:1}")
    config = configure(tmp_path, *(f"delays.{one}" for one in short), *settings)
    path = run_delays(config)
    found = json.loads(path.read_text("utf-8"))["found"]
    assert set(found) == {"none", "mild", "strong"}
    assert found["strong"]["policies"]["greedy"]["gain"][0] < found["none"]["policies"]["greedy"]["gain"][0]
    lines = path.with_suffix(".jsonl").read_text("utf-8").splitlines(keepends=True)
    path.with_suffix(".jsonl").write_text("".join(lines[:-1]), "utf-8")
    run_delays(config)
    again = path.with_suffix(".jsonl").read_text("utf-8").splitlines(keepends=True)
    assert sorted(again) == sorted(lines) and json.loads(path.read_text("utf-8"))["found"] == found
