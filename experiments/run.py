"""All of it: from a shop's history to a policy table and a report. Finished steps are not done again.

python -m experiments.run
"""

from copy import deepcopy
from pathlib import Path

from joblib import Parallel, delayed
from tqdm import tqdm

from agents.registry import AGENTS
from experiments.config import Config
from experiments.evaluate import run_evaluate
from experiments.export import run_export
from experiments.fit import run_fit
from experiments.main import main, run_folder, set_up
from experiments.prepare import run_prepare
from experiments.sweeping import Member
from experiments.train import run_train
from experiments.warrant import run_warrant

UNSEEDED = frozenset({"no_offer", "random", "business_as_usual"})
"""Agents that learn nothing from the market, so that one seed says all."""


def run_all(config: Config) -> Path:
    """Prepare, fit, ask if planning pays, train the ladder of agents, evaluate and export; return the run's folder."""
    run_prepare(config)
    run_fit(config)
    run_warrant(config)
    jobs = [_job(config, agent, seed) for agent in config.run.agents for seed in seeds_of(config, agent)]
    jobs.sort(
        key=lambda job: job.agent.kind != config.agent.kind
    )  # the longest first, so that no core waits at the end
    todo = (delayed(_train)(job) for job in jobs)
    with tqdm(total=len(jobs), desc="train agents", unit="agent", disable=None) as bar:
        for _ in Parallel(n_jobs=config.run.jobs, return_as="generator_unordered")(todo):
            bar.update()
    run_evaluate(config)
    run_export(config)
    return run_folder(config)


def run_member(config: Config, member: Member) -> Path:
    """Do all of it as one job of a sweep: a run of its own, in a numbered folder below the run's name."""
    config.name = f"{config.name}/{member.number}"
    return run_all(config)


def seeds_of(config: Config, agent: str) -> list[int]:
    return config.run.seeds[:1] if agent in UNSEEDED else config.run.seeds


def _job(config: Config, agent: str, seed: int) -> Config:
    """Return the configuration of one training; the configured agent keeps its settings, others have their defaults."""
    job = deepcopy(config)
    job.seed = seed
    if agent != config.agent.kind:
        job.agent = AGENTS[agent]()
    return job


def _train(config: Config) -> None:
    set_up(config)
    run_train(config)


if __name__ == "__main__":
    main(run_all, run_member)
