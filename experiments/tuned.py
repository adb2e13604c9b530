"""What a search came to: a table of trials, charts on a page, and the best settings as a preset."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
import pandas as pd
import yaml
from optuna.trial import FrozenTrial, TrialState

from campaigns.errors import InputError
from experiments.study import reason_of, settings_of
from experiments.tuned_charts import history_chart, importance_chart, parallel_chart
from history.artifacts import write_json, write_table, write_text
from serving.page import write_page
from serving.section import Note, Section, Table

PRESETS: Final = "conf"
ENOUGH: Final = 4
"""Finished trials from which importances can be said."""


def write_summary(study: optuna.Study, kind: str, folder: Path) -> dict[str, Any]:
    """Write and print what a search came to; return the best settings.

    Args:
        study: The search.
        kind: Of the agent.
        folder: Of the search; it gets `trials.parquet`, `trials.csv`, `summary.html`, `best.json` and the preset.

    Raises:
        InputError: No trial was finished.
    """
    table = table_of(study)
    write_table(folder / "trials.parquet", table)
    write_text(folder / "trials.csv", table.to_csv(index=False))
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        raise InputError(f"{folder}: none of {len(table)} trials finished; the first failed: {_first_reason(study)}")
    best = {"settings": settings_of(study.best_params), "validation": study.best_value, "trials": len(table)}
    write_json(folder / "best.json", best)
    preset = write_preset(folder / PRESETS, kind, study)
    important = importances(study)
    _write_page(folder / "summary.html", kind, table, important)
    _say(table, best, important, preset, folder)
    return best


def table_of(study: optuna.Study) -> pd.DataFrame:
    """Return one row per trial: its state, score, how far it came, how long it took, why it failed, its settings."""
    rows = []
    for trial in study.get_trials(deepcopy=False):
        steps = trial.intermediate_values
        scores = [value for value in steps.values() if np.isfinite(value)]
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                "validation": trial.value if trial.state is TrialState.COMPLETE else np.nan,
                "best_on_the_way": max(scores, default=np.nan),
                "last_validated_at": max(steps, default=0),
                "seconds": float(trial.user_attrs.get("seconds", np.nan)),
                "reason": reason_of(trial),
                **{f"agent.{name}": value for name, value in trial.params.items()},
            }
        )
    return pd.DataFrame(rows)


def importances(study: optuna.Study) -> dict[str, float]:
    """Return the share of the score's variance that each setting explains; empty where too few trials finished.

    Reference:
        Hutter, Hoos & Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(done) < ENOUGH or len({trial.value for trial in done}) == 1:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def write_preset(folder: Path, kind: str, study: optuna.Study) -> Path:
    """Write the best settings as `agent/<kind>_best.yaml`, to be chosen with `--config-dir <folder>`."""
    best = study.best_trial
    head = f"# Trial {best.number} of {len(study.trials)}, {best.value:+.4f} per customer-week on validation.\n"
    body = {"defaults": [f"{kind}_schema"], **settings_of(best.params)}
    path = folder / "agent" / f"{kind}_best.yaml"
    write_text(path, head + yaml.safe_dump(body, sort_keys=False))
    return path


def _first_reason(study: optuna.Study) -> str:
    failed: list[FrozenTrial] = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    return reason_of(failed[0]) if failed else "there is none that failed either"


def _write_page(path: Path, kind: str, table: pd.DataFrame, important: Mapping[str, float]) -> None:
    counts = table["state"].value_counts()
    said = ", ".join(f"{count} {state}" for state, count in counts.items())
    best = table.iloc[int(table["validation"].argmax())]
    verdict = (
        f"Of {len(table)} trials ({said}), trial {best['trial']} scored best: {best['validation']:+.4f} per "
        "customer-week on the validation market."
    )
    note = Note(
        "One seed each: a difference between two trials may be luck of the seed. Train the best settings with several "
        "seeds before you claim anything."
    )
    charts = [chart for chart in (history_chart(table), parallel_chart(table), importance_chart(important)) if chart]
    sections = [
        Section("search", "What was found", verdict, [note, *charts]),
        Section("trials", "All trials", f"{len(table)} trials, best first.", [_table(table)]),
    ]
    write_page(path, f"search for settings of {kind}", sections)


def _table(table: pd.DataFrame) -> Table:
    shown = table.sort_values("validation", ascending=False, kind="stable", na_position="last")
    headings = [name.removeprefix("agent.").replace("_", " ") for name in shown.columns]
    rows = [[_cell(value) for value in row] for row in shown.itertuples(index=False)]
    return Table("Scores per customer-week, mean over λ.", headings, rows, text=("state", "reason"))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value)


def _say(
    table: pd.DataFrame, best: Mapping[str, Any], important: Mapping[str, float], preset: Path, folder: Path
) -> None:
    shown = table.sort_values("validation", ascending=False, kind="stable", na_position="last").head(10)
    short = shown.rename(columns=lambda name: name.removeprefix("agent."))
    print(short.to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep="-"))
    if important:
        print("tune: matters most: " + ", ".join(f"{name} {share:.0%}" for name, share in important.items()))
    found = " ".join(f"agent.{name}={value}" for name, value in best["settings"].items())
    print(f"tune: best of {best['trials']} trials {best['validation']:+.4f} USD per customer-week: {found}")
    print(f"tune: charts in {folder / 'summary.html'}; use it with --config-dir {folder / PRESETS} agent={preset.stem}")
