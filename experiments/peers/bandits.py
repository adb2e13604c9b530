"""Our linear bandit beside those of other libraries: decisions per second, and regret on a linear truth.

The peers live in an environment of their own (`experiments/peers/bandits.txt`); one that is not installed is named.

python -m experiments.peers.bandits <python of the peers> [--jobs speed regret] [--rounds 5] [--seeds 1]
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from experiments.peers.bandit_worker import CONTESTANTS, Ours

WORKER = Path(__file__).with_name("bandit_worker.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="interpreter of the environment with the peers")
    parser.add_argument("--jobs", nargs="+", default=["speed", "regret"], choices=["speed", "regret"])
    parser.add_argument("--rounds", type=int, default=5, help="of the speed job, interleaved")
    parser.add_argument("--seeds", type=int, default=1, help="of the regret job")
    asked = parser.parse_args()
    if "speed" in asked.jobs:
        _report_speed(compare_speed(asked.python, asked.rounds))
    if "regret" in asked.jobs:
        _report_regret(compare_regret(asked.python, asked.seeds))


def compare_speed(python: str, rounds: int) -> dict[str, float | None]:
    """Return the median decisions per second of CPU time of each contestant; None where it is not installed."""
    found: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for seed in range(rounds):
        for name, seen in found.items():
            answer = ask(name, "speed", seed, python)
            if answer is not None:
                seen.append(float(answer["decisions_per_s"]))
    return {name: median(seen) if seen else None for name, seen in found.items()}


def compare_regret(python: str, seeds: int) -> dict[str, list[float] | None]:
    """Return the mean cumulative regret of each contestant at every tenth of the rounds."""
    found: dict[str, list[float] | None] = {}
    for name in CONTESTANTS:
        answers = [ask(name, "regret", seed, python) for seed in range(seeds)]
        curves = [answer["regret"] for answer in answers if answer is not None]
        found[name] = [sum(at) / len(curves) for at in zip(*curves, strict=True)] if curves else None
    return found


def ask(name: str, job: str, seed: int, python: str) -> dict[str, Any] | None:
    """Run one contestant in its own process, with one thread; return what it measured, None if it is not installed."""
    interpreter = sys.executable if CONTESTANTS[name][0] is Ours else python
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [interpreter, str(WORKER), name, job, str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads, check=False)
    if done.returncode:
        if "ModuleNotFoundError" in done.stderr:
            return None
        raise RuntimeError(f"{name} failed at {job}: {done.stderr.strip().splitlines()[-1]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _report_speed(found: dict[str, float | None]) -> None:
    print("decisions per second of CPU time, one thread, d = 48, 32 offers")
    for name, speed in found.items():
        rule = "thompson" if name.endswith("thompson") else "ucb"
        ours = found[f"ours {rule}"]
        ratio = f"ours {rule} is {ours / speed:.1f} x" if speed and ours else "not installed"
        print(f"{name:28} {speed or 0:12,.0f}   {ratio}")


def _report_regret(found: dict[str, list[float] | None]) -> None:
    print("cumulative regret on a linear truth, d = 32, 16 offers, 100,000 rounds, at a tenth, a half and the end")
    for name, curve in found.items():
        print(f"{name:28} " + ("not installed" if curve is None else " ".join(f"{curve[i]:10.0f}" for i in (0, 4, 9))))


if __name__ == "__main__":
    main()
