"""Search the chosen agent's settings with Optuna; run it again to go on, `tune.trials` counts earlier trials too.

python -m experiments.tune name=demo agent=ppo tune.trials=10
"""

import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.trial import Trial, TrialState
from tqdm import tqdm

from agents.agent import Monitor, TrainedPolicy
from agents.checkpoint import Checkpoints
from experiments.children import Ask, Child, Ended, Question
from experiments.config import Config
from experiments.main import main, run_folder, set_up
from experiments.runs import Step, require_same_inputs
from experiments.study import alone_in, broken_off, check_space, next_trial, open_study, report, suggest
from experiments.train import run_train, train_step
from experiments.tuned import write_summary

Space = Mapping[str, Mapping[str, Any]]
BANDIT_SPACE: Space = {
    "ridge": {"low": 1.0, "high": 1000.0, "log": True},
    "noise_usd": {"low": 0.3, "high": 10.0, "log": True},
}
KNAPSACK_SPACE: Space = {
    "explore": {"low": 0.1, "high": 0.6},
    "pool": {"low": 1.0, "high": 1000.0, "log": True},
    "own": {"low": 10.0, "high": 10000.0, "log": True},
}
SPACES: dict[str, Space] = {
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


class PrunedError(Exception):
    """The trial lags behind the others and is ended early."""


@dataclass
class PruningMonitor:
    """Tells the search each validation score, and ends the training when the search has seen enough.

    Attributes:
        monitor: Who watches otherwise.
        ask: Takes (step, score); returns whether to end.
    """

    monitor: Monitor
    ask: Ask
    checkpoints: Checkpoints | None = field(init=False)

    def __post_init__(self) -> None:
        self.checkpoints = self.monitor.checkpoints

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.monitor.log(values, step)

    def progress(self, done: int, total: int) -> None:
        self.monitor.progress(done, total)

    def validate(self, policy: TrainedPolicy, step: int) -> float:
        score = self.monitor.validate(policy, step)
        if self.ask((step, score)):
            raise PrunedError
        return score


@dataclass(frozen=True)
class Search:
    """A search under way."""

    config: Config
    space: Space
    folder: Path
    study: optuna.Study


def run_tune(config: Config) -> dict[str, Any]:
    """Search on the validation market; return the best settings and their score."""
    folder = run_folder(config) / "tune" / config.agent.kind
    require_same_inputs(run_folder(config) / "fit", "fit", {"prepare": run_folder(config) / "prepare"})
    space = config.tune.space or SPACES.get(config.agent.kind, {})
    check_space(space, config.agent)
    with alone_in(folder):
        search = Search(config, space, folder, open_study(folder, config.tune))
        _search(search)
        return write_summary(search.study, config.agent.kind, folder)


class _Busy(dict[Any, tuple[Trial, Child]]):
    """Trials under way; leaving a `with` ends those that still are: the next search goes on with them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        for _, child in self.values():
            child.end()


def _search(search: Search) -> None:
    """Keep `tune.jobs` trials under way until there are as many as wanted."""
    study, tune = search.study, search.config.tune
    resumed = broken_off(study)
    with tqdm(total=tune.trials, desc="trials", unit="trial", disable=None) as bar, _Busy() as busy:
        bar.update(sum(known.state.is_finished() for known in study.trials))
        while True:
            while len(busy) < tune.jobs and (resumed or len(study.get_trials(deepcopy=False)) < tune.trials):
                trial = resumed.pop(0) if resumed else next_trial(study, tune, search.config.seed)
                child = _begin(search, trial)
                busy[child.connection] = (trial, child)
            if not busy:
                return
            for connection in wait(list(busy)):
                under_way, child = busy[connection]
                said = child.listen()
                if isinstance(said, Question):
                    child.answer(report(study, under_way, *said.content))
                else:
                    del busy[connection]
                    _finish(search, under_way, said)
                    bar.update()


def _begin(search: Search, trial: Trial) -> Child:
    settings = suggest(trial, search.space)
    folder = search.folder / f"trial-{trial.number}"
    return Child(lambda ask: _try_one(search.config, settings, folder, ask))


def _try_one(config: Config, settings: dict[str, Any], folder: Path, ask: Ask) -> tuple[float | None, float]:
    """Train with these settings; return the score, None where it was ended early, and how long it took [s]."""
    start = time.monotonic()
    set_up(config)
    job = deepcopy(config)
    job.agent = replace(job.agent, **settings)
    step = train_step(job)
    try:
        score = run_train(
            job, Step(folder, step.verb, step.settings, step.inputs), lambda monitor: PruningMonitor(monitor, ask)
        )
    except PrunedError:
        Checkpoints(folder / "checkpoint", {}).clear()
        return None, time.monotonic() - start
    return score, time.monotonic() - start


def _finish(search: Search, trial: Trial, ended: Ended) -> None:
    """Note what a trial came to: a failed one is kept with its reason and takes nothing else along."""
    if ended.reason:
        trial.set_user_attr("reason", ended.reason)
        search.study.tell(trial, state=TrialState.FAIL)
        if ended.trace:
            (search.folder / f"trial-{trial.number}").mkdir(exist_ok=True)
            (search.folder / f"trial-{trial.number}" / "error.txt").write_text(ended.trace, "utf-8")
        tqdm.write(f"tune: trial {trial.number} failed: {ended.reason}")
        return
    score, seconds = ended.result
    trial.set_user_attr("seconds", round(seconds, 1))
    if score is None:
        search.study.tell(trial, state=TrialState.PRUNED)
    else:
        search.study.tell(trial, score)


if __name__ == "__main__":
    main(run_tune)
