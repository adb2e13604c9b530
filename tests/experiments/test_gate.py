"""A market that does not behave like the customers is not published, unless somebody says why, in words that stay."""

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campaigns.errors import InputError
from evaluation.fidelity.verdict import Metric, judge_metrics
from experiments.fidelity import assumed_weeks, fidelity_line, pass_gate, read_fidelity
from experiments.runs import MANIFEST
from experiments.warrant import read_warrant, run_warrant
from history.calendar import Calendar
from tests.experiments.conftest import Configure, Overrides

pytestmark = pytest.mark.xdist_group("tiny_run")


def found(**values: float | None) -> dict[str, Any]:
    metrics = [
        Metric(n, f"words of {n}", value, 0.65, required=True, why_not="too short") for n, value in values.items()
    ]
    return judge_metrics(metrics)


def test_a_faithful_market_needs_no_reason_and_its_manifest_says_so() -> None:
    assert pass_gate(found(auc=0.6), "") == {"verdict": "PASS", "failed": [], "not_measured": [], "override": None}
    assert pass_gate(found(auc=0.6), "never mind")["override"] is None
    assert fidelity_line(found(auc=0.6)) == "fidelity of the market: PASS"


@pytest.mark.parametrize("reason", ["", "  ", "\n"])
def test_an_unfaithful_market_is_refused_by_name_and_an_empty_reason_is_none(reason: str) -> None:
    with pytest.raises(InputError, match=r"failed auc, ks; .*export\.override_fidelity"):
        pass_gate(found(auc=0.9, ks=0.8, gap=0.1), reason)
    assert fidelity_line(found(auc=0.9)) == "fidelity of the market: FAIL: failed auc"


def test_a_market_of_which_nothing_is_known_is_refused_with_the_cause() -> None:
    with pytest.raises(InputError, match=r"not measured auc \(too short\)"):
        pass_gate(found(auc=None), "")


def test_a_reason_opens_the_gate_and_is_kept_with_what_failed() -> None:
    gate = pass_gate(found(auc=0.9, gap=None), " a demo,\n for  learning ")
    assert gate == {
        "verdict": "FAIL",
        "failed": ["words of auc"],
        "not_measured": ["words of gap"],
        "override": "a demo, for learning",
    }


def test_christmas_is_named_as_assumed_unless_two_were_seen() -> None:
    one_year = Calendar(date(2016, 12, 26), 1, 53)
    (only,) = assumed_weeks(one_year, np.arange(1, 54), range(42, 52)).items()
    assert only[0] == 52 and "held it never" in only[1]
    years = Calendar(date(2014, 12, 29), 1, 160)
    assert assumed_weeks(years, np.arange(1, 161), range(150, 160)) == {}
    assert assumed_weeks(one_year, np.arange(1, 54), range(20, 30)) == {}


def test_a_run_that_fails_is_refused_in_one_line(
    finished: Path, refuse: Callable[..., str], overrides: Overrides, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "tiny")
    shutil.rmtree(tmp_path / "tiny" / "policy")
    arguments = [a for a in overrides(tmp_path, "export.agent=lin_ts") if "override_fidelity" not in a]
    line = refuse("export", *arguments)
    assert "not measured active_inside" in line and "export.override_fidelity" in line and "too short" in line
    assert not (tmp_path / "tiny" / "policy").exists()


def test_the_reader_of_a_run_that_was_published_all_the_same_meets_the_reason_first(finished: Path) -> None:
    manifest = json.loads((finished / "policy" / MANIFEST).read_text("utf-8"))
    assert manifest["fidelity"]["override"] == "a fabricated shop of 45 weeks"
    page = (finished / "report.html").read_text("utf-8")
    first = page[page.index('id="first"') : page.index("<nav")]
    assert "a fabricated shop of 45 weeks" in first and "Warning" in first
    assert '<section id="fidelity">' in page


def test_fidelity_is_written_beside_the_evaluation(finished: Path) -> None:
    fidelity = read_fidelity(finished)
    assert fidelity["verdict"] == "NOT MEASURED"
    assert len(fidelity["weeks"]) == 9
    assert {metric["name"] for metric in fidelity["metrics"]} >= {"spend_crps_household", "two_sample_boosting"}


def test_the_warrant_asks_for_the_market_first(
    refuse: Callable[..., str], overrides: Overrides, tmp_path: Path
) -> None:
    assert "run `python -m experiments.fit` first" in refuse("warrant", *overrides(tmp_path, "name=none"))


@pytest.mark.slow
def test_the_warrant_is_written_once(
    finished: Path, configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in ("prepare", "fit"):
        shutil.copytree(finished / step, tmp_path / "tiny" / step)
    run_warrant(configure(tmp_path))
    assert set(read_warrant(tmp_path / "tiny")["policies"]) == {"greedy", "patient", "planned"}
    capsys.readouterr()
    run_warrant(configure(tmp_path))
    assert "up to date" in capsys.readouterr().out
