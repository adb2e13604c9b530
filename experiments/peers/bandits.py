"""Our linear bandit beside those of other libraries: decisions per second, and regret on a linear truth."""

from pathlib import Path

from experiments.benchmarks.measured import Measured, against, take_turns
from experiments.config import Config
from experiments.peers.bandit_worker import CONTESTANTS, REGRET, SPEED, Ours
from experiments.peers.installed import Contestant, every

TARGETS = {
    "mabwiser ucb": ">= 3x",
    "mabwiser thompson": ">= 8x",
    "contextualbandits ucb": ">= 1.8x",
    "contextualbandits thompson": ">= 8x",
    "vowpalwabbit epsilon": ">= 5x",
    "vowpalwabbit squarecb": ">= 30x",
}
"""Least ratio of our decisions per second, each taking as many contexts at a time as it likes."""


def compare(config: Config, rounds: int) -> list[Measured]:
    """Measure decisions per second and, over `benchmark.regret_seeds` seeds, regret."""
    folder = Path(config.benchmark.peers)
    with every(_contestants(folder, "speed")) as contestants:
        rates, absent = take_turns(contestants, rounds)
    what = f"decisions (d = {SPEED['d']}, {SPEED['arms']:.0f} offers) over {{}}"
    rows = [
        against(_ours(peer), peer, rates, absent, what=what.format(peer), unit="decisions", target=target)
        for peer, target in TARGETS.items()
    ]
    if config.benchmark.regret_seeds:
        rows += _regrets(folder, config.benchmark.regret_seeds)
    return rows


def _regrets(folder: Path, seeds: int) -> list[Measured]:
    """Return the mean cumulative regret of each contestant at a tenth, a half and the end of the rounds."""
    curves: dict[str, list[list[float]]] = {name: [] for name in CONTESTANTS}
    rows = []
    with every(_contestants(folder, "regret")) as contestants:

        def turn(name: str, seed: int) -> float:
            rate = contestants[name](seed)
            curves[name].append(contestants[name].answer["regret"])
            return rate

        turns = {name: lambda seed, name=name: turn(name, seed) for name in contestants}
        rates, absent = take_turns(turns, seeds)
    for name, found in curves.items():
        what = f"regret of {name} in {REGRET['rounds']:,.0f} decisions"
        if name in absent:
            rows.append(Measured(what, f"{name}: {absent[name]}", installed=False))
            continue
        mean = [sum(at) / len(found) for at in zip(*found, strict=True)]
        value = f"{mean[0]:,.0f}, {mean[4]:,.0f}, {mean[9]:,.0f} at a tenth, a half and the end"
        rows.append(Measured(what, value, rates={name: rates[name]}, more={"regret": mean, "seeds": seeds}))
    return rows


def _contestants(folder: Path, job: str) -> dict[str, Contestant]:
    return {
        name: Contestant(folder, None if kind is Ours else "bandits", "bandit_worker.py", name, job)
        for name, (kind, _) in CONTESTANTS.items()
    }


def _ours(peer: str) -> str:
    return "ours thompson" if peer.endswith("thompson") else "ours ucb"
