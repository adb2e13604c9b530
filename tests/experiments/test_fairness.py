"""Fairness of a run's table: judged by attributes that no decision reads, and said in the report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campaigns.catalog import load_catalog
from campaigns.errors import InputError
from evaluation.fairness.settings import FairnessConfig
from experiments.fairness import Brought, Decided, Decider, judge_fairness
from history.artifacts import read_json
from serving.distillation import Decisions, distill
from serving.section import Note, Table
from serving.sections import fairness
from tests.agents.market import LAYOUT, draw_context
from tests.evaluation.fairness.test_twins_and_proxies import By


@pytest.fixture
def judge() -> Callable[..., dict[str, Any]]:
    """Return a function that judges 3,000 customers of whom `apart` fewer of the young get an offer."""

    catalog = load_catalog(Path("conf/offers/default.yaml"))

    def judged(apart: float, stated: bool = True, **config: Any) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        n = 3000
        customers = pd.DataFrame({"customer": np.arange(n), "customer_id": [str(i) for i in range(n)]})
        if stated:
            customers["age"] = rng.choice(["old", "young"], n)
            offered = 0.5 - apart * (customers["age"] == "young").to_numpy()
        else:
            offered = np.full(n, 0.5)
        chances = np.stack([1.0 - offered, offered], axis=1)
        decided = Decided(np.arange(n), chances, offered * rng.uniform(0.5, 1.5, n))
        brought = Brought(np.arange(0, n, 3), rng.normal(0.3, 1.0, (4, 1000)))
        features = pd.DataFrame({"weeks_since_visit": rng.integers(0, 9, 100)})
        gain = np.zeros((100, catalog.n))
        segments = distill(Decisions(features, np.zeros(100, np.int64), gain, np.zeros_like(gain), 0.0), catalog)
        decider = Decider(By(0), draw_context(200, seed=1), LAYOUT, segments)
        return judge_fairness(customers, decided, brought, decider, FairnessConfig(**config))

    return judged


def test_who_is_treated_worse_is_named_and_the_section_says_so(judge: Callable[..., dict[str, Any]]) -> None:
    found = judge(0.3)
    (age,) = found["attributes"]
    assert found["finding"] == age["finding"] == "fail" and age["worst"]["offer_rate"]["group"] == "young"
    assert [group["group"] for group in age["groups"]] == ["old", "young"]
    assert all(group["uplift"]["n"] == group["held_out"] for group in age["groups"])
    assert any(one["p_value"] < 0.05 for one in age["proxy"])
    shown = fairness.section(found, "USD")
    assert shown.verdict == "Groups by age are apart by more than 0.8 of each other."
    assert sum(isinstance(block, Table) for block in shown.blocks) == 2
    assert any(isinstance(block, Note) and "tell better than guessing" in block.text for block in shown.blocks)


def test_equal_treatment_passes(judge: Callable[..., dict[str, Any]]) -> None:
    found = judge(0.0)
    assert found["finding"] == "pass" and found["verdict"] == "groups by age are within 0.8 of each other"


def test_what_must_not_matter_and_does_fails_whatever_the_groups(judge: Callable[..., dict[str, Any]]) -> None:
    found = judge(0.0, forbidden=list(LAYOUT.feature_names[:2]))
    assert [twin["passes"] for twin in found["twins"]] == [False, True] and found["finding"] == "fail"
    assert found["verdict"].endswith(f"decisions move with {LAYOUT.feature_names[0]}, which must not matter")
    assert len([b for b in fairness.section(found, "USD").blocks if isinstance(b, Table)]) == 3


def test_without_any_attribute_nothing_is_measured(judge: Callable[..., dict[str, Any]]) -> None:
    found = judge(0.0, stated=False)
    assert found["finding"] == "not estimable"
    assert found["verdict"] == "not measured: the source states no attribute of a customer"
    with pytest.raises(InputError, match="'age' is no attribute of a customer; the source states no attribute"):
        judge(0.0, stated=False, protected=["age"])


def test_settings_that_make_no_sense_are_refused(judge: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(InputError, match=r"export.fairness.limit is 1.5"):
        FairnessConfig(limit=1.5)
    with pytest.raises(InputError, match="'shoe' is no attribute of a customer; expected some of age"):
        judge(0.0, protected=["shoe"])


def test_a_run_judges_its_table(finished: Path) -> None:
    found = read_json(finished / "fairness.json")
    assert found["customers"] > 0 and found["held_out"] > 0 and found["verdict"]
    assert "Is it fair?" in (finished / "report.html").read_text("utf-8")
