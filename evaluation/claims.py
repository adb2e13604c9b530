"""What may be said of agents from a handful of seeds: robust means with intervals, who is better how often, profiles.

Reference:
    Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = Sequence[NDArray[np.float64]]
"""Of one agent: per task the scores of its seeds, shape (n_seeds,); their number may differ from task to task."""


@dataclass(frozen=True)
class Claim:
    """A figure with its 95 % interval over seeds, tasks taken as given."""

    value: float
    lo: float
    hi: float


def interquartile_mean(scores: Scores) -> float:
    """Return the mean of the middle half of all scores: as robust as a median, with less noise."""
    ordered = np.sort(np.concatenate(list(scores)))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def probability_of_improvement(ours: Scores, theirs: Scores) -> float:
    """Return how likely a seed of ours beats one of theirs on the same task, ties half, tasks weighing the same."""
    return float(np.mean([_superiority(x, y) for x, y in zip(ours, theirs, strict=True)]))


def performance_profile(scores: Scores, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of all runs that score above each threshold, shape (n_thresholds,)."""
    return np.asarray((np.concatenate(list(scores))[:, None] > thresholds).mean(axis=0))


def claim(figure: Callable[..., float], *agents: Scores, seed: int = 0, resamples: int = 2000) -> Claim:
    """Return a figure of one or more agents with its percentile interval by the stratified bootstrap.

    Seeds are drawn anew within each agent and task, so that no task drops out. With one seed the interval has no width:
    it says nothing then.

    Args:
        figure: Of the agents' scores.
        agents: Their scores.
        seed: Same seed, same interval.
        resamples: How many.
    """
    rng = np.random.default_rng(seed)
    drawn = [figure(*(_resample(scores, rng) for scores in agents)) for _ in range(resamples)]
    lo, hi = np.quantile(drawn, [0.025, 0.975])
    return Claim(figure(*agents), float(lo), float(hi))


def profile_band(
    scores: Scores, thresholds: NDArray[np.float64], seed: int = 0, resamples: int = 2000
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the pointwise 95 % limits of a performance profile, each of shape (n_thresholds,)."""
    rng = np.random.default_rng(seed)
    drawn = np.stack([performance_profile(_resample(scores, rng), thresholds) for _ in range(resamples)])
    lo, hi = np.quantile(drawn, [0.025, 0.975], axis=0)
    return lo, hi


def _superiority(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    over = np.sign(ours[:, None] - theirs[None, :])
    return float((over + 1).mean() / 2)


def _resample(scores: Scores, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    return [values[rng.integers(len(values), size=len(values))] for values in scores]
