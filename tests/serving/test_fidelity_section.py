"""The sections on fidelity and on planning say in words what came out, whatever could be measured."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evaluation.fidelity.judgement import Record, judge_fidelity
from evaluation.fidelity.trajectories import Trajectories
from serving import summary
from serving.figures import Chart
from serving.report import render
from serving.report_data import ReportData
from serving.section import Section, Table
from serving.sections import fidelity, warrant


def lives(shape: tuple[int, ...], seed: int) -> Trajectories:
    rng = np.random.default_rng(seed)
    baskets = (rng.random(shape) < 0.6) * (1.0 + rng.poisson(0.5, shape))
    spend = baskets * rng.lognormal(3, 0.5, shape)
    return Trajectories(baskets, spend, 0.3 * spend)


def judged(weeks: int) -> dict[str, Any]:
    record = Record(
        np.arange(43, 43 + weeks), lives((120, 20), 0), lives((120, weeks), 1), {52: "Christmas is assumed"}
    )
    offers = [{"name": "Type A", "predicted": 0.2, "observed": 0.19, "lo": 0.15, "hi": 0.23, "n": 300}]
    return judge_fidelity(record, lives((4, 120, weeks), 2), {"visit": None, "offers": offers}, seed=0)


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return judged(10)


def tables(section: Section) -> list[Table]:
    return [block for block in section.blocks if isinstance(block, Table)]


def test_every_metric_stands_in_the_table_with_its_threshold_and_verdict(whole: dict[str, Any]) -> None:
    rows = tables(fidelity.section(whole, "EUR"))[-1].rows
    assert [row[0] for row in rows] == [metric["label"] for metric in whole["metrics"]]
    assert {row[-1] for row in rows} <= {
        "passed",
        "FAILED",
        "not measured: the held-out weeks do not hold both outcomes",
    }


def test_the_section_draws_weeks_shapes_and_memory_in_the_currency_of_the_shop(whole: dict[str, Any]) -> None:
    section = fidelity.section(whole, "EUR")
    charts = [block for block in section.blocks if isinstance(block, Chart)]
    assert len(charts) == 3 and "EUR per week" in charts[0].svg
    assert any(getattr(block, "text", "") == "Week 52: Christmas is assumed." for block in section.blocks)


def test_the_verdict_is_one_sentence_that_counts(whole: dict[str, Any]) -> None:
    failed = {**whole, "verdict": "FAIL", "failed": ["a", "b"]}
    assert fidelity.verdict_words(failed).startswith("FAIL: the market misses 2 of ")
    assert fidelity.verdict_words({**whole, "verdict": "PASS"}).startswith("PASS: the market keeps all ")
    assert "1 could not be measured" in fidelity.verdict_words(whole)


def test_a_history_too_short_is_told_in_words_without_charts() -> None:
    section = fidelity.section(judged(6), "USD")
    assert section.verdict.startswith("NOT MEASURED") and "too short" in section.verdict
    assert not [block for block in section.blocks if isinstance(block, Chart)]


def test_the_first_screen_warns_of_a_market_that_was_published_all_the_same(report: ReportData) -> None:
    assert "Warning" not in summary.honesty(report)
    gate = {"verdict": "FAIL", "failed": ["x", "y"], "not_measured": [], "override": "a demo"}
    warned = replace(report, manifest={**report.manifest, "fidelity": gate})
    assert summary.honesty(warned).startswith("Warning: the simulated market failed 2 checks of whether it behaves")
    assert "because: a demo." in render(warned)
    unknown = {**report.manifest, "fidelity": {**gate, "verdict": "NOT MEASURED", "failed": []}}
    assert "nothing shows that" in summary.honesty(replace(report, manifest=unknown))


def test_planning_is_shown_beside_greedy_and_without_a_share_where_greedy_gains_nothing() -> None:
    one = {"value": 1.0, "lo": 0.5, "hi": 1.5, "error": 0.2, "n": 9}
    data: dict[str, Any] = {
        "customers": 400, "draws": 12, "weeks": 8, "material": 0.05, "verdict": "cannot tell: so it is",
        "policies": {name: {"gain": one, "offers": 2.0} for name in ("greedy", "patient", "planned")},
        "over_greedy": {"patient": one, "planned": one}, "share": {"patient": one, "planned": None},
    }  # fmt: skip
    section = warrant.section(data, "USD")
    assert section.verdict == "Cannot tell: so it is."
    assert [row[2] for row in tables(section)[0].rows] == ["–", "100.0 % (50.0 % to 150.0 %)", "–"]
