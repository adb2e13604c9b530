"""In a shop of known truth a bandit that begins from the shop's own log regrets less than one that begins anew."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from agents.registry import AGENTS
from agents.warm_start import Weighting
from history.feedback import LoggedFeedback
from tests.agents.logging_shop import Watched, learning_world, logged_feedback, open_world, opened
from tests.agents.test_drift import Silent

CUSTOMERS, SEEDS, EPISODES = 300, 8, 2
PRIOR = {"noise_usd": 40.0, "ridge": 160_000.0, "pool": 160_000.0}
"""Outcomes spread by 40 USD, and a coefficient by .1 USD: known to both."""


@pytest.fixture(scope="module")
def earned(tmp_path_factory: pytest.TempPathFactory) -> dict[Weighting, NDArray[np.float64]]:
    """Return what the first episodes bring per customer, λ times cost deducted [USD], (seeds, episodes)."""
    shop, log = opened()
    world = open_world(shop, log)
    feedback = logged_feedback(world, log, shop, tmp_path_factory.mktemp("shop"))

    def learn(seed: int, logged: LoggedFeedback, weighting: Weighting) -> list[float]:
        where = learning_world(CUSTOMERS, world, logged)
        assert isinstance(where.vector, Watched)
        steps = EPISODES * CUSTOMERS * where.horizon
        config = AGENTS["lin_ts"](steps=steps, warm_start=weighting, validate_every=100, **PRIOR)
        config.build().learn(where, seed, Silent())
        return where.vector.earned[:EPISODES]

    torch.set_num_threads(1)
    return {
        weighting: np.array([learn(seed, feedback, weighting) for seed in range(SEEDS)])
        for weighting in (Weighting.OFF, Weighting.DOUBLY_ROBUST)
    }


@pytest.mark.slow
def test_a_start_from_the_log_saves_regret_from_the_first_campaign_on(
    earned: dict[Weighting, NDArray[np.float64]],
) -> None:
    cold, warm = earned[Weighting.OFF], earned[Weighting.DOUBLY_ROBUST]
    # Under the same luck, what one earns more is what it regrets less.
    assert ttest_rel(warm[:, 0], cold[:, 0], alternative="greater").pvalue < 0.001
    assert (warm - cold)[:, 0].mean() > 1.0
    assert ttest_rel(warm.sum(axis=1), cold.sum(axis=1), alternative="greater").pvalue < 0.01
