"""Score a shop in processes that are killed at random, as often as told, then let one end.

python -m tests.experiments.interrupted <shop> <out> <kills> <seed>
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from experiments.scoring.scorer import read_scorer
from experiments.scoring.settings import ScoreConfig
from experiments.scoring.whole import part_files, score_all
from experiments.scoring.work import Job
from tests.experiments.fabricated_scorer import KEY


def main() -> None:
    shop, out, kills, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    lucky, cut_off = random.Random(seed), 0
    for _ in range(kills):
        child = start(shop, out)
        time.sleep(lucky.uniform(0.02, 0.6))
        os.kill(child, signal.SIGKILL)
        cut_off += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert os.waitstatus_to_exitcode(os.waitpid(start(shop, out), 0)[1]) == 0
    print(cut_off)


def start(shop: Path, out: Path) -> int:
    child = os.fork()
    if child:
        return child
    try:
        parts = part_files(shop / "customers", out)
        score_all(read_scorer(shop / "scorer", KEY), Job(shop / "scorer", KEY), parts, ScoreConfig(jobs=1))
    except BaseException:
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
