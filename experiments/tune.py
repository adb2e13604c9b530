"""Search the chosen agent's settings with Optuna; run it again to go on, `tune.trials` counts earlier trials too.

python -m experiments.tune name=demo agent=ppo tune.trials=10
"""

from copy import deepcopy
from pathlib import Path
from typing import Any

import optuna
from tqdm import tqdm

from campaigns.errors import InputError
from experiments.config import Config
from experiments.main import main, run_folder
from experiments.runs import Step, require_same_inputs
from experiments.train import run_train, train_step
from history.artifacts import write_json

BANDIT_SPACE: dict[str, Any] = {
    "ridge": {"low": 1.0, "high": 1000.0, "log": True},
    "noise_usd": {"low": 0.3, "high": 10.0, "log": True},
}
KNAPSACK_SPACE: dict[str, Any] = {
    "explore": {"low": 0.1, "high": 0.6},
    "pool": {"low": 1.0, "high": 1000.0, "log": True},
    "own": {"low": 10.0, "high": 10000.0, "log": True},
}
SPACES: dict[str, dict[str, Any]] = {
    "ppo": {
        "learning_rate": {"low": 3e-4, "high": 5e-3, "log": True},
        "ent_coef": {"low": 5e-4, "high": 2e-2, "log": True},
        "gae_lambda": {"low": 0.8, "high": 1.0},
        "minibatch": {"choices": [1024, 2048, 4096]},
    },
    **dict.fromkeys(("lin_ts", "lin_ucb", "square_cb", "bootstrap", "neural_linear_ts"), BANDIT_SPACE),
    **dict.fromkeys(("greedy", "knapsack", "knapsack_ahead"), KNAPSACK_SPACE),
}
"""What is searched where the configuration names no space."""


def run_tune(config: Config) -> dict[str, Any]:
    """Search on the validation market; return the best settings and their score."""
    folder = run_folder(config) / "tune" / config.agent.kind
    require_same_inputs(run_folder(config) / "fit", "fit", {"prepare": run_folder(config) / "prepare"})
    space = config.tune.space or SPACES.get(config.agent.kind, {})
    if not space:
        raise InputError(f"tune.space is empty and agent {config.agent.kind} has no usual one; name its settings")
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _open_study(config, folder)
    finished = sum(trial.state.is_finished() for trial in study.trials)
    for number in tqdm(range(finished, config.tune.trials), desc="trials", unit="trial", disable=None):
        _try_one(config, study, space, folder, number)
    best = {"settings": study.best_params, "validation": study.best_value, "trials": len(study.trials)}
    write_json(folder / "best.json", best)
    found = " ".join(f"agent.{name}={value}" for name, value in study.best_params.items())
    print(f"tune: best of {len(study.trials)} trials {study.best_value:+.4f} USD per customer-week: {found}")
    return best


def _open_study(config: Config, folder: Path) -> optuna.Study:
    """Open the study in the run's folder; the sampler's seed moves on with the trials, so that none is repeated."""
    storage = f"sqlite:///{folder / 'study.sqlite'}"
    study = optuna.create_study(storage=storage, study_name="tune", direction="maximize", load_if_exists=True)
    study.sampler = optuna.samplers.TPESampler(seed=config.seed + len(study.trials), n_startup_trials=5)
    return study


def _try_one(config: Config, study: optuna.Study, space: dict[str, Any], folder: Path, number: int) -> None:
    trial = study.ask()
    job = deepcopy(config)
    for name, choice in space.items():
        if not hasattr(job.agent, name):
            raise InputError(f"tune.space names {name!r}, which agent {config.agent.kind} does not have")
        setattr(job.agent, name, _suggest(trial, name, choice))
    score = run_train(job, _step(job, folder / f"trial-{number}"))
    study.tell(trial, score)


def _suggest(trial: optuna.Trial, name: str, choice: dict[str, Any]) -> Any:
    unknown = set(choice) - {"choices", "low", "high", "log"}
    if unknown or not ("choices" in choice or {"low", "high"} <= set(choice)):
        raise InputError(f"tune.space.{name} is {choice}; expected choices, or low and high and perhaps log")
    if "choices" in choice:
        return trial.suggest_categorical(name, choice["choices"])
    whole = isinstance(choice["low"], int) and isinstance(choice["high"], int)
    suggest = trial.suggest_int if whole else trial.suggest_float
    return suggest(name, choice["low"], choice["high"], log=choice.get("log", False))


def _step(config: Config, folder: Path) -> Step:
    step = train_step(config)
    return Step(folder, step.verb, step.settings, step.inputs)


if __name__ == "__main__":
    main(run_tune)
