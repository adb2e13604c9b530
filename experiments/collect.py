"""Gather what was trained in all runs into one table, a row per agent and seed, and say what may be claimed of it.

python -m experiments.collect
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from campaigns.errors import InputError
from experiments.circumstances import CIRCUMSTANCES
from experiments.claimed import claims_section, claims_table
from experiments.config import Config
from experiments.main import main
from experiments.monitor import flatten
from experiments.runs import MANIFEST
from experiments.sweeping import FAILED
from history.artifacts import hash_file, read_json, write_table, write_text
from serving.page import write_page

PLACES: Final = ("train", "sweep")
"""Folders of a run with trained agents: its policies, and settings that were tried beside them."""


def run_collect(config: Config) -> pd.DataFrame:
    """Write `runs.parquet`, `runs.csv` and `runs.html` beside the runs; return the table."""
    root = Path(config.runs)
    rows = [row for folder in find_runs(root) for row in rows_of(folder, str(folder.relative_to(root)))]
    if not rows:
        raise InputError(f"{root}: no agent is trained in any run below it; run `python -m experiments.train` first")
    table = pd.DataFrame(rows).astype({"seed": "Int64", "validation": "float64", "held_out_uplift": "float64"})
    write_table(root / "runs.parquet", table)
    write_text(root / "runs.csv", table.to_csv(index=False))
    write_page(root / "runs.html", "what was trained, and what may be said of it", [claims_section(table)])
    counts = ", ".join(f"{count} {state}" for state, count in table["state"].value_counts().items())
    print(claims_table(table))
    print(f"collect: {counts} in {root / 'runs.parquet'}; charts in {root / 'runs.html'}")
    return table


def find_runs(root: Path) -> list[Path]:
    """Return the folders of runs, sweeps of whole runs included."""
    found = {path.parent.parent for place in ("prepare", FAILED) for path in root.glob(f"**/{place}/*.json")}
    return sorted(found)


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return a row for each agent and seed that was trained in a run, and for each member of a sweep that failed."""
    held_out = _held_out(folder)
    rows = []
    for place in PLACES:
        for manifest in sorted(folder.glob(f"{place}/*/{MANIFEST}")):
            known = held_out if place == "train" else {}
            rows.append({"run": name, "place": place, "state": "finished", **_trained(manifest.parent, folder, known)})
    for path in sorted(folder.glob(f"{FAILED}/*.json")):
        record = read_json(path)
        told = {
            "agent": None,
            "seed": None,
            "validation": None,
            "held_out_uplift": None,
            "folder": record["label"],
            "reason": record["reason"],
        }
        rows.append({"run": name, "place": FAILED, "state": "failed", **told})
    return rows


def _trained(folder: Path, run: Path, held_out: Mapping[tuple[str, int], dict[str, Any]]) -> dict[str, Any]:
    policy, manifest = read_json(folder / "policy.json"), read_json(folder / MANIFEST)
    path = folder / CIRCUMSTANCES
    circumstances = read_json(path) if path.is_file() else {}
    judged = held_out.get((policy["agent"], policy["seed"]), {})
    fresh = judged.get("of") == hash_file(folder / MANIFEST)
    fit = read_json(run / "fit" / MANIFEST)["settings"]
    settings = {f"config.{key}": value for key, value in flatten(manifest["settings"]).items()}
    settings |= {f"config.fit.{key}": value for key, value in flatten(fit).items()}
    return {
        "folder": str(folder.relative_to(run)),
        "agent": policy["agent"],
        "seed": policy["seed"],
        "validation": policy["validation"],
        "held_out_uplift": judged["uplift"] if fresh else None,
        "held_out_cost": judged["cost"] if fresh else None,
        "kernel": policy["meta"].get("kernel"),
        **flatten(circumstances),
        **{key: _cell(value) for key, value in settings.items()},
    }


def _held_out(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Return what each policy brought on held-out customers, and the hash of the training that was judged."""
    if not (folder / "evaluate" / MANIFEST).is_file():
        return {}
    inputs = read_json(folder / "evaluate" / MANIFEST)["key"]["inputs"]
    agents = read_json(folder / "evaluate" / "evaluation.json")["agents"]
    return {
        (row["agent"], one["seed"]): one | {"of": inputs.get(f"train/{row['agent']}-{one['seed']}")}
        for row in agents
        for one in row.get("by_seed", ())
    }


def _cell(value: Any) -> Any:
    """Return a setting as a column can hold it in every row: lists and records as JSON, words as they are."""
    return value if isinstance(value, int | float | str | None) else json.dumps(value)


if __name__ == "__main__":
    main(run_collect)
