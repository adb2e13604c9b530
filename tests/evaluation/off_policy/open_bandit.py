"""The small Open Bandit Dataset: read from the wheel that carries it, which is never imported.

Reference:
    Saito, Aihara, Matsutani & Narita, "Open Bandit Dataset and Pipeline", NeurIPS 2021 Datasets and Benchmarks.
"""

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

PINNED = "obp==0.4.1"
PLACES = 3
"""Positions of an impression, each a round with its own probabilities."""


@dataclass(frozen=True, eq=False)
class Campaign:
    """One campaign: its two logs, and the actions of Thompson sampling by position, shape (places, n_actions)."""

    random: pd.DataFrame
    sampled: pd.DataFrame
    policy: NDArray[np.float64]


def download(folder: Path) -> Path:
    """Fetch the wheel into a folder through pip; return it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", PINNED]
    subprocess.run([*command, "--dest", str(folder)], check=True, capture_output=True, text=True)
    return next(folder.glob("obp-*.whl"))


def read_campaign(wheel: Path, name: str, draws: int = 100_000, seed: int = 12345) -> Campaign:
    """Read a campaign: "all", "men" or "women"."""
    with zipfile.ZipFile(wheel) as archive:
        columns = ["item_id", "position", "click", "propensity_score"]
        logs = []
        for policy in ("random", "bts"):
            with archive.open(f"obp/dataset/obd/{policy}/{name}/{name}.csv") as file:
                log = pd.read_csv(file, usecols=lambda c: c in columns or c.startswith(("user_feature", "timestamp")))
                logs.append(log.sort_values("timestamp", kind="stable").reset_index(drop=True))
        prior = yaml.safe_load(archive.read("obp/policy/conf/prior_bts.yaml"))[name]
    return Campaign(*logs, sample_thompson(np.array(prior["alpha"]), np.array(prior["beta"]), draws, seed))


def sample_thompson(
    alpha: NDArray[np.float64], beta: NDArray[np.float64], draws: int, seed: int
) -> NDArray[np.float64]:
    """Return how often each item stands at each place when sampled click rates rank them, (places, items)."""
    rng, count = np.random.RandomState(seed), np.zeros((PLACES, len(alpha)))
    places = np.arange(PLACES)
    for _ in range(draws // 1000):
        rates = rng.beta(alpha, beta, size=(1000, len(alpha)))
        best = np.argpartition(-rates, PLACES, axis=1)[:, :PLACES]
        order = np.take_along_axis(best, np.argsort(-np.take_along_axis(rates, best, axis=1), axis=1), axis=1)
        for place in places:
            count[place] += np.bincount(order[:, place], minlength=len(alpha))
    return count / draws
