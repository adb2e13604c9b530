"""One bandit library at one job, in its own process and environment; takes its turns over standard input.

It runs under the library's own Python, which need not know this project: so it imports numpy and that library alone.
It reads seeds, one per line, and answers each with a line of JSON.

<python> experiments/peers/bandit_worker.py <contestant> speed|regret
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

SPEED = {"d": 48, "arms": 32, "seconds": 1.0}
REGRET = {"d": 32, "arms": 16, "rounds": 100_000, "batch": 100, "noise": 0.5}


class Contestant(Protocol):
    """A bandit that takes batches."""

    block: int
    """Contexts that it likes to decide on at a time."""

    def choose(self, x: Floats) -> Ints:
        """Return an arm for each context of (n, d), shape (n,)."""
        ...

    def learn(self, x: Floats, arm: Ints, reward: Floats) -> None:
        """Learn from n decisions."""
        ...


class Ours:
    """`agents.linear_bandit`, which needs this project's environment and its root as working directory."""

    block = 1024

    def __init__(self, rule: str, d: int, arms: int, seed: int) -> None:
        import torch

        sys.path.insert(0, str(Path(__file__).parents[2]))
        from agents.linear_bandit import BanditSettings, LinearBandit, Rule

        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        self._from_numpy: Callable[[Any], Any] = torch.from_numpy
        self._bandit = LinearBandit(arms, d, BanditSettings(rule=Rule(rule)), seed)

    def choose(self, x: Floats) -> Ints:
        chosen: Ints = self._bandit.choose(self._from_numpy(x)).numpy()
        return chosen

    def learn(self, x: Floats, arm: Ints, reward: Floats) -> None:
        self._bandit.learn(*(self._from_numpy(column) for column in (x, arm, reward)))


class MabWiser:
    """mabwiser's LinTS or LinUCB."""

    block = 500

    def __init__(self, rule: str, d: int, arms: int, seed: int) -> None:
        from mabwiser.mab import MAB, LearningPolicy

        policy = LearningPolicy.LinTS(alpha=1.0) if rule == "thompson" else LearningPolicy.LinUCB(alpha=1.0)
        self._mab = MAB(arms=list(range(arms)), learning_policy=policy, seed=seed)
        self._fitted = False
        self._d = d
        self._rng = np.random.default_rng(seed)
        self._arms = arms

    def choose(self, x: Floats) -> Ints:
        if not self._fitted:
            return self._rng.integers(self._arms, size=len(x))
        found = self._mab.predict(x)
        return np.atleast_1d(np.asarray(found, dtype=np.int64))

    def learn(self, x: Floats, arm: Ints, reward: Floats) -> None:
        (self._mab.partial_fit if self._fitted else self._mab.fit)(arm, reward, x)
        self._fitted = True


class ContextualBandits:
    """contextualbandits' LinTS or LinUCB."""

    block = 2000

    def __init__(self, rule: str, d: int, arms: int, seed: int) -> None:
        from contextualbandits.online import LinTS, LinUCB

        kind = LinTS if rule == "thompson" else LinUCB
        self._bandit = kind(nchoices=arms, njobs=1, random_state=seed + 1)  # it refuses 0

    def choose(self, x: Floats) -> Ints:
        return np.asarray(self._bandit.predict(x.astype(np.float64)), dtype=np.int64)

    def learn(self, x: Floats, arm: Ints, reward: Floats) -> None:
        self._bandit.partial_fit(x.astype(np.float64), arm, reward.astype(np.float64))


class VowpalWabbit:
    """Vowpal Wabbit, one text example at a time: `epsilon` greedy without action features, `squarecb` with."""

    block = 100

    def __init__(self, rule: str, d: int, arms: int, seed: int) -> None:
        import vowpalwabbit

        self._adf = rule == "squarecb"
        options = "--cb_explore_adf -q ua --squarecb" if self._adf else f"--cb_explore {arms} --epsilon 0.02"
        self._vw = vowpalwabbit.Workspace(f"{options} --quiet --random_seed {seed}")
        self._rng = np.random.default_rng(seed)
        self._arms = arms
        self._pmf: list[float] = []

    def _context(self, x: Floats) -> str:
        return "|u " + " ".join(f"f{j}:{value:.4f}" for j, value in enumerate(x))

    def choose(self, x: Floats) -> Ints:
        chosen, self._pmf = [], []
        for row in x:
            text = self._context(row)
            if self._adf:
                text = "\n".join(["shared " + text, *(f"|a a{k}" for k in range(self._arms))])
            pmf = np.asarray(self._vw.predict(text), dtype=np.float64)
            arm = int(self._rng.choice(self._arms, p=pmf / pmf.sum()))
            chosen.append(arm)
            self._pmf.append(float(pmf[arm]))
        return np.array(chosen, dtype=np.int64)

    def learn(self, x: Floats, arm: Ints, reward: Floats) -> None:
        shown = self._pmf if len(self._pmf) == len(x) else [1.0 / self._arms] * len(x)
        for row, a, r, p in zip(x, arm, reward, shown, strict=True):
            label = f"{-r:.4f}:{p:.4f}"
            if self._adf:
                lines = [(f"0:{label} " if k == a else "") + f"|a a{k}" for k in range(self._arms)]
                self._vw.learn("\n".join(["shared " + self._context(row), *lines]))
            else:
                self._vw.learn(f"{a + 1}:{label} {self._context(row)}")


CONTESTANTS: dict[str, tuple[type[Any], str]] = {
    "ours ucb": (Ours, "ucb"),
    "ours thompson": (Ours, "thompson"),
    "mabwiser ucb": (MabWiser, "ucb"),
    "mabwiser thompson": (MabWiser, "thompson"),
    "contextualbandits ucb": (ContextualBandits, "ucb"),
    "contextualbandits thompson": (ContextualBandits, "thompson"),
    "vowpalwabbit epsilon": (VowpalWabbit, "epsilon"),
    "vowpalwabbit squarecb": (VowpalWabbit, "squarecb"),
}


def measure_speed(make: Callable[[int, int], Contestant], rng: np.random.Generator) -> dict[str, float]:
    """Return decisions per second of CPU time after 5,000 logged decisions."""
    d, arms = int(SPEED["d"]), int(SPEED["arms"])
    contestant = make(d, arms)
    x = rng.standard_normal((5000, d)).astype(np.float32)
    arm = rng.integers(0, arms, 5000)
    contestant.learn(x, arm, (rng.random(5000) < 0.5).astype(np.float32))
    block = x[: contestant.block]
    contestant.choose(block)
    done, begin = 0, time.process_time()
    while (spent := time.process_time() - begin) < SPEED["seconds"]:
        contestant.choose(block)
        done += len(block)
    return {"rate": done / spent}


def measure_regret(make: Callable[[int, int], Contestant], rng: np.random.Generator) -> dict[str, Any]:
    """Return cumulative expected regret at every tenth of the rounds, on a linear truth."""
    d, arms, batch = int(REGRET["d"]), int(REGRET["arms"]), int(REGRET["batch"])
    theta = rng.standard_normal((d, arms)) / d**0.5
    contestant, total, curve = make(d, arms), 0.0, []
    batches = int(REGRET["rounds"]) // batch
    begin = time.process_time()
    for number in range(batches):
        x = rng.standard_normal((batch, d)).astype(np.float32)
        mean = x @ theta
        arm = contestant.choose(x)
        got = mean[np.arange(batch), arm]
        contestant.learn(x, arm, (got + REGRET["noise"] * rng.standard_normal(batch)).astype(np.float32))
        total += float((mean.max(axis=1) - got).sum())
        if (number + 1) % (batches // 10) == 0:
            curve.append(total)
    return {"rate": batches * batch / (time.process_time() - begin), "regret": curve}


def main() -> None:
    kind, rule = CONTESTANTS[sys.argv[1]]
    measure = measure_speed if sys.argv[2] == "speed" else measure_regret
    for line in sys.stdin:
        seed = int(line)

        def make(d: int, arms: int, seed: int = seed) -> Contestant:
            contestant: Contestant = kind(rule, d, arms, seed)
            return contestant

        print(json.dumps(measure(make, np.random.default_rng(seed))), flush=True)


if __name__ == "__main__":
    main()
