"""A large table scored by several processes, by processes that are killed, and on a cluster that loses a node."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from campaigns.errors import InputError
from experiments.main import CONF
from experiments.scoring.parts import NOTES
from experiments.scoring.scorer import read_scorer
from experiments.scoring.settings import Engine, ScoreConfig
from experiments.scoring.whole import part_files, score_all
from experiments.scoring.work import Job
from history.artifacts import hash_file, read_json
from serving.publishing import MANIFEST
from tests.experiments.fabricated_scorer import KEY, fabricate
from tests.experiments.slurm import scheduler

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tiny_run")]  # one cluster at a time
HERE = Path(__file__).parent
PARTS, OF_PART, ARRAY = 24, 2000, 2


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    fabricate(folder, PARTS * OF_PART, OF_PART)
    return folder


def command(shop: Path, out: Path, *more: str) -> list[str]:
    given = (f"score.scorer={shop / 'scorer'}", f"score.customers={shop / 'customers'}", f"score.out={out}")
    return [sys.executable, "-m", "experiments.score", "name=spring", *given, *more]


def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        arguments, cwd=CONF.parent, env=os.environ | environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def end(process: "subprocess.Popen[str]") -> str:
    said, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    return said


def tree(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): hash_file(path) for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def whole(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the files that two processes make."""
    out = tmp_path_factory.mktemp("two")
    said = end(start(*command(shop, out, "score.jobs=2")))
    assert f"wrote {PARTS * OF_PART:,} rows in {PARTS} parts" in said
    return tree(out)


def test_processes_that_are_killed_again_and_again_leave_the_same_bytes(
    shop: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    done = end(start(sys.executable, "-m", "tests.experiments.interrupted", str(shop), str(tmp_path), "12", "1"))
    assert int(done) >= 6
    assert tree(tmp_path) == whole


def test_a_cluster_that_loses_a_node_writes_every_customer_once(
    shop: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    cluster = subprocess.Popen(
        [sys.executable, str(HERE / "cluster.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert cluster.stdin is not None
    assert cluster.stdout is not None
    try:
        address = next(line for line in cluster.stdout if line.startswith("address ")).split()[1]
        scoring = start(*command(shop, tmp_path, "score.engine=ray"), RAY_ADDRESS=address)
        while scoring.poll() is None and len(list(tmp_path.glob(f"asked/{NOTES}/*.json"))) < 3:
            time.sleep(0.05)
        cluster.stdin.write("kill\n")
        cluster.stdin.flush()
        assert "killed" in next(line for line in cluster.stdout if line.startswith("killed"))
        assert scoring.poll() is None, "it was done before the node was killed"
        end(scoring)
        assert tree(tmp_path) == whole
        ids = everyone(tmp_path)
        assert ids == sorted(set(ids))
        assert len(ids) == PARTS * OF_PART
    finally:
        cluster.communicate(timeout=60)


def test_an_array_of_the_real_scheduler_gives_the_same_bytes(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    few, out = tmp_path / "shop", tmp_path / "array"
    fabricate(few, ARRAY * OF_PART, OF_PART)
    job = shlex.join(command(few, out, "score.engine=array")) + " score.part=$SLURM_ARRAY_TASK_ID"
    array = ("sbatch", "--wait", f"--array=0-{ARRAY - 1}", f"--output={tmp_path}/%a.log", "--wrap", job)

    def put_together() -> dict[str, Any]:
        return scored(few, out, Engine.ARRAY)

    with scheduler(tmp_path_factory.mktemp("slurm")) as environment:
        for unfinished in (rf"{ARRAY} of {ARRAY} parts are to be done", "the budget is settled"):
            with pytest.raises(InputError, match=unfinished):
                put_together()
            assert "Submitted" in end(start(*array, **environment))
    assert put_together()["customers"] == ARRAY * OF_PART
    scored(few, tmp_path / "here", Engine.LOCAL)
    assert tree(out) == tree(tmp_path / "here")


def scored(shop: Path, out: Path, engine: Engine) -> dict[str, Any]:
    parts, job = part_files(shop / "customers", out), Job(shop / "scorer", KEY)
    return score_all(read_scorer(shop / "scorer", KEY), job, parts, ScoreConfig(engine=engine, jobs=1))


def everyone(out: Path) -> list[Any]:
    parts = read_json(out / MANIFEST)["parts"]
    return [one for part in parts for one in pq.read_table(out / part["file"])["customer_id"].to_pylist()]
