"""Sweeps on many machines: a Ray cluster of two nodes, and the real scheduler of Slurm."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.main import CONF
from tests.experiments.conftest import Overrides
from tests.experiments.slurm import scheduler

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tiny_run")]
HERE = Path(__file__).parent
SWEEP = ("agent=lin_ts,knapsack", "seed=0,1", "agent.steps=1")


@pytest.fixture
def fitted(finished: Path, tmp_path: Path) -> Path:
    """Return the folder of runs with a run that is prepared and fitted."""
    for step in ("prepare", "fit"):
        shutil.copytree(finished / step, tmp_path / "tiny" / step)
    return tmp_path


def sweep(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.train", "-m", *arguments]
    return subprocess.run(
        command, cwd=CONF.parent, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def trained(runs: Path) -> set[str]:
    return {path.parent.name for path in runs.glob("tiny/train/*/manifest.json")}


def test_a_sweep_on_a_ray_cluster_of_two_nodes_trains_every_member(fitted: Path, overrides: Overrides) -> None:
    cluster = subprocess.Popen(
        [sys.executable, str(HERE / "cluster.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert cluster.stdout is not None
    try:
        address = next(line for line in cluster.stdout if line.startswith("address ")).split()[1]
        joined = f"hydra.launcher.ray.init.address='{address}'"
        done = sweep(dict(os.environ), *overrides(fitted, "+launcher=ray", joined, *SWEEP))
        assert done.returncode == 0, done.stderr
        assert trained(fitted) == {"lin_ts-0", "lin_ts-1", "knapsack-0", "knapsack-1"}
    finally:
        cluster.communicate(timeout=60)


def test_a_sweep_on_slurm_trains_every_member_and_loses_none_to_one_that_fails(
    fitted: Path, overrides: Overrides, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with scheduler(tmp_path_factory.mktemp("slurm")) as environment:
        done = sweep(environment, *overrides(fitted, "+launcher=slurm", *SWEEP))
        assert done.returncode == 0, done.stderr
        assert trained(fitted) == {"lin_ts-0", "lin_ts-1", "knapsack-0", "knapsack-1"}
        mistaken = sweep(environment, *overrides(fitted, "+launcher=slurm", "agent=lin_ts", "agent.steps=1,-1"))
    assert mistaken.returncode == 2
    assert mistaken.stderr.strip().splitlines()[-1].startswith("error: 1 member of the sweep failed")
    assert len(list(fitted.glob("tiny/sweep/lin_ts-0-*/manifest.json"))) == 1
