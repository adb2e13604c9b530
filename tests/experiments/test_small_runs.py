"""Whole small runs from the command line: they repeat, survive a kill, sweep, and PPO learns something."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pandas as pd
import pytest

from agents.fixed import RandomPolicy
from envs.fitted import read_training_world
from evaluation.estimate import estimate_mean
from evaluation.rollout import play
from experiments.fit import run_fit
from experiments.main import CONF
from experiments.runs import MANIFEST
from experiments.train import read_policy, run_train, validation_play
from history.artifacts import hash_file
from tests.experiments.conftest import Configure, Overrides
from tests.experiments.fabricated_shop import write_shop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tiny_run")]
LADDER = ("run.agents=[no_offer,ppo]", "run.seeds=[0]", "agent.steps=5000", "agent.minibatch=256", "export.agent=ppo")


def verb(name: str, *arguments: str) -> list[str]:
    """Return the command line of a verb."""
    return [sys.executable, "-m", f"experiments.{name}", *arguments]


def run(name: str, *arguments: str) -> str:
    """Run a verb in a process of its own and return what it printed."""
    done = subprocess.run(verb(name, *arguments), cwd=CONF.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def published(folder: Path) -> dict[str, str]:
    """Return the hashes of a published policy, without the folder of its run."""
    manifest = json.loads((folder / "policy" / MANIFEST).read_text("utf-8"))
    manifest.pop("config")
    files = {path.name: hash_file(path) for path in (folder / "policy").iterdir() if path.name != MANIFEST}
    return files | {MANIFEST: json.dumps(manifest, sort_keys=True)}


@pytest.fixture(scope="module")
def whole(overrides: Overrides, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that one command made."""
    runs = tmp_path_factory.mktemp("whole")
    run("run", *overrides(runs, *LADDER))
    return runs / "tiny"


def test_the_same_settings_and_seed_give_the_same_bytes_whatever_the_number_of_jobs(
    whole: Path, overrides: Overrides, tmp_path: Path
) -> None:
    run("run", *overrides(tmp_path, *LADDER, "run.jobs=2"))
    assert published(tmp_path / "tiny") == published(whole)


def test_a_run_that_was_killed_goes_on_and_gives_the_same_bytes(
    whole: Path, overrides: Overrides, tmp_path: Path
) -> None:
    command = overrides(tmp_path, *LADDER)
    killed = subprocess.Popen(
        verb("run", *command), cwd=CONF.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while killed.poll() is None and not (tmp_path / "tiny" / "train" / "no_offer-0").exists():
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "tiny" / "policy").exists()
    said = run("run", *command)
    assert "prepare: " in said and "prepare is up to date" in said and "fit is up to date" in said
    assert published(tmp_path / "tiny") == published(whole)


def test_a_shop_with_transactions_alone_gets_a_policy_and_is_told_what_that_costs(
    overrides: Overrides, tmp_path: Path
) -> None:
    mapping = write_shop(tmp_path / "shop", "transactions")
    run("run", *overrides(tmp_path, f"source.mapping={mapping}", "run.agents=[business_as_usual,ppo]", *LADDER[1:]))
    manifest = json.loads((tmp_path / "tiny" / "policy" / MANIFEST).read_text("utf-8"))
    buyers = pd.read_csv(mapping.parent / "transactions.csv", dtype={"customer_id": "str"})["customer_id"]
    assert manifest["customers"] == buyers.nunique()
    assert "redemption_of_a_bundle" in manifest["provenance"]["assumed"]
    page = (tmp_path / "tiny" / "report.html").read_text("utf-8")
    for table in ("products", "campaigns", "coupons", "redemptions", "promotions"):
        assert table in page


@pytest.fixture
def fitted(finished: Path, tmp_path: Path) -> Path:
    """Return the folder of runs with a run that is prepared and fitted."""
    for step in ("prepare", "fit"):
        shutil.copytree(finished / step, tmp_path / "tiny" / step)
    return tmp_path


def trained(runs: Path) -> set[str]:
    return {path.parent.name for path in runs.glob("tiny/train/*/manifest.json")}


def test_a_training_that_was_killed_goes_on_from_its_checkpoint_to_the_same_bytes(
    fitted: Path, overrides: Overrides
) -> None:
    command = overrides(fitted, "agent=ppo", "agent.steps=40000", "agent.minibatch=256", "agent.checkpoint_every=1")
    folder = fitted / "tiny" / "train" / "ppo-0"
    run("train", *command)
    once = (folder / "policy.safetensors").read_bytes()
    shutil.rmtree(folder)
    kills = 0
    while kills < 3:
        killed = subprocess.Popen(
            verb("train", *command), cwd=CONF.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        reached = newest(folder)
        while killed.poll() is None and newest(folder) == reached:
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
        assert newest(folder) > reached
        kills += 1
    refused = subprocess.run(verb("train", *command, "agent.epochs=3"), cwd=CONF.parent, capture_output=True, text=True)
    assert refused.returncode == 2 and "written with another settings than is configured now" in refused.stderr
    assert "up to date" not in run("train", *command)
    assert (folder / "policy.safetensors").read_bytes() == once and not (folder / "checkpoint").exists()


def newest(folder: Path) -> str:
    """Return the name of the newest file of a checkpoint; empty where there is none."""
    return max((path.name for path in folder.glob("checkpoint/state-*.safetensors")), default="")


@pytest.mark.parametrize("launcher", [(), ("+launcher=joblib",)])
def test_a_sweep_trains_every_agent_with_every_seed(
    fitted: Path, overrides: Overrides, launcher: tuple[str, ...]
) -> None:
    run("train", "-m", *overrides(fitted, *launcher, "agent=ppo,lin_ts", "seed=0,1", "agent.steps=1"))
    assert trained(fitted) == {"ppo-0", "ppo-1", "lin_ts-0", "lin_ts-1"}
    run("evaluate", *overrides(fitted))


def test_a_sweep_of_budgets_publishes_a_policy_for_each_beside_the_other(
    finished: Path, overrides: Overrides, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "tiny")
    run("export", "-m", *overrides(tmp_path, "export.agent=lin_ts", "budget=tight,generous"))
    tight, generous = (
        json.loads((tmp_path / "tiny" / f"policy-{name}" / MANIFEST).read_text("utf-8"))
        for name in ("tight", "generous")
    )
    assert tight["budget"]["per_customer_week"] < generous["budget"]["per_customer_week"]
    assert tight["budget"]["price"] >= generous["budget"]["price"]
    assert tight["data"] == generous["data"]
    assert {path.name for path in (tmp_path / "tiny").glob("report*.html")} == {
        "report.html",
        "report-tight.html",
        "report-generous.html",
    }


def test_a_sweep_of_whole_runs_gives_each_a_folder_of_its_own(overrides: Overrides, tmp_path: Path) -> None:
    run("run", "-m", *overrides(tmp_path, "run.agents=[no_offer]", "run.seeds=[0]", "market.draws=256,300"))
    for number, draws in enumerate((256, 300)):
        manifest = json.loads((tmp_path / "tiny" / str(number) / "policy" / MANIFEST).read_text("utf-8"))
        values = manifest["config"]["values"]
        assert values["market"]["draws"] == draws and "runs" not in values


def test_the_optuna_preset_tries_as_many_settings_as_it_is_told(fitted: Path, overrides: Overrides) -> None:
    run("train", "-m", *overrides(fitted, "+sweep=optuna_ppo", "hydra.sweeper.n_trials=2", "agent.steps=1"))
    storage = f"sqlite:///{fitted}/tiny/sweep.sqlite"
    study = optuna.load_study(study_name="ppo", storage=storage)
    assert trained(fitted) == set(), "trials are no policies of the run"
    assert len(list(fitted.glob("tiny/sweep/ppo-0-*/manifest.json"))) == 2
    assert len(study.trials) == 2
    assert len({trial.params["agent.learning_rate"] for trial in study.trials}) == 2
    assert study.best_value == max(trial.value for trial in study.trials if trial.value is not None)


@pytest.mark.parametrize("launcher", [(), ("+launcher=joblib",)])
def test_a_member_that_crashes_or_learns_nan_takes_no_other_along(
    fitted: Path, overrides: Overrides, launcher: tuple[str, ...]
) -> None:
    rates = "agent.learning_rate=1e30,1e-3,-1"
    command = overrides(fitted, *launcher, "agent=ppo", "agent.steps=5000", "agent.minibatch=256", rates)
    done = subprocess.run(verb("train", "-m", *command), cwd=CONF.parent, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("error: member")]
    assert sorted(line.split("(")[1].split(")")[0] for line in said) == [
        "agent.learning_rate=-1",
        "agent.learning_rate=1e+30",
    ]
    assert "became infinite or NaN" in "".join(said)
    assert done.stderr.splitlines()[-1].startswith("error: 2 members of the sweep failed")
    assert len(list(fitted.glob("tiny/sweep/ppo-0-*/manifest.json"))) == 1


def test_a_search_goes_on_where_it_stopped(fitted: Path, overrides: Overrides) -> None:
    search = overrides(fitted, "agent=lin_ts", "agent.steps=1", "tune.jobs=2")
    first = run("tune", *search, "tune.trials=2")
    second = run("tune", *search, "tune.trials=4")
    assert "best of 2 trials" in first and "best of 4 trials" in second
    folder = fitted / "tiny" / "tune" / "lin_ts"
    assert sorted(path.parent.name for path in folder.glob("trial-*/manifest.json")) == [
        f"trial-{number}" for number in range(4)
    ]
    study = optuna.load_study(study_name="tune", storage=f"sqlite:///{folder}/study.sqlite")
    assert len({trial.params["ridge"] for trial in study.trials}) == 4
    best = json.loads((folder / "best.json").read_text("utf-8"))
    assert best["trials"] == 4
    assert best["validation"] == max(trial.value for trial in study.trials if trial.value is not None)
    preset = ("--config-dir", str(folder / "conf"), "agent=lin_ts_best", "agent.steps=1")
    run("train", *overrides(fitted), *preset)
    made = json.loads((fitted / "tiny" / "train" / "lin_ts-0" / MANIFEST).read_text("utf-8"))
    assert made["settings"]["agent"]["ridge"] == best["settings"]["ridge"]


def test_a_search_that_was_killed_goes_on_with_the_trial_under_way_and_a_nan_trial_is_kept_as_failed(
    fitted: Path, overrides: Overrides
) -> None:
    space = "+tune.space={learning_rate:{choices:[1e30,1e-3]}}"
    usual = ("agent=ppo", "agent.steps=30000", "agent.minibatch=256", "agent.checkpoint_every=1", "tune.trials=6")
    command = verb("tune", *overrides(fitted, *usual, space))
    folder = fitted / "tiny" / "tune" / "ppo"
    killed = subprocess.Popen(command, cwd=CONF.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while killed.poll() is None and not list(folder.glob("trial-*/checkpoint/state-*")):
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    study = optuna.load_study(study_name="tune", storage=f"sqlite:///{folder}/study.sqlite")
    (under_way,) = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
    said = run("tune", *overrides(fitted, *usual, space))
    trials = study.get_trials()
    assert len(trials) == 6 and "best of 6 trials" in said
    assert trials[under_way.number].state is optuna.trial.TrialState.COMPLETE
    assert trials[under_way.number].params == under_way.params
    found = json.loads((folder / f"trial-{under_way.number}" / "circumstances.json").read_text("utf-8"))
    assert found["resumed_at"] > 0
    for trial in trials:
        failed = trial.params["learning_rate"] == 1e30
        assert (trial.state is optuna.trial.TrialState.FAIL) == failed
        assert ("became infinite or NaN" in trial.user_attrs.get("reason", "")) == failed
    assert {trial.params["learning_rate"] for trial in trials} == {1e30, 1e-3}


def test_ppo_that_learned_beats_random_and_itself_unlearned_on_validation(
    finished: Path, configure: Configure, tmp_path: Path
) -> None:
    usual = ("agent=ppo", "agent.minibatch=512", "train.customers=512", "evaluate.validation_worlds=8")
    shutil.copytree(finished / "prepare", tmp_path / "tiny" / "prepare")
    config = configure(tmp_path, *usual, "agent.steps=400000")
    run_fit(config)
    run_train(config)
    run_train(configure(tmp_path, *usual, "agent.steps=1", "agent.learning_rate=1e-12", "seed=1"))
    world = read_training_world(tmp_path / "tiny")
    where, layout = validation_play(config, world), world.observer.layout(world.market)
    learned, unlearned = (
        play(read_policy(tmp_path / "tiny" / "train" / f"ppo-{seed}", layout).policy, 0.0, where) for seed in (0, 1)
    )
    random = play(RandomPolicy(), 0.0, where)
    assert estimate_mean(learned.uplift - random.uplift).above_zero
    assert estimate_mean(learned.uplift - unlearned.uplift).above_zero
