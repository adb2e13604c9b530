"""What the way from files to a report takes: the intake, and the whole job in a process of its own."""

import resource
import subprocess
import sys
import time
from copy import deepcopy

from experiments.benchmarks.measured import Measured
from experiments.config import Config
from experiments.history import load_history
from experiments.main import CONF
from experiments.prepare import run_prepare
from history.panel import build_panel


def measure_panel(config: Config, rounds: int) -> list[Measured]:
    """Time the way from the source's files to the panel, once: the system keeps files that were read before at hand."""
    fresh = deepcopy(config)
    fresh.name = f"{config.name}/panel"
    start = time.perf_counter()
    folder = run_prepare(fresh)
    taken_in = time.perf_counter() - start
    build_panel(load_history(folder, config.split).panel.events)
    seconds = time.perf_counter() - start
    return [Measured("source to panel", f"{seconds:.1f} s", more={"seconds": seconds, "intake": taken_in})]


def measure_whole_job(config: Config, rounds: int) -> list[Measured]:
    """Measure time and memory of the main job in a process of its own, from nothing, once."""
    command = [sys.executable, "-m", "experiments.run", f"name={config.name}/job", f"runs={config.runs}"]
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=CONF.parent, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    value = f"{seconds:.0f} s, largest process {peak:.2f} GiB"
    return [Measured("the whole job", value, more={"seconds": seconds, "largest_process_gib": peak})]
