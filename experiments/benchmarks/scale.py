"""What many customers take: time, memory, matrix products alone, and scores with their intervals."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from campaigns.decision import SAVING, ObservationLayout
from envs.fitted import read_training_world
from envs.tensor import flatten
from envs.world import World, begin
from evaluation.gain_fitting import PAIRS, RANK
from evaluation.gains import GainBasis, GainModel
from experiments.benchmarks.measured import Measured
from experiments.config import Config
from experiments.main import CONF, run_folder
from simulators.blocks import keep_freed_memory
from simulators.market import Market, MarketState, look, step
from simulators.shopping import draw_noise

MIB = 2**20
OFFERS = 16
"""Offers of the catalog that is scored, "no offer" among them."""


@dataclass(frozen=True)
class Found:
    """What a process of its own found for n customers.

    Attributes:
        n: Customers.
        step_us: CPU time of a customer-week [us], one per round.
        products_us: CPU time of its matrix products alone [us], one per round.
        state_bytes: Size of a customer's state, shadow and effects included.
        peak_bytes: Growth of the process by state and one week, per customer.
        score_us: CPU time of the gains of `OFFERS` offers with their intervals, per customer [us], one per round.
    """

    n: int
    step_us: list[float]
    products_us: list[float]
    state_bytes: float
    peak_bytes: float
    score_us: list[float]


def measure_scale(config: Config, rounds: int) -> list[Measured]:
    """Measure few and many customers, each in a fresh process."""
    run, few, many = run_folder(config), config.benchmark.customers, config.benchmark.many
    small, large = (_in_own_process(run, n, min(rounds, 4 if n > 100_000 else rounds)) for n in (few, many))
    ratio = median(large.step_us) / median(small.step_us)
    return [
        _products(small),
        Measured(
            f"customer-weeks of {large.n:,} customers at a time",
            f"{1e6 / median(large.step_us):,.0f} per CPU second, {ratio:.2f} times the time of {small.n:,} at a time",
            ratio,
            {str(found.n): [1e6 / us for us in found.step_us] for found in (small, large)},
            target="<= 1.5 times",
        ),
        Measured(
            f"memory of {large.n:,} customers",
            f"{large.n * large.state_bytes / MIB:,.0f} MiB of state, {large.n * large.peak_bytes / MIB:,.0f} MiB with "
            f"one week ({large.peak_bytes:,.0f} bytes a customer)",
            more={"state_bytes": large.state_bytes, "peak_bytes": large.peak_bytes},
        ),
        Measured(
            f"{large.n:,} customers scored on {OFFERS} offers, with intervals",
            f"{large.n * median(large.score_us) / 1e6:.1f} CPU seconds",
            large.n * median(large.score_us) / 1e6,
            {str(large.n): [large.n * us / 1e6 for us in large.score_us]},
            target="< 8 s",
        ),
    ]


def _products(found: Found) -> Measured:
    step_us, products_us = median(found.step_us), median(found.products_us)
    value = f"{products_us:.2f} of the {step_us:.2f} us of a customer-week ({100 * products_us / step_us:.0f} %)"
    return Measured(
        "matrix products of the response model alone", value, more={"step_us": step_us, "products_us": products_us}
    )


def _in_own_process(run: Path, n: int, rounds: int) -> Found:
    command = [sys.executable, "-m", "experiments.benchmarks.scale", str(run.absolute()), str(n), str(rounds)]
    done = subprocess.run(command, check=True, cwd=CONF.parent, stdout=subprocess.PIPE, text=True)
    return Found(**json.loads(done.stdout.splitlines()[-1]))


def measure(world: World, n: int, rounds: int) -> Found:
    """Measure n customers in this process, which should have done nothing before but reading the world."""
    before, generator = _memory(), torch.Generator().manual_seed(0)
    actions = torch.randint(world.market.n_actions, (n,), generator=generator)
    state = begin(world, n, generator).state
    size = sum(value.nbytes for value in flatten(state).values())
    week, products = _week(world.market, state, actions, generator), _products_alone(world.market, state)
    week()
    peak = _peak() - before
    times = [(_seconds(week), _seconds(products)) for _ in range(rounds)]
    scores = _scores(world, n)
    return Found(
        n=n,
        step_us=[1e6 * one / n for one, _ in times],
        products_us=[1e6 * one / n for _, one in times],
        state_bytes=size / n,
        peak_bytes=peak / n,
        score_us=[1e6 * _seconds(scores) / n for _ in range(rounds)],
    )


def _week(market: Market, state: MarketState, actions: Tensor, generator: torch.Generator) -> Callable[[], Any]:
    """Return what a week of the market is: luck, what is seen, and what happens."""

    def week() -> None:
        noise = draw_noise(state.n, state.customer.n_categories, generator)
        step(market, state, look(market, state), actions, noise)

    return week


def _products_alone(market: Market, state: MarketState) -> Callable[[], Any]:
    """Return the matrix products of a week, and nothing else: customers and shadows through the network."""
    layers = [weight.index_select(0, state.member) for weight in market.response.weights]
    blocks = len(state.member)
    inputs = [torch.randn(blocks, state.n // blocks, weight.shape[1]) for weight in layers]

    def products() -> None:
        for _ in ("customers", "shadows"):
            for rows, weight in zip(inputs, layers, strict=True):
                torch.bmm(rows, weight)

    return products


def _scores(world: World, n: int) -> Callable[[], Any]:
    """Return the scoring of n customers on `OFFERS` offers; the time does not depend on what the coefficients are."""
    names = ("none", *(f"offer_{i}" for i in range(1, OFFERS)))
    seen = [name for name in world.observer.layout(world.market).feature_names if not name.startswith(SAVING)]
    layout = ObservationLayout((*seen, *(SAVING + name for name in names[1:])), names)
    pairs = torch.combinations(torch.arange(len(seen)), 2)[:PAIRS]
    width = GainBasis.of(layout, pairs).of_offer(torch.zeros(1, layout.n_features), 0).shape[1]
    tensors = {
        "coefficients": torch.randn(OFFERS - 1, width, 2 * (1 + RANK)),
        "error": torch.ones(OFFERS - 1, 2),
        "pairs": pairs,
    }
    model = GainModel(layout, tensors, {"features": list(layout.feature_names), "offers": list(names)})
    features = torch.randn(n, layout.n_features)
    return lambda: model.score(features)


def _seconds(work: Callable[[], Any], least: float = 0.5) -> float:
    """Return the CPU time of one call, the mean of as many as fill half a second."""
    done, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < least:
        work()
        done += 1
    return spent / done


def _memory() -> int:
    """Return what the process holds now [bytes], where the system tells it; else the most that it ever held."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text("ascii").split()[1]) * resource.getpagesize() if statm.is_file() else _peak()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    run, n, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    print(json.dumps(vars(measure(read_training_world(run), n, rounds))))


if __name__ == "__main__":
    main()
