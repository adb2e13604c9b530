"""Our PPO beside others in the same market: customer-weeks learned from per second of CPU time, on one thread.

`ppo_worker.py` says what all of them share. Stable-Baselines3 and our own run in this environment; the script after the
fashion of LeanRL needs `tensordict`, which `make peers` puts beside it.
"""

from pathlib import Path
from statistics import median

import torch

from agents.kernels import available
from experiments.benchmarks.measured import Measured, against, take_turns
from experiments.config import Config
from experiments.main import run_folder
from experiments.peers.installed import Contestant, every, packages_of

WORKER = "ppo_worker.py"
OURS = {"plain": "our PPO, plain kernel", "fused": "our PPO, fused kernel", "bf16": "our PPO, bf16"}
PRECISE = ("plain", "fused")
"""Kernels in float32, of which `agent.kernel=auto` takes the quickest."""
BATCHED = "sb3_batched"
PEERS = {
    BATCHED: ("Stable-Baselines3 on our batched VecEnv, same settings", ">= 1.5x"),
    "lean_eager": ("a script after LeanRL", ">= 1.5x"),
    "lean_compiled": ("the same, compiled", ">= 1.1x"),
    "sb3_usual": ("Stable-Baselines3 on 8 single environments, its own settings", ">= 25x"),
    "sb3_single": ("Stable-Baselines3 on 8 single environments, our settings", ""),
}
"""Name and least ratio of each peer."""
MARKET = "the market alone"


def compare(config: Config, rounds: int) -> list[Measured]:
    """Measure our PPO, with the quicker of its kernels in float32, over each peer; one not installed is named."""
    folder, run = Path(config.benchmark.peers), str(run_folder(config))
    kernels = [name for name in OURS if name in available(torch.device("cpu"))]
    names = {**{name: OURS[name] for name in kernels}, **{name: told for name, (told, _) in PEERS.items()}}
    names["market"] = MARKET
    packages = packages_of(folder, "ppo")
    workers = {
        told: Contestant(folder, None, WORKER, name, run, str(config.benchmark.customers), *packages)
        for name, told in names.items()
    }
    with every(workers):
        rates, absent = take_turns(workers, rounds)
    steps = "customer-weeks"
    best = max((OURS[name] for name in PRECISE if OURS[name] in rates), key=lambda name: median(rates[name]))
    rows = [against(best, told, rates, absent, unit=steps, target=target) for told, target in PEERS.values()]
    for name in kernels:
        if OURS[name] != best:
            target = ">= 2.2x" if name == "bf16" else ""
            rows.append(against(OURS[name], PEERS[BATCHED][0], rates, absent, unit=steps, target=target))
    rows.append(against(MARKET, best, rates, absent, unit=steps, what="the market alone over our PPO in it"))
    return rows
