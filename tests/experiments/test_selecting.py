"""Which agent is picked, by validation and by the held-out market, and how it reads on the page."""

import numpy as np
import pytest

from experiments.selecting import judge_selection
from serving.section import Note, Table
from serving.sections.selection import section


def uplift(mean: float, seeds: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shared = 0.2 * np.random.default_rng(9).normal(size=(1, 12, 1))
    return mean + shared + 0.3 * rng.normal(size=(seeds, 12, 80))


WORTH = {"ppo": 0.5, "knapsack": 0.4, "no_offer": 0.0}
HELD_OUT = {agent: uplift(mean, seed=i) for i, (agent, mean) in enumerate(WORTH.items())}
HOME = {"ppo": uplift(0.9, seed=5), "knapsack": uplift(0.4, seed=6), "no_offer": uplift(0.0, seed=7)}


def test_the_better_agent_is_likely_the_best_and_costs_least_to_pick() -> None:
    found = judge_selection({"ppo": 0.2, "knapsack": 0.3, "no_offer": 0.0}, HOME, HELD_OUT, "knapsack")
    rows = {row["agent"]: row for row in found["agents"]}
    assert rows["ppo"]["chance_best"] > 0.9 and rows["ppo"]["expected_regret"] < rows["knapsack"]["expected_regret"]
    assert sum(row["chance_best"] for row in rows.values()) == pytest.approx(1.0)
    tail = rows["ppo"]["tail"]
    assert tail["lo"] <= tail["value"] <= tail["hi"] and tail["value"] < rows["ppo"]["uplift"]
    assert found["picked"] == "knapsack" and found["in_place"] == "no_offer"
    assert found["picks"][0]["regret"] == pytest.approx(HELD_OUT["ppo"].mean() - HELD_OUT["knapsack"].mean())
    assert found["claims"] == {
        "reference": "knapsack", "claimed": ["ppo"], "better": 1, "worse": 1, "type_i": 0.0, "type_ii": 0.0,
    }  # fmt: skip


def test_the_section_says_who_is_best_and_what_the_pick_cost() -> None:
    shown = section(judge_selection({"ppo": 0.2, "knapsack": 0.3, "no_offer": 0.0}, HOME, HELD_OUT, "knapsack"), "USD")
    assert shown.verdict.startswith("PPO is best on the held-out market with a chance of over 99 %")
    assert "validation picked knapsack, −0." in shown.verdict
    tables = [block for block in shown.blocks if isinstance(block, Table)]
    assert [len(table.rows) for table in tables] == [3, 3]
    assert any(isinstance(b, Note) and "PPO would have been said to beat knapsack" in b.text for b in shown.blocks)


def test_one_agent_alone_is_the_best_and_beats_nobody() -> None:
    found = judge_selection({"lin_ts": 0.1}, {"lin_ts": HOME["ppo"]}, {"lin_ts": HELD_OUT["ppo"]}, "knapsack")
    assert found["agents"][0]["chance_best"] == 1.0 and found["claims"] is None and found["in_place"] is None
    assert "also the best there" in section(found, "USD").verdict
