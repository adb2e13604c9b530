"""What off-policy estimates take: the whole table beside plain pandas, and long logs in processes of their own."""

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from evaluation.off_policy.estimators import doubly_robust
from evaluation.off_policy.intervals import with_bootstrap
from evaluation.off_policy.reward_model import fit_reward
from evaluation.off_policy.rounds import CHUNK, Floats, Log, condense, slices
from evaluation.off_policy.table import Interval, estimate_all
from experiments.benchmarks import off_policy_pandas as plain
from experiments.benchmarks.measured import Measured, against, take_turns
from experiments.config import Config
from experiments.main import CONF

ACTIONS = 16
FEATURES = 8
ROUNDS = 100_000
"""Rounds of the log that both tables are made of; the plain one takes most of a minute."""
RESAMPLES = 400
LONG = (1_000_000, 10_000_000)
GIB = 2**30


@dataclass(frozen=True, eq=False)
class Shop:
    """A log whose probabilities are functions of its features, so that no array of rounds by actions is ever whole.

    Attributes:
        features: Shape (n, FEATURES), float32.
        lean: Logits of the log, of the policy, and rewards, by feature, shape (3, FEATURES, ACTIONS).
    """

    features: np.ndarray[Any, np.dtype[np.float32]]
    lean: Floats

    def behavior(self, rows: slice) -> Floats:
        """Return the log's probabilities, shape (rows, ACTIONS); at least 0.2 / ACTIONS."""
        return np.asarray(0.8 * softmax(0.5 * self.features[rows] @ self.lean[0], axis=1) + 0.2 / ACTIONS)

    def policy(self, rows: slice) -> Floats:
        """Return the policy's, likewise."""
        return np.asarray(softmax(self.features[rows] @ self.lean[1], axis=1), np.float64)

    def log(self, seed: int) -> Log:
        """Draw the log."""
        rng, n = np.random.default_rng(seed), len(self.features)
        action, reward, pscore = np.empty(n, np.int64), np.empty(n), np.empty(n)
        for rows in slices(n, CHUNK):
            chance, size = self.behavior(rows), rows.stop - rows.start
            taken = (chance.cumsum(axis=1) > rng.random((size, 1))).argmax(axis=1)
            worth = np.take_along_axis(self.features[rows] @ self.lean[2], taken[:, None], axis=1)[:, 0]
            action[rows], pscore[rows] = taken, chance[np.arange(size), taken]
            reward[rows] = worth + rng.normal(size=size)
        return Log(ACTIONS, action, reward, pscore)


def open_shop(n: int, seed: int) -> Shop:
    """Return a shop of n rounds."""
    rng = np.random.default_rng([seed, n])
    return Shop(rng.standard_normal((n, FEATURES), np.float32), rng.normal(size=(3, FEATURES, ACTIONS)) / 2)


def measure_off_policy(config: Config, rounds: int) -> list[Measured]:
    """Let both tables take turns on one log, and measure long logs each in a fresh process."""
    shop = open_shop(ROUNDS, config.seed)
    log = shop.log(config.seed)
    model = fit_reward(log, shop.features, config.seed)
    every = slice(0, ROUNDS)
    policy, predicted = shop.policy(every), model(every)
    columns = {"action": log.action, "reward": log.reward, "pscore": log.pscore}
    frames = plain.PandasLog(pd.DataFrame(columns), pd.DataFrame(policy), pd.DataFrame(predicted))

    def ours(number: int) -> float:
        began = time.process_time()
        estimate_all(condense(log, policy, predicted), Interval.BOOTSTRAP, number, RESAMPLES)
        return 1 / (time.process_time() - began)

    def theirs(number: int) -> float:
        began = time.process_time()
        plain.estimate_all(frames, RESAMPLES, number)
        return 1 / (time.process_time() - began)

    rates, absent = take_turns({"offersmith": ours, "plain pandas": theirs}, min(rounds, 3))
    what = f"off-policy table of 9 estimators, {ROUNDS:,} rounds x {ACTIONS} offers, {RESAMPLES} resamples"
    table = against("offersmith", "plain pandas", rates, absent, what=what, unit="tables", target=">= 20x")
    return [table, *(_long(n) for n in LONG)]


def _long(n: int) -> Measured:
    found = _in_own_process(n)
    value = (
        f"{found['seconds']:.1f} s, {found['peak_gib']:.2f} GiB at most; the whole table {found['table']:.1f} s more"
    )
    target = "< 20 s, < 4 GiB" if n == LONG[0] else ""
    what = f"off-policy DR with bootstrap, {n:,} rounds x {ACTIONS} offers"
    return Measured(what, value, found["seconds"], target=target, more=found)


def _in_own_process(n: int) -> dict[str, float]:
    command = [sys.executable, "-m", "experiments.benchmarks.off_policy", str(n)]
    done = subprocess.run(command, cwd=CONF.parent, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_long(n: int) -> dict[str, float]:
    """Estimate from a log of n rounds, the fit of the reward model included; wall-clock seconds and peak memory [GiB].

    `before_gib` is the peak when the log was drawn, `peak_gib` that after DR, `table_gib` that after all estimators.
    """
    shop = open_shop(n, 0)
    log = shop.log(0)
    before = _peak_gib()
    began = time.perf_counter()
    rounds = condense(log, shop.policy, fit_reward(log, shop.features, 0))
    estimate = with_bootstrap(doubly_robust(rounds), rounds, 0, RESAMPLES)
    seconds, peak = time.perf_counter() - began, _peak_gib()
    began = time.perf_counter()
    estimate_all(rounds, Interval.BOOTSTRAP, 0, RESAMPLES)
    table = time.perf_counter() - began
    found = {"seconds": seconds, "table": table, "before_gib": before, "peak_gib": peak, "table_gib": _peak_gib()}
    return found | {"value": estimate.value, "lo": estimate.lo, "hi": estimate.hi}


def _peak_gib() -> float:
    """Return the most memory that this process has held [GiB]; Linux counts KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


if __name__ == "__main__":
    print(json.dumps(measure_long(int(sys.argv[1]))))
