"""Every file in conf/ composes and builds; a mistake on the command line ends with one line that names the key."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from agents.registry import AGENTS
from campaigns.offers import Catalog
from experiments.config import Config, register_schemas
from experiments.main import CONF, to_config

ADDED = ("launcher", "sweep")
"""Groups that are not in the defaults list: they change Hydra itself and are added with a plus."""
CHOICES = sorted((path.parent.name, path.stem) for path in CONF.glob("*/*.yaml"))


def composed(*overrides: str) -> Config:
    """Compose as a verb does."""
    register_schemas()
    with initialize_config_dir(str(CONF)):
        return to_config(compose("config", overrides=list(overrides)))


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_file_of_conf_composes_to_a_configuration_that_builds(
    group: str, choice: str, mapping: Path, tmp_path: Path
) -> None:
    plus = "+" if group in ADDED else ""
    needed = {
        ("source", "tables"): [f"source.mapping={mapping}"],
        ("source", "synthetic"): [f"runs={tmp_path}", "source.customers=20", "source.weeks=12"],
    }
    config = composed(f"{plus}{group}={choice}", *needed.get((group, choice), []))
    assert isinstance(config, Config)
    assert Catalog.from_dict(config.offers).names[0] == "none"
    assert callable(config.agent.build().learn)
    assert config.source.build().tables["transactions"].path.is_file()


def test_the_tables_of_a_synthetic_shop_lie_in_the_folder_of_its_run() -> None:
    assert composed("source=synthetic", "runs=elsewhere", "name=shop").source.folder == "elsewhere/shop/tables"


def test_a_setting_of_a_synthetic_shop_is_refused_where_it_cannot_be(refuse: Callable[..., str]) -> None:
    assert "campaign_share 2.0" in refuse("prepare", "source=synthetic", "source.campaign_share=2")
    assert "custommers" in refuse("prepare", "source=synthetic", "source.custommers=2")


def test_every_agent_has_a_preset_and_every_preset_is_an_agent() -> None:
    assert {choice for group, choice in CHOICES if group == "agent"} == set(AGENTS)


@pytest.mark.parametrize("kind", AGENTS)
def test_a_preset_builds_the_agent_of_its_name_with_the_defaults_of_its_record(kind: str) -> None:
    assert composed(f"agent={kind}").agent == AGENTS[kind]()


def test_the_sceptical_scenario_halves_the_lift_of_both_markets() -> None:
    usual, sceptical = composed(), composed("scenario=sceptical")
    assert sceptical.market.effects.lift_scale == 0.5 * usual.market.effects.lift_scale
    assert sceptical.market.judge_effects.lift_scale == 0.5 * usual.market.judge_effects.lift_scale
    assert sceptical.market.judge_effects.tiring_scale == 2 * usual.market.judge_effects.tiring_scale
    assert sceptical.market.margin == usual.market.margin


@pytest.mark.parametrize(
    ("preset", "part", "package"),
    [("launcher=joblib", "launcher", "hydra_joblib_launcher"), ("sweep=optuna_ppo", "sweeper", "hydra_optuna_sweeper")],
)
def test_a_preset_for_sweeps_puts_its_plugin_in_place(preset: str, part: str, package: str) -> None:
    register_schemas()
    with initialize_config_dir(str(CONF)):
        everything = compose("config", overrides=[f"+{preset}"], return_hydra_config=True)
    assert package in everything.hydra[part]["_target_"]


def test_presets_hold_no_logic_and_no_class_paths() -> None:
    for path in CONF.rglob("*.yaml"):
        assert "_target_" not in path.read_text("utf-8"), path
        assert isinstance(yaml.safe_load(path.read_text("utf-8")), dict | None), path


@pytest.mark.parametrize(
    ("verb", "override", "named"),
    [
        ("train", "train.custommers=5", "custommers"),
        ("train", "agent.learning_rat=1", "learning_rat"),
        ("train", "market.response.epoch=1", "epoch"),
        ("train", "agnet=ppo", "agnet"),
        ("train", "agent=pppo", "pppo"),
        ("train", "agent.steps=many", "many"),
        ("train", "agent.steps=-1", "steps is -1"),
        ("train", "threads=0", "threads is 0"),
        ("train", "device=tpu", "tpu"),
        ("train", "market.draws=3", "market.draws is 3"),
        ("train", "market.effects.salience=7", "salience is 7"),
        ("train", "evaluate.worlds=1", "evaluate.worlds is 1"),
        ("train", "run.agents=[ppo,pp]", "'pp'"),
        ("train", "budget.per_customer_week=0", "budget.per_customer_week is 0"),
        ("train", "budget.curve=[1,0]", "budget.curve is [1"),
        ("train", "rules.contact_cap=-1", "contact_cap is -1"),
        ("train", "split.train_share=0.9", "train_share 0.9"),
        ("train", "export.draws=20", "export.draws is 20"),
        ("prepare", "source=tables", "source.mapping"),
        ("prepare", "source.maping=x.yaml", "maping"),
    ],
)
def test_a_mistaken_override_ends_with_one_line_that_names_it(
    verb: str, override: str, named: str, tmp_path: Path, refuse: Callable[..., str]
) -> None:
    assert named in refuse(verb, f"runs={tmp_path}", override)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "named"), [("train.custommers=5", "custommers"), ("agent.steps=-1", "steps is -1")]
)
def test_a_mistaken_override_ends_a_process_with_code_two(override: str, named: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "experiments.train", f"runs={tmp_path}", override]
    done = subprocess.run(command, cwd=CONF.parent, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ") and named in line
