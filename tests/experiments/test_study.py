"""A search goes on where it stopped, repeats no point, prunes what lags, and sums up what it found."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from hydra import compose, initialize_config_dir
from optuna.trial import TrialState

from agents.lin_ts import LinTSConfig
from campaigns.errors import InputError
from experiments.config import TuneConfig, register_schemas
from experiments.main import CONF, to_config
from experiments.study import alone_in, broken_off, check_space, next_trial, open_study, report, suggest
from experiments.tuned import PRESETS, importances, table_of, write_summary
from history.artifacts import read_json, read_table

SPACE: dict[str, dict[str, Any]] = {
    "ridge": {"low": 1.0, "high": 1000.0, "log": True},
    "noise_usd": {"low": 0.3, "high": 10.0},
    "draws": {"choices": [50, 100]},
}
TUNE = TuneConfig(startup=3)


def try_some(folder: Path, trials: int, tune: TuneConfig = TUNE) -> optuna.Study:
    study = open_study(folder, tune)
    for _ in range(trials):
        trial = next_trial(study, tune, seed=0)
        study.tell(trial, -suggest(trial, SPACE)["noise_usd"])
    return study


def test_a_search_in_two_parts_tries_what_a_search_in_one_go_tries(tmp_path: Path) -> None:
    for name in ("once", "parts"):
        (tmp_path / name).mkdir()
    once = [trial.params for trial in try_some(tmp_path / "once", 6).trials]
    try_some(tmp_path / "parts", 3)
    parts = [trial.params for trial in try_some(tmp_path / "parts", 3).trials]
    assert parts == once
    assert len({params["ridge"] for params in once}) == 6


def test_a_trial_that_was_broken_off_goes_on_with_its_number_and_settings(tmp_path: Path) -> None:
    study = open_study(tmp_path, TUNE)
    before = suggest(next_trial(study, TUNE, seed=0), SPACE)
    study = open_study(tmp_path, TUNE)
    (trial,) = broken_off(study)
    assert trial.number == 0 and suggest(trial, SPACE) == before
    study.tell(trial, 1.0)
    assert broken_off(study) == []


def test_a_trial_that_lags_behind_the_median_is_ended_and_one_that_leads_is_not(tmp_path: Path) -> None:
    study = open_study(tmp_path, TUNE)
    for score in (1.0, 2.0, 3.0):
        trial = next_trial(study, TUNE, seed=0)
        assert not report(study, trial, 100, score)
        study.tell(trial, score)
    lagging, leading, _ = (next_trial(study, TUNE, seed=0) for _ in range(3))
    assert report(study, lagging, 100, 0.5)
    assert report(study, lagging, 100, 0.5), "a step that is come by again is taken as it was"
    assert not report(study, leading, 100, 4.0)
    patient = open_study(tmp_path, replace(TUNE, warmup=1000))
    assert not report(patient, broken_off(patient)[-1], 100, 0.5)


def test_without_pruning_nothing_is_ended(tmp_path: Path) -> None:
    tune = replace(TUNE, prune=False, startup=1)
    study = open_study(tmp_path, tune)
    study.tell(next_trial(study, tune, seed=0), 5.0)
    assert not report(study, next_trial(study, tune, seed=0), 100, -5.0)


def test_two_searches_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.study.PATIENCE", 0.0)
    with alone_in(tmp_path), pytest.raises(InputError, match="another search is at work there"), alone_in(tmp_path):
        pass
    with alone_in(tmp_path):
        pass


@pytest.mark.parametrize(
    ("space", "named"),
    [
        ({}, "tune.space is empty"),
        ({"rigde": {"low": 1, "high": 2}}, "tune.space names 'rigde'"),
        ({"ridge": {"low": 1}}, "tune.space.ridge is"),
        ({"ridge": {"low": 1, "hihg": 2}}, "tune.space.ridge is"),
    ],
)
def test_a_space_with_a_mistake_is_refused_before_any_trial(space: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        check_space(space, LinTSConfig())


def failing_study(folder: Path) -> optuna.Study:
    study = try_some(folder, 6)
    trial = next_trial(study, TUNE, seed=0)
    suggest(trial, SPACE)
    trial.set_user_attr("reason", "the loss became NaN")
    study.tell(trial, state=TrialState.FAIL)
    return study


def test_the_summary_keeps_failed_trials_with_their_reason_and_its_preset_composes(tmp_path: Path) -> None:
    study = failing_study(tmp_path)
    best = write_summary(study, "lin_ts", tmp_path)
    table = read_table(tmp_path / "trials.parquet", "tune")
    assert list(table["state"]) == ["complete"] * 6 + ["fail"]
    assert table["reason"].iloc[-1] == "the loss became NaN"
    assert read_json(tmp_path / "best.json") == best
    assert best["validation"] == table["validation"].max()
    page = (tmp_path / "summary.html").read_text("utf-8")
    assert page.count("<svg") == 3 and "://" not in page.replace("http://www.w3.org", "")
    register_schemas()
    with initialize_config_dir(str(CONF)):
        found = compose("config", overrides=[f"hydra.searchpath=[file://{tmp_path / PRESETS}]", "agent=lin_ts_best"])
    assert to_config(found).agent == replace(LinTSConfig(), **best["settings"])
    assert yaml.safe_load((tmp_path / PRESETS / "agent" / "lin_ts_best.yaml").read_text("utf-8"))


def test_the_setting_that_alone_decides_the_score_matters_most(tmp_path: Path) -> None:
    important = importances(try_some(tmp_path, 20))
    assert next(iter(important)) == "noise_usd" and sum(important.values()) == pytest.approx(1.0)


def test_a_search_of_which_nothing_finished_says_why_in_one_line(tmp_path: Path) -> None:
    study = open_study(tmp_path, TUNE)
    trial = next_trial(study, TUNE, seed=0)
    suggest(trial, SPACE)
    trial.set_user_attr("reason", "no memory")
    study.tell(trial, state=TrialState.FAIL)
    with pytest.raises(InputError, match="none of 1 trials finished; the first failed: no memory"):
        write_summary(study, "lin_ts", tmp_path)
    assert len(table_of(study)) == 1
