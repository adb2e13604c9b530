"""A log with known probabilities speaks for all customers, and a bandit that begins from it begins well."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from agents.lin_ts import LinTSConfig
from agents.linear_agent import LinearLearner
from agents.online import OnlineConfig
from agents.posterior import believe_apart
from agents.registry import AGENTS
from agents.warm_start import Weighting, warm_statistics
from campaigns.errors import InputError
from history.feedback import LoggedFeedback
from tests.agents.market import COST, LAYOUT, ExactMonitor, draw_context, expected_net, make_world

NOISE = 0.3


def line(features: torch.Tensor, price: torch.Tensor) -> torch.Tensor:
    """Return constant and signal alone: too plain a model for a bent truth."""
    return torch.cat([torch.ones_like(features[:, :1]), features[:, :1]], dim=1)


def log_of(n: int, bent: bool, seed: int = 0) -> LoggedFeedback:
    """Return decisions that sought out high signals for offer 3, whose net margin may bend in the signal."""
    context = draw_context(n, seed)
    rng = np.random.default_rng(seed)
    signal = context.features[:, 0].numpy()
    lean = np.exp(np.stack([0 * signal, -signal, 0 * signal, 2 * signal], axis=1)) * context.mask.numpy()
    dist = lean / lean.sum(axis=1, keepdims=True)
    action = (dist.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, 3)
    rows = np.arange(n)
    net = expected_net(context.features[:, 0]).numpy()[rows, action] + (action > 0) * NOISE * rng.standard_normal(n)
    if bent:
        net = net + (action == 3) * 2 * signal**3
    return LoggedFeedback(
        LAYOUT.feature_names,
        context.features.numpy(),
        context.mask.numpy(),
        action,
        net.astype(np.float64),
        COST.numpy()[action].astype(np.float64),
        dist[rows, action],
    )


def best_line() -> torch.Tensor:
    """Return constant and slope of the line nearest to 0.2 + 2 s^3 over all customers: 0.2 and 2 * 3/5."""
    return torch.tensor([0.2, 1.2])


@pytest.mark.parametrize(("weighting", "right"), [("ips", True), ("doubly_robust", True), ("none", False)])
def test_weighting_finds_the_line_that_serves_all_customers(weighting: str, right: bool) -> None:
    statistics = warm_statistics(log_of(60_000, bent=True), LAYOUT, line, Weighting(weighting), noise=9.0)
    mean = believe_apart(statistics, ridge=1e-3, noise=1.0).mean[0, 3]
    error = (mean - best_line()).abs().max()
    assert (error < 0.06) if right else (error > 0.1)


def test_what_is_believed_is_no_firmer_than_it_was_seen() -> None:
    log = log_of(20_000, bent=False)
    assert log.pscore is not None
    seen = torch.from_numpy(np.bincount(log.action, minlength=4)).double()
    for weighting in (Weighting.IPS, Weighting.DOUBLY_ROBUST):
        statistics = warm_statistics(log, LAYOUT, line, weighting, noise=9.0)
        assert (statistics.count <= seen + 1e-6).all() and (statistics.count > 0.1 * seen).all()
    spread = believe_apart(statistics, ridge=1e-3, noise=1.0).covariance[0, 0]
    assert spread < 2 * NOISE**2


@pytest.mark.parametrize("kind", ["lin_ts", "lin_ucb", "square_cb", "bootstrap"])
def test_a_bandit_that_begins_from_a_log_earns_from_its_first_episode(kind: str) -> None:
    config: dict[str, Any] = {"steps": 1, "credit_weeks": 2}  # a single episode of few customers

    def first(feedback: LoggedFeedback | None) -> float:
        world = replace(make_world(60), feedback=feedback)
        monitor = ExactMonitor()
        AGENTS[kind](**config).build().learn(world, 1, monitor)
        return monitor.values[-1] / monitor.optimum()

    assert first(log_of(20_000, bent=False)) > max(0.8, first(None) + 0.1)


def test_told_to_leave_the_log_a_bandit_begins_as_if_there_were_none() -> None:
    config = LinTSConfig(warm_start=Weighting.OFF)
    logged = LinearLearner(LAYOUT, config, config.build()._explorer, log_of(500, bent=False))
    none = LinearLearner(LAYOUT, config, config.build()._explorer, None)
    context = draw_context(50, seed=7)
    assert torch.equal(logged._scores.scores(context)[0], none._scores.scores(context)[0])


def test_decisions_whose_outcomes_spread_more_count_by_their_precision() -> None:
    log = log_of(20_000, bent=False)
    noisy = replace(log, reward=log.reward + 6.0 * np.random.default_rng(1).standard_normal(log.n))
    for weighting in Weighting:
        if weighting is not Weighting.OFF:
            quiet, loud = (warm_statistics(one, LAYOUT, line, weighting, noise=1.0) for one in (log, noisy))
            torch.testing.assert_close(loud.count, quiet.count / 36.0, rtol=0.05, atol=0.0)


def test_before_its_first_decision_the_warm_bandit_knows_what_the_log_taught() -> None:
    config = LinTSConfig()
    learner = LinearLearner(LAYOUT, config, config.build()._explorer, log_of(20_000, bent=False))
    context = draw_context(500, seed=7)
    mean, _ = learner._scores.scores(context)
    truth = expected_net(context.features[:, 0]) - context.price.unsqueeze(1) * COST
    torch.testing.assert_close(mean - mean[:, :1], truth, atol=0.25, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pscore": None}, "no pscore"),
        ({"feature_names": ("a", "b", "c")}, "expected the 3 features and 4 offers of the market"),
    ],
)
def test_a_log_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        warm_statistics(replace(log_of(50, bent=False), **change), LAYOUT, line, OnlineConfig().warm_start, noise=9.0)
