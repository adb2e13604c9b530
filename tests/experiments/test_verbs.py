"""Each verb says which to run before it, goes on where another stopped, and refuses what does not belong together."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns.errors import InputError
from envs.fitted import read_training_world
from experiments.evaluate import load_policies, run_evaluate
from experiments.export import run_export
from experiments.fit import run_fit
from experiments.prepare import run_prepare
from experiments.runs import MANIFEST
from experiments.train import run_train
from history.sources import CompleteJourney
from tests.experiments.conftest import Configure, Overrides
from tests.experiments.fabricated_shop import write_shop

pytestmark = pytest.mark.xdist_group("tiny_run")  # one worker makes the run that these tests read


@pytest.mark.parametrize(
    ("verb", "first"),
    [("fit", "prepare"), ("train", "fit"), ("tune", "fit"), ("evaluate", "fit"), ("export", "evaluate")],
)
def test_a_verb_without_its_predecessor_says_in_one_line_which_to_run(
    verb: str, first: str, tmp_path: Path, refuse: Callable[..., str], overrides: Overrides
) -> None:
    line = refuse(verb, *overrides(tmp_path))
    assert line == f"error: {tmp_path}/tiny/{first}: not finished; run `python -m experiments.{first}` first"


def test_evaluate_without_any_trained_agent_says_to_train(
    finished: Path, tmp_path: Path, refuse: Callable[..., str], overrides: Overrides
) -> None:
    for step in ("prepare", "fit"):
        shutil.copytree(finished / step, tmp_path / "tiny" / step)
    assert "run `python -m experiments.train` first" in refuse("evaluate", *overrides(tmp_path))


def test_a_missing_mapping_is_one_line(tmp_path: Path, refuse: Callable[..., str]) -> None:
    line = refuse("prepare", "source=tables", f"source.mapping={tmp_path}/none.yaml", f"runs={tmp_path}")
    assert "none.yaml" in line


def test_a_broken_csv_is_one_line_that_names_file_and_column(tmp_path: Path, refuse: Callable[..., str]) -> None:
    mapping = write_shop(tmp_path / "shop", "transactions")
    table = tmp_path / "shop" / "transactions.csv"
    table.write_text(table.read_text("utf-8").replace("spend", "spent", 1), "utf-8")
    line = refuse("prepare", "source=tables", f"source.mapping={mapping}", f"runs={tmp_path}", "name=broken")
    assert "transactions.csv" in line and "spend" in line
    assert not (tmp_path / "broken" / "prepare" / MANIFEST).exists()


def test_too_many_bad_rows_stop_the_run_with_one_line(tmp_path: Path, refuse: Callable[..., str]) -> None:
    mapping = write_shop(tmp_path / "shop", "transactions")
    table = tmp_path / "shop" / "transactions.csv"
    head, *rows = table.read_text("utf-8").splitlines()
    bad = [row.rsplit(",", 3)[0] + ",-1.0,0.0,0.0" for row in rows[: len(rows) // 10]]
    table.write_text("\n".join([head, *bad, *rows[len(bad) :]]) + "\n", "utf-8")
    line = refuse("prepare", "source=tables", f"source.mapping={mapping}", f"runs={tmp_path}", "name=bad")
    assert "transactions" in line and "negative" in line


def test_a_shop_with_too_few_customers_is_told_how_many_it_needs(tmp_path: Path, refuse: Callable[..., str]) -> None:
    mapping = write_shop(tmp_path / "shop", "transactions")
    table = tmp_path / "shop" / "transactions.csv"
    head, *rows = table.read_text("utf-8").splitlines()
    table.write_text("\n".join([head, *(row for row in rows if row.startswith("00"))]) + "\n", "utf-8")
    line = refuse("prepare", "source=tables", f"source.mapping={mapping}", f"runs={tmp_path}", "name=few")
    assert "at least 50" in line


def test_finished_steps_are_not_done_again(
    finished: Path, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    config = configure(finished.parent, "agent=lin_ts", "agent.steps=1")
    capsys.readouterr()
    for verb in (run_prepare, run_fit, run_train, run_evaluate):
        verb(config)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if "is up to date" in line] == [
        "prepare",
        "fit",
        "train",
        "evaluate",
    ]
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of the finished run that a test may change."""
    shutil.copytree(finished, tmp_path / "tiny")
    return tmp_path / "tiny"


def test_other_settings_make_a_step_anew_and_the_steps_after_it_refuse_what_was_made_before(
    copied: Path, configure: Configure
) -> None:
    old = (copied / "fit" / MANIFEST).read_bytes()
    run_fit(configure(copied.parent, "market.effects.lift_scale=0.5"))
    assert (copied / "fit" / MANIFEST).read_bytes() != old
    with pytest.raises(InputError, match=r"train/.*: made from another fit .* run `train` again"):
        run_evaluate(configure(copied.parent, "market.effects.lift_scale=0.5"))
    with pytest.raises(InputError, match=r"evaluate: made from another fit .* run `evaluate` again"):
        run_export(configure(copied.parent, "market.effects.lift_scale=0.5"))


@pytest.mark.parametrize(
    ("verb", "override", "named"),
    [
        ("fit", "split.seed=3", "split"),
        ("train", "market.effects.lift_scale=3", "market"),
        ("train", "train.customers=65", "train"),
        ("evaluate", "rules.contact_cap=1", "rules"),
        ("export", "offers.max_total_discount=0.1", "offers"),
        ("tune", "split.train_share=0.4", "split"),
    ],
)
def test_an_override_that_would_have_no_effect_is_refused(
    verb: str, override: str, named: str, finished: Path, refuse: Callable[..., str], overrides: Overrides
) -> None:
    line = refuse(verb, *overrides(finished.parent, override))
    assert f"made with other settings of '{named}' than are configured now" in line


def test_export_refuses_a_source_that_the_run_is_not_of(finished: Path, configure: Configure) -> None:
    config = configure(finished.parent)
    config.source = CompleteJourney()
    with pytest.raises(InputError, match=r"prepare: prepared from another source than is configured now"):
        run_export(config)


def test_the_stock_of_a_cohort_follows_the_number_of_customers_in_training(copied: Path, configure: Configure) -> None:
    before = json.loads((copied / "fit" / "train" / "terms.json").read_text("utf-8"))["market"]["stock_share"]
    run_fit(configure(copied.parent, "train.customers=128"))
    after = json.loads((copied / "fit" / "train" / "terms.json").read_text("utf-8"))["market"]["stock_share"]
    assert after == 2 * before


@pytest.mark.slow
def test_a_policy_of_another_run_is_refused(copied: Path, configure: Configure) -> None:
    other = copied.parent / "other"
    run_prepare(configure(copied.parent, "name=other"))
    run_fit(configure(copied.parent, "name=other", "seed=5"))
    run_train(configure(copied.parent, "name=other", "agent=no_offer", "seed=5"))
    shutil.copytree(other / "train" / "no_offer-5", copied / "train" / "no_offer-5")
    with pytest.raises(InputError, match=r"no_offer-5: made from another fit"):
        run_evaluate(configure(copied.parent))


def test_an_export_after_further_training_wants_a_fresh_evaluation(copied: Path, configure: Configure) -> None:
    run_train(configure(copied.parent, "agent=random"))
    with pytest.raises(InputError, match=r"evaluate: made from another train/random-0 .* run `evaluate` again"):
        run_export(configure(copied.parent))


@pytest.mark.parametrize("name", ["fit/train/world.safetensors", "train/lin_ts-0/policy.safetensors"])
def test_a_damaged_file_is_named_by_the_verb_that_would_read_it(name: str, copied: Path, configure: Configure) -> None:
    (copied / name).write_bytes(b"torn")
    with pytest.raises(InputError, match=rf"{name}: not the file that"):
        run_evaluate(configure(copied.parent))


def test_export_refuses_an_agent_that_was_not_trained(copied: Path, configure: Configure) -> None:
    with pytest.raises(InputError, match=r"export\.agent is 'best_single'; expected auto or one that was trained"):
        run_export(configure(copied.parent, "export.agent=best_single"))


def test_a_training_that_broke_off_is_not_judged(copied: Path) -> None:
    (copied / "train" / "ppo-0" / MANIFEST).unlink()
    assert set(load_policies(copied, read_training_world(copied))) == {"lin_ts", "knapsack", "no_offer"}


@pytest.mark.slow
def test_a_run_broken_off_between_two_steps_goes_on_where_it_stopped(
    copied: Path, take_steps: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    policy = (copied / "policy" / "policy_by_customer.parquet").read_bytes()
    shutil.rmtree(copied / "policy")
    (copied / "train" / "lin_ts-0" / MANIFEST).unlink()
    (copied / "evaluate" / MANIFEST).unlink()
    capsys.readouterr()
    take_steps(copied.parent)
    said = capsys.readouterr().out
    assert said.count("is up to date") == 5
    assert "train: lin_ts seed 0" in said
    assert (copied / "policy" / "policy_by_customer.parquet").read_bytes() == policy


def test_the_manifest_of_a_training_says_what_it_was_made_with(finished: Path) -> None:
    manifest = json.loads((finished / "train" / "ppo-0" / MANIFEST).read_text("utf-8"))
    assert manifest["settings"]["agent"]["minibatch"] == 256
    assert set(manifest["files"]) == {"policy.json", "policy.safetensors"}
