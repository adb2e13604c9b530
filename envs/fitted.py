"""The environment of a run: what `fit` wrote, read back as a world to learn in."""

from dataclasses import asdict
from pathlib import Path

import torch

from envs.world import PriceRange, World
from history.artifacts import read_json, write_json
from history.state import State
from simulators.blocks import keep_freed_memory
from simulators.worlds import FittedWorld, MarketTerms, build_market, read_pool, read_world, write_pool, write_world

TERMS = "terms.json"
POOL = "pool.safetensors"


def write_environment(folder: Path, fitted: FittedWorld, terms: MarketTerms, pool: State, prices: PriceRange) -> None:
    """Write everything that the world of one split is made of."""
    write_world(folder, fitted)
    write_pool(folder / POOL, pool)
    write_json(folder / TERMS, {"market": terms.to_dict(), "prices": asdict(prices)})


def read_environment(folder: Path, device: torch.device | str = "cpu") -> World:
    """Read what `write_environment` wrote.

    Raises:
        InputError: a file is missing or was written by another version.
    """
    keep_freed_memory()
    fitted, terms = read_world(folder), read_json(folder / TERMS)
    market = build_market(fitted, MarketTerms.from_dict(terms["market"]), device)
    pool = read_pool(folder / POOL).to(device)
    return World(market, fitted.observer.to(device), pool, PriceRange(**terms["prices"]))


def read_training_world(run: Path) -> World:
    """Read the training world of a run's folder, such as `runs/demo`."""
    return read_environment(run / "fit" / "train")
