"""A bandit that forgets follows a response that drifts, and loses little where it stands still."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from agents.registry import AGENTS
from simulators.drift import Drift
from tests.agents.drifting import TURN, Campaigns, learning_world
from tests.agents.market import ExactMonitor

CAMPAIGNS, CUSTOMERS, SEEDS = 12, 300, 10
HALF = CAMPAIGNS // 2
STEP = Drift(step=TURN, step_week=8 * HALF)


class Silent(ExactMonitor):
    """Validates nothing: the campaigns themselves are the score."""

    def validate(self, policy: object, step: int) -> float:
        return 0.0


def earned(drift: Drift, campaigns: int, seed: int, **memory: float) -> NDArray[np.float64]:
    """Return what each campaign of a learning bandit brought per customer, λ times cost deducted [USD]."""
    torch.set_num_threads(1)
    world = learning_world(CUSTOMERS, drift)
    assert isinstance(world.vector, Campaigns)
    config = AGENTS["lin_ts"](steps=campaigns * CUSTOMERS * world.horizon, validate_every=100, **memory)
    config.build().learn(world, seed, Silent())
    return np.array(world.vector.net[:campaigns])


def second_half(drift: Drift, **memory: float) -> NDArray[np.float64]:
    return np.array([earned(drift, CAMPAIGNS, seed, **memory)[HALF:].sum() for seed in range(SEEDS)])


@pytest.mark.slow
def test_one_that_forgets_regrets_less_after_the_best_offer_changed_and_little_where_it_did_not() -> None:
    plain, still = second_half(STEP), second_half(Drift())
    for memory, least in (({"discount": 0.7}, 0.97), ({"window": 3}, 0.92)):
        after, calm = second_half(STEP, **memory), second_half(Drift(), **memory)
        # Regret is what the best would bring less what was brought: its difference is that of what was brought.
        assert ttest_rel(after, plain, alternative="greater").pvalue < 0.001
        assert calm.mean() >= least * still.mean()


def test_the_little_campaigns_drift_by_their_own_clock() -> None:
    turned, calm = earned(Drift(step=TURN, step_week=8), 2, 0), earned(Drift(), 2, 0)
    assert turned[0] == calm[0]
    assert turned[1] < 0.5 * calm[1]
