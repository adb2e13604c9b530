"""Plan an experiment between the arms of a policy table, or say what came of one.

python -m experiments.ab name=demo
python -m experiments.ab name=demo ab.act=analyse ab.outcomes=outcomes.parquet
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from campaigns.errors import InputError
from experiments.abtest import analysis, plan
from experiments.abtest.outcomes import Assigned, read_outcomes
from experiments.abtest.settings import Task
from experiments.config import Config
from experiments.history import full_weeks
from experiments.main import main, of_budget, run_folder
from history.artifacts import hash_file, read_json, write_json
from history.panel import build_panel
from history.prepare import load_prepared
from serving.arms import PARTS, Arm
from serving.publishing import read_policy

FOLDER: Final = "ab"
PLAN, ANALYSIS = "plan.json", "ab.json"


def run_ab(config: Config) -> Path:
    """Plan or analyse; return the file that says what was found."""
    return _plan(config) if config.ab.act is Task.PLAN else _analyse(config)


def _plan(config: Config) -> Path:
    given = config.ab
    if given.mean is not None:
        baseline = plan.given(given)
        customers = _planned(config, None)
    else:
        prepared = load_prepared(run_folder(config) / "prepare")
        events = build_panel(prepared.events).events
        weeks = full_weeks(len(events.weeks))
        values = (events.spend if given.column == "spend" else events.baskets > 0).astype(np.float32)
        unit = prepared.quality.currency if given.column == "spend" else ""
        baseline = plan.from_history(values[:, weeks.start : weeks.stop], given, unit)
        customers = _planned(config, len(events.customer_ids))
    told = plan.plan(baseline, customers, given)
    path = run_folder(config) / FOLDER / PLAN
    write_json(path, told | {"settings": analysis.as_dict(given)})
    print(plan.text(told))
    return path


def _planned(config: Config, customers: int | None) -> dict[str, int]:
    """Return the customers of each arm: those of the exported table, else the configured shares of the history's."""
    manifest = _folder(config) / "manifest.json"
    if manifest.is_file():
        return {arm["name"]: int(arm["customers"]) for arm in read_json(manifest)["arms"]["arms"]}
    if customers is None:
        raise InputError(f"{manifest}: no such file; export a table first, so that its arms are known")
    parts = config.export.arms.parts(usual=True)
    return {arm.value: round(customers * part / PARTS) for arm, part in parts.items()}


def _analyse(config: Config) -> Path:
    given = config.ab
    if not given.outcomes:
        raise InputError("ab.outcomes is empty; expected the Parquet or CSV file of what came of the customers")
    folder, file = _folder(config), Path(given.outcomes)
    assigned, unit = _assigned(folder)
    told = analysis.analyse(read_outcomes(file, assigned, given), assigned, given, unit)
    path = run_folder(config) / FOLDER / ANALYSIS
    inputs = {"manifest": hash_file(folder / "manifest.json"), "outcomes": hash_file(file)}
    write_json(path, told | {"settings": analysis.as_dict(given), "inputs": inputs})
    print(analysis.text(told))
    return path


def _folder(config: Config) -> Path:
    return Path(config.ab.policy) if config.ab.policy else of_budget(config, "policy")


def _assigned(folder: Path) -> tuple[Assigned, str]:
    """Return who is in which arm of a table, and its currency.

    Raises:
        InputError: The folder holds no table that can be trusted.
    """
    table = read_policy(folder)
    rows, manifest = table.customers, table.manifest
    places = {arm.value: place for place, arm in enumerate(Arm)}
    planned: dict[str, Any] = {arm["name"]: arm["parts"] for arm in manifest["arms"]["arms"]}
    return (
        Assigned(
            customers=pd.Index(rows["customer_id"]),
            arm=np.asarray(rows["arm"].map(places), dtype=np.int64),
            segment=np.asarray(rows["segment"], dtype=np.int64),
            parts=np.array([planned.get(arm.value, 0) for arm in Arm], np.float64),
            valid_from=min(rows["valid_from"]),
        ),
        str(table.catalog.currency),
    )


if __name__ == "__main__":
    main(run_ab)
