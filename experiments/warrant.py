"""Say before any training whether planning ahead pays in the fitted market, or whether a bandit suffices.

python -m experiments.warrant name=demo
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from envs.fitted import read_environment
from evaluation.warrant import judge_warrant
from experiments.config import Config
from experiments.fit import fit_step
from experiments.main import choose_device, main, run_folder
from experiments.runs import Step, require_settings
from history.artifacts import read_json, write_json

FILE = "warrant.json"


def warrant_step(config: Config) -> Step:
    folder = run_folder(config)
    settings = {"warrant": asdict(config.warrant), "seed": config.seed, "threads": config.threads}
    return Step(folder / "warrant", "warrant", settings, {"fit": folder / "fit"})


def run_warrant(config: Config) -> Path:
    """Judge the training market of a run, unless that is done; return the folder."""
    step = warrant_step(config)
    require_settings(fit_step(config), ignored=("seed", "threads"))
    if step.is_done():
        print(f"warrant: {step.folder} is up to date")
        return step.folder
    step.begin()
    world = read_environment(step.inputs["fit"] / "train", choose_device(config))
    found = judge_warrant(world.market, world.pool, config.warrant, config.seed)
    write_json(step.folder / FILE, found)
    step.finish()
    print(f"warrant: {found['verdict']}")
    return step.folder


def read_warrant(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = read_json(folder / "warrant" / FILE)
    return result


if __name__ == "__main__":
    main(run_warrant)
