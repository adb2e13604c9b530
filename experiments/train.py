"""Train one agent in the training market of a run, and score it on the validation market.

python -m experiments.train name=demo agent=ppo seed=0
python -m experiments.train -m name=demo agent=ppo,lin_ts seed=0,1
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from agents.agent import LearningWorld, Monitor, TrainedPolicy
from agents.checkpoint import Checkpoints
from agents.registry import restore
from campaigns.decision import ObservationLayout
from campaigns.errors import InputError
from envs.campaign import CampaignVectorEnv
from envs.fitted import read_environment, read_training_world
from envs.sb3 import Sb3VecEnv
from envs.world import World
from evaluation.rollout import Play
from experiments.circumstances import CIRCUMSTANCES, describe_circumstances
from experiments.config import Config
from experiments.feedback import FOLDER as FEEDBACK
from experiments.feedback import begin_from
from experiments.fit import fit_step
from experiments.history import load_history, logged_targeting
from experiments.main import choose_device, main, run_folder
from experiments.monitor import RunMonitor, flatten
from experiments.runs import Step, require_same_inputs, require_settings
from experiments.sweeping import Member
from history.artifacts import hash_value, read_json, read_tensors, write_json, write_tensors
from history.features import FEATURES

VALIDATION_SEED = 10_007
OF_THE_RUN = frozenset({"agent", "seed", "name", "runs"})
"""Settings that may vary between the policies of runs."""
Watch = Callable[[Monitor], Monitor]


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained policy with its name, seed and validation score [currency per customer-week]."""

    agent: str
    seed: int
    policy: TrainedPolicy
    validation: float


def train_step(config: Config) -> Step:
    settings = {
        "agent": asdict(config.agent),
        "kind": config.agent.kind,
        "seed": config.seed,
        "train": asdict(config.train),
        "validation": [config.evaluate.validation_worlds, config.evaluate.validation_prices],
        "threads": config.threads,
    }
    folder = run_folder(config)
    return Step(folder / "train" / f"{config.agent.kind}-{config.seed}", "train", settings, {"fit": folder / "fit"})


def run_train(config: Config, step: Step | None = None, watch: Watch = lambda monitor: monitor) -> float:
    """Train the configured agent with the configured seed, unless that is done; return its validation score.

    Args:
        config: What to train.
        step: Where to, if not to the run's policies.
        watch: Puts something between the agent and its monitor.

    Raises:
        InputError: The learned policy has no finite score.
    """
    step = step or train_step(config)
    require_same_inputs(step.inputs["fit"], "fit", {"prepare": run_folder(config) / "prepare"})
    require_settings(fit_step(config), ignored=("seed", "threads"))
    if step.is_done():
        print(f"train: {step.folder} is up to date")
        return float(read_json(step.folder / "policy.json")["validation"])
    step.begin()
    start = time.monotonic()
    checkpoints = Checkpoints(step.folder / "checkpoint", step.key())
    resumed = checkpoints.step
    with _monitor(config, step.folder, checkpoints) as monitor:
        world, warm = _learning_world(config)
        policy = config.agent.build().learn(world, config.seed, watch(monitor))
        validation = monitor.conclude(policy, flatten(step.settings))
    if not math.isfinite(validation):
        raise InputError(
            f"agent {config.agent.kind} seed {config.seed}: its score on validation is {validation}; look at its "
            f"curves in {step.folder / 'tensorboard'}"
        )
    write_tensors(step.folder / "policy.safetensors", policy.tensors())
    described = {"kind": policy.kind, "agent": config.agent.kind, "seed": config.seed, "meta": policy.meta()}
    if warm:
        described["warm_start"] = warm
        print(f"train: {config.agent.kind} seed {config.seed}: start from a log: {warm['verdict']}")
    write_json(step.folder / "policy.json", {**described, "validation": validation})
    found = describe_circumstances(choose_device(config), config.threads, time.monotonic() - start, resumed)
    write_json(step.folder / CIRCUMSTANCES, found)
    checkpoints.clear()
    step.finish()
    print(f"train: {config.agent.kind} seed {config.seed}: {validation:+.4f} USD per customer-week on validation")
    return validation


def train_member(config: Config, member: Member) -> float:
    """Train as one job of a sweep: agents and seeds are policies of the run, other settings are tried beside it.

    A variant of settings, or a trial of Hydra's Optuna sweeper, goes to `sweep/<agent>-<seed>-<hash of its settings>`,
    so that members do not overwrite each other and the same command goes on where it stopped.
    """
    if not member.searched and member.varied <= OF_THE_RUN:
        return run_train(config)
    usual = train_step(config)
    folder = run_folder(config) / "sweep" / f"{usual.folder.name}-{hash_value(usual.settings)[:8]}"
    return run_train(config, Step(folder, usual.verb, usual.settings, usual.inputs))


def read_policy(folder: Path, layout: ObservationLayout) -> Trained:
    """Read back a trained policy: data only, nothing in it can run."""
    described: dict[str, Any] = read_json(folder / "policy.json")
    policy = restore(described["kind"], layout, described["meta"], read_tensors(folder / "policy.safetensors"))
    return Trained(described["agent"], described["seed"], policy, described["validation"])


def validation_play(config: Config, observer_of: World) -> Play:
    """Return the validation market, seen through the training world's eyes."""
    judged = read_environment(run_folder(config) / "fit" / "validation", choose_device(config))
    return Play(judged.market, observer_of.observer, judged.pool, config.evaluate.validation_worlds, VALIDATION_SEED)


def _monitor(config: Config, folder: Path, checkpoints: Checkpoints) -> RunMonitor:
    world = read_environment(run_folder(config) / "fit" / "train", choose_device(config))
    where, label = validation_play(config, world), f"{config.agent.kind} seed {config.seed}"
    prices, budget = config.evaluate.validation_prices, config.budget.per_customer_week
    return RunMonitor(folder / "tensorboard", where, prices, budget, label, checkpoints)


def _learning_world(config: Config) -> tuple[LearningWorld, dict[str, Any]]:
    """Return where the agent learns, and what is to be said of the log that it begins from."""
    folder = run_folder(config)
    device = choose_device(config)
    world = read_environment(folder / "fit" / "train", device)
    vector = CampaignVectorEnv(config.train.customers, world, seed=config.seed)
    logged = None
    if config.agent.kind == "business_as_usual":  # the only agent that reads the log, so only it loads it
        history = load_history(folder / "prepare", config.split)
        observer = read_training_world(folder).observer
        logged = logged_targeting(history, observer, FEATURES, world.market.catalog)
    log, warm = begin_from(folder / "fit" / FEEDBACK, config.agent, world.market.catalog, config.seed)
    torch.manual_seed(config.seed)
    return LearningWorld(vector, Sb3VecEnv(vector), vector.layout, vector.horizon, logged, vector.core, log), warm


if __name__ == "__main__":
    main(run_train, train_member)
