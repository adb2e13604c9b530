"""Our market beside public simulators: customer-steps per second of CPU time, each at its own job on one thread.

They model less or more than a week of a shop; `docs/benchmark.md` says what. Two of them do our very work: Gymnasium's
SyncVectorEnv steps our own one-customer environment, and `market_jax.py` is the same week written for JAX.
"""

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium

from envs.campaign import CampaignVectorEnv
from envs.fitted import read_training_world
from experiments.benchmarks.measured import Measured, Turn, against, take_turns
from experiments.config import Config
from experiments.main import run_folder
from experiments.peers.installed import Contestant, every
from experiments.peers.market_export import Weeks, export_weeks

SYNC = "Gymnasium SyncVectorEnv of our environment for one customer"
JAX = "the same week in JAX, jit and scan"
PEERS = {
    "RecoGym v1, 32 products": (("recogym", "market_recogym.py"), ">= 150x"),
    "RecSim long_term_satisfaction": (("recsim", "market_recsim.py", "long_term_satisfaction"), ">= 100x"),
    "RecSim interest_evolution": (("recsim", "market_recsim.py", "interest_evolution"), ">= 100x"),
    "RecSim NG ecosystem, 50,000 users": (("recsim_ng", "market_recsim_ng.py"), ">= 3x"),
}
"""Environment, script and its arguments of each public simulator, and the least ratio."""
ENVIRONMENT, STEP = "our environment", "our week"


def compare(config: Config, rounds: int) -> list[Measured]:
    """Measure our environment over each peer; a peer that is not installed is named."""
    run, folder = run_folder(config), Path(config.benchmark.peers)
    world = read_training_world(run)
    batched = CampaignVectorEnv(config.benchmark.customers, world, seed=0)
    single = gymnasium.make_vec("envs.registration:Campaign-v0", num_envs=16, vectorization_mode="sync", run=str(run))
    with tempfile.TemporaryDirectory() as exported:
        weeks = export_weeks(world, config.benchmark.customers, config.seed, Path(exported))
        workers = {name: Contestant(folder, *command) for name, (command, _) in PEERS.items()}
        workers[JAX] = Contestant(folder, "jax", "market_jax.py", exported)
        with every(workers):
            turns: dict[str, Turn] = {
                ENVIRONMENT: lambda number: environment_rate(batched, 2 * batched.horizon, number),
                SYNC: lambda number: environment_rate(single, 6, number),
                STEP: lambda _: _weeks_rate(weeks),
                **workers,
            }
            rates, absent = take_turns(turns, rounds)
        parity = workers[JAX].answer.get("difference")
    single.close()
    rows = [_ours(batched, rates, absent)]
    steps = {"unit": "customer-steps"}
    rows += [against(ENVIRONMENT, peer, rates, absent, target=target, **steps) for peer, (_, target) in PEERS.items()]
    rows.append(against(ENVIRONMENT, SYNC, rates, absent, target=">= 20x", **steps))
    told: dict[str, Any] = {"target": ">= 0.6x", "more": {"largest_relative_difference_of_sums": parity}}
    return [*rows, against(STEP, JAX, rates, absent, **steps, **told)]


def environment_rate(env: gymnasium.vector.VectorEnv[Any, Any, Any], steps: int, seed: int) -> float:
    """Return customer-steps of random actions per second of CPU time."""
    env.reset(seed=seed)
    env.action_space.seed(seed)
    begin = time.process_time()
    for _ in range(steps):
        env.step(env.action_space.sample())
    return steps * env.num_envs / (time.process_time() - begin)


def _weeks_rate(weeks: Weeks, seconds: float = 1.5) -> float:
    """Return customer-weeks of the market alone per second of CPU time: luck, what is seen, what happens."""
    done, begin = 0, time.process_time()
    while (spent := time.process_time() - begin) < seconds:
        done += weeks.live_through()
    return done / spent


def _ours(batched: CampaignVectorEnv, rates: dict[str, list[float]], absent: dict[str, str]) -> Measured:
    own = against(ENVIRONMENT, STEP, rates, absent, unit="customer-weeks")
    return Measured(
        what=f"customer-weeks of {batched.num_envs:,} customers at a time",
        value=f"{median(rates[ENVIRONMENT]):,.0f} per CPU second as an environment, {median(rates[STEP]):,.0f} as a "
        "market alone",
        rates=own.rates,
    )
