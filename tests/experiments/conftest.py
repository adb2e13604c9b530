"""A fabricated shop on disk, small configurations for it, and one finished run that tests read but never write."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from experiments.benchmark import run_benchmark
from experiments.config import Config, register_schemas
from experiments.evaluate import run_evaluate
from experiments.export import run_export
from experiments.fit import run_fit
from experiments.hand_over import run_hand_over
from experiments.main import CONF, main, set_up, to_config
from experiments.prepare import run_prepare
from experiments.publish import run_publish
from experiments.run import run_all
from experiments.score import run_score
from experiments.train import run_train
from experiments.tune import run_tune
from experiments.warrant import run_warrant
from tests.experiments.fabricated_shop import write_shop

SMALL = (
    "device=cpu",
    "market.response.epochs=3",
    "market.judge.epochs=3",
    "market.horizon.campaign_weeks=4",
    "train.customers=64",
    "customers.resamples=2",
    "customers.intervals=20",
    "warrant.customers=20",
    "warrant.draws=2",
    "warrant.lessons=20",
    "evaluate.worlds=2",
    "evaluate.curve_worlds=2",
    "evaluate.validation_worlds=2",
    "evaluate.validation_prices=[0,1]",
    "evaluate.fidelity_runs=2",
    "export.override_fidelity='a fabricated shop of 45 weeks'",
    "budget.curve=[0,1,4]",
    "run.jobs=1",
)
"""Overrides that make every step of a run a matter of a second or two."""
AGENTS = (
    ("agent=ppo", "agent.steps=3000", "agent.minibatch=256"),
    ("agent=lin_ts", "agent.steps=1"),
    ("agent=knapsack", "agent.steps=1"),
    ("agent=no_offer",),
)
"""Agents of the small runs; one step is rounded up to one episode."""
Overrides = Callable[..., list[str]]
Configure = Callable[..., Config]


@pytest.fixture(scope="session")
def mapping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the mapping of the fabricated shop, its files written."""
    return write_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def overrides(mapping: Path) -> Overrides:
    """Return a function that lists the overrides of a small run of the fabricated shop."""

    def small(runs: Path, *more: str) -> list[str]:
        return ["source=tables", f"source.mapping={mapping}", f"runs={runs}", "name=tiny", *SMALL, *more]

    return small


@pytest.fixture(scope="session")
def configure(overrides: Overrides) -> Configure:
    """Return a function that composes the configuration of a small run and fixes its threads."""
    register_schemas()

    def compose_small(runs: Path, *more: str) -> Config:
        with initialize_config_dir(str(CONF)):
            config = to_config(compose("config", overrides=overrides(runs, *more)))
        set_up(config)
        return config

    return compose_small


@pytest.fixture(scope="session")
def take_steps(configure: Configure) -> Callable[..., Path]:
    """Return a function that does all steps of a small run, each anew if it is not done; returns the run's folder."""

    def steps(runs: Path, *more: str) -> Path:
        run_prepare(configure(runs, *more))
        run_fit(configure(runs, *more))
        for agent in AGENTS:
            run_train(configure(runs, *agent, *more))
        run_evaluate(configure(runs, *more))
        run_export(configure(runs, "export.agent=lin_ts", *more))
        return runs / next((m.removeprefix("name=") for m in more if m.startswith("name=")), "tiny")

    return steps


@pytest.fixture(scope="session")
def finished(take_steps: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished small run; copy it before changing anything."""
    return take_steps(tmp_path_factory.mktemp("runs"))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Leave the number of torch threads as it was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


VERBS: dict[str, Callable[[Config], Any]] = {
    "run": run_all,
    "prepare": run_prepare,
    "fit": run_fit,
    "train": run_train,
    "warrant": run_warrant,
    "evaluate": run_evaluate,
    "export": run_export,
    "publish": run_publish,
    "score": run_score,
    "hand_over": run_hand_over,
    "tune": run_tune,
    "benchmark": run_benchmark,
}


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs a verb's command line in this process and returns the one line it stops with."""

    def run(verb: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [f"experiments/{verb}.py", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(VERBS[verb])
        assert stopped.value.code == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    return run
