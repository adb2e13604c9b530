"""A search that is kept in a folder: which settings are tried, by whom, and what each trial came to.

One process alone holds the study and its SQLite file; trials train in child processes that ask it whether to go on.
"""

import fcntl
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from campaigns.errors import InputError
from experiments.config import TuneConfig

PATIENCE: Final = 3.0
"""How long to wait for another search to let go of the folder [s]; the children of a killed one end at once."""
KEYS: Final = {"choices", "low", "high", "log"}


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder against every other search, until done or killed.

    Raises:
        InputError: Another search is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as stream:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise InputError(
                        f"{folder}: another search is at work there; wait for it, or use tune.jobs for more at once"
                    ) from None
                time.sleep(0.1)
        yield


def check_space(space: Mapping[str, Mapping[str, Any]], agent: Any) -> None:
    """Refuse a space that is empty, names a setting that the agent does not have, or says no range.

    Args:
        space: What is searched.
        agent: The agent's configuration.
    """
    if not space:
        raise InputError(f"tune.space is empty and agent {agent.kind} has no usual one; name its settings")
    known = [field.name for field in fields(agent)]
    for name, choice in space.items():
        if name not in known:
            raise InputError(
                f"tune.space names {name!r}, which agent {agent.kind} does not have; expected {', '.join(known)}"
            )
        if set(choice) - KEYS or not ("choices" in choice or {"low", "high"} <= set(choice)):
            raise InputError(f"tune.space.{name} is {choice}; expected choices, or low and high and perhaps log")


def open_study(folder: Path, config: TuneConfig) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if config.prune:
        pruner = optuna.pruners.MedianPruner(config.startup, n_warmup_steps=config.warmup)
    storage = f"sqlite:///{folder / 'study.sqlite'}"
    return optuna.create_study(
        storage=storage, study_name="tune", direction="maximize", load_if_exists=True, pruner=pruner
    )


def broken_off(study: optuna.Study) -> list[Trial]:
    """Return the trials that were under way when an earlier search was stopped: they go on."""
    return [Trial(study, frozen._trial_id) for frozen in study.get_trials(states=(TrialState.RUNNING,))]


def next_trial(study: optuna.Study, config: TuneConfig, seed: int) -> Trial:
    """Begin a trial.

    Its sampler draws from seed and number of the trial alone: a search that is stopped and goes on tries what it would
    have tried anyway, and never the same point twice for that reason.
    """
    number = len(study.get_trials(deepcopy=False))
    drawn = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(seed=drawn, n_startup_trials=config.startup, constant_liar=True)
    return study.ask()


def suggest(trial: Trial, space: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings that a trial tries."""
    return settings_of({name: _suggest(trial, name, choice) for name, choice in space.items()})


def settings_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's parameters as settings: a study holds lists as text."""
    return {
        name: json.loads(value) if isinstance(value, str) and value.startswith("[") else value
        for name, value in params.items()
    }


def _suggest(trial: Trial, name: str, choice: Mapping[str, Any]) -> Any:
    if "choices" in choice:
        choices = [json.dumps(one) if isinstance(one, list) else one for one in choice["choices"]]
        return trial.suggest_categorical(name, choices)
    whole = isinstance(choice["low"], int) and isinstance(choice["high"], int)
    suggest_one = trial.suggest_int if whole else trial.suggest_float
    return suggest_one(name, choice["low"], choice["high"], log=choice.get("log", False))


def report(study: optuna.Study, trial: Trial, step: int, score: float) -> bool:
    """Note a score while the agent learns; return whether the trial lags behind the others and should end."""
    known = study.trials[trial.number].intermediate_values  # a training that goes on may come by a step again
    if step not in known:
        trial.report(score, step)
    return trial.should_prune()


def reason_of(trial: FrozenTrial) -> str:
    """Return why a trial failed, empty where it did not."""
    return str(trial.user_attrs.get("reason", ""))
