"""PPO: masks in every gradient, advantages of choices alone, the best weights kept."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import RolloutBuffer

from agents.actor import ActorPolicy
from agents.choice_buffer import ChoiceBuffer
from agents.linear_model import names_of
from agents.masked_policy import MaskedActorCritic
from agents.ppo import Engine, PPOConfig
from agents.rollout import choice_advantages
from tests.agents.market import HORIZON, LAYOUT, ExactMonitor, Market, draw_context, make_world


def actor_critic(seed: int = 0) -> MaskedActorCritic:
    torch.manual_seed(seed)
    market = Market(1)
    policy = MaskedActorCritic(
        market.single_observation_space, gym.spaces.Discrete(LAYOUT.n_actions), lambda _: 1e-3, layout=LAYOUT
    )
    with torch.no_grad():
        policy.action_net.own.mul_(20.0)
    return policy


def written(policy: MaskedActorCritic, greedy: bool) -> ActorPolicy:
    meta = {"config": {"hidden": [64, 64]}, "greedy": greedy, "model": names_of(LAYOUT)}
    return ActorPolicy(LAYOUT, meta, policy.actor_tensors())


def rows(n: int, seed: int) -> torch.Tensor:
    context = draw_context(n, seed)
    return torch.cat([context.features, context.price.unsqueeze(1), context.mask.float()], dim=1)


@pytest.mark.parametrize("seed", range(3))
def test_the_actor_written_down_is_the_actor_that_learned(seed: int) -> None:
    policy, observation = actor_critic(seed), rows(300, seed)
    dist = written(policy, greedy=False).action_dist(LAYOUT.split(observation))
    with torch.no_grad():
        offers = torch.arange(LAYOUT.n_actions).unsqueeze(1)
        theirs = policy.get_distribution(observation)
        torch.testing.assert_close(dist, torch.stack([theirs.log_prob(offer) for offer in offers], dim=1).exp())
        actions, values, log_prob = policy(observation)
        torch.testing.assert_close(dist.gather(1, actions.unsqueeze(1)).squeeze(1), log_prob.exp())
        torch.testing.assert_close(values, policy.predict_values(observation))


def test_the_greedy_actor_gives_the_likeliest_offer() -> None:
    policy, context = actor_critic(), draw_context(300, seed=1)
    greedy = written(policy, greedy=True).action_dist(context)
    soft = written(policy, greedy=False).action_dist(context)
    assert torch.equal(greedy.argmax(dim=1), soft.argmax(dim=1)) and ((greedy == 0) | (greedy == 1)).all()


def test_no_sampled_or_deterministic_action_is_ever_forbidden() -> None:
    policy, observation = actor_critic(), rows(20_000, seed=2)
    mask = LAYOUT.split(observation).mask
    for deterministic in (False, True):
        actions = policy(observation, deterministic)[0]
        assert mask.gather(1, actions.unsqueeze(1)).all()


def test_entropy_and_gradients_stay_finite_where_only_no_offer_is_allowed() -> None:
    policy, observation = actor_critic(), rows(64, seed=3)
    observation[:32, LAYOUT.n_features + 2 :] = 0.0
    values, log_prob, entropy = policy.evaluate_actions(observation, torch.zeros(64, dtype=torch.int64))
    assert entropy is not None
    assert (entropy[:32] == 0).all() and (log_prob[:32] == 0).all() and (entropy[32:] >= 0).all()
    (values.sum() + log_prob.sum() + entropy.sum()).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in policy.parameters())


def test_rows_without_a_choice_push_the_actor_nowhere() -> None:
    policy, observation = actor_critic(), rows(64, seed=3)
    observation[:, LAYOUT.n_features + 2 :] = 0.0
    _, log_prob, _ = policy.evaluate_actions(observation, torch.zeros(64, dtype=torch.int64))
    log_prob.sum().backward()  # type: ignore[no-untyped-call]
    assert policy.action_net.own.grad is not None and (policy.action_net.own.grad == 0).all()


def test_where_every_step_is_a_choice_the_advantages_are_those_of_stable_baselines() -> None:
    rng = np.random.default_rng(0)
    reward, value = rng.standard_normal((2, 12, 9)).astype(np.float32)
    done, last = rng.random((12, 9)) < 0.2, rng.standard_normal(9).astype(np.float32)
    space = gym.spaces.Box(-1, 1, (1,))
    theirs = RolloutBuffer(12, space, gym.spaces.Discrete(2), "cpu", gae_lambda=0.9, gamma=0.97, n_envs=9)
    theirs.rewards, theirs.values = reward, value
    theirs.episode_starts[1:] = done[:-1]
    theirs.compute_returns_and_advantage(torch.from_numpy(last), done[-1])
    ours = choice_advantages(
        *map(torch.from_numpy, (reward, value, np.ones((12, 9), bool), done, last)), gamma=0.97, decay=0.9
    )
    np.testing.assert_allclose(ours, theirs.advantages, rtol=1e-5, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.5, 1.0), st.floats(0.1, 1.0))
def test_weeks_without_a_choice_count_as_part_of_the_choice_before_them(seed: int, gamma: float, decay: float) -> None:
    rng = np.random.default_rng(seed)
    reward, value = rng.standard_normal((2, 7)).astype(np.float32)
    choice = rng.random(7) < 0.5
    at = [*np.flatnonzero(choice), 7]
    expected, following = np.zeros(7), 0.0
    for here, there in reversed(list(pairwise(at))):
        earned = sum(gamma ** (week - here) * reward[week] for week in range(here, there))
        ahead = value[there] if there < 7 else 0.0
        discount = gamma ** (there - here)
        following = earned + discount * ahead - value[here] + decay * discount * following
        expected[here] = following
    columns = (torch.from_numpy(column[:, None]) for column in (reward, value, choice, np.arange(7) == 6))
    found = choice_advantages(*columns, torch.zeros(1), gamma, decay)[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_minibatches_hold_every_choice_once_and_nothing_else() -> None:
    n, market = 40, Market(40)
    buffer = ChoiceBuffer(
        HORIZON, market.single_observation_space, market.single_action_space, "cpu", gae_lambda=0.9, gamma=1.0,
        n_envs=n, layout=LAYOUT, minibatch=16, seed=0,
    )  # fmt: skip
    observation, _ = market.reset(seed=0)
    for _ in range(HORIZON):
        zeros = np.zeros(n)
        buffer.add(observation, zeros, np.arange(n), zeros, torch.arange(float(n)), torch.zeros(n))
        observation = market.step(np.zeros(n, np.int64))[0]
    choice = buffer.choice
    buffer.compute_returns_and_advantage(torch.zeros(n), np.ones(n, bool))
    seen = torch.cat([batch.observations for batch in buffer.get()])
    stored = torch.from_numpy(buffer.observations[choice])
    assert (LAYOUT.split(seen).mask.sum(dim=1) > 1).all()
    assert torch.equal(seen[seen[:, 0].argsort()], stored[stored[:, 0].argsort()])
    assert not torch.equal(seen, stored)


def test_a_rollout_that_does_not_end_with_the_episode_is_refused() -> None:
    world = make_world(20)
    short = type(world)(world.vector, world.sb3, LAYOUT, HORIZON - 1)
    with pytest.raises(RuntimeError, match=f"did not terminate after its horizon of {HORIZON - 1} weeks"):
        PPOConfig(steps=1, engine=Engine.SB3).build().learn(short, 0, ExactMonitor())


def test_the_best_validated_weights_are_kept(trained: Callable[[str], Any]) -> None:
    monitor = trained("ppo").monitor
    kept = ExactMonitor().validate(trained("ppo").policy, 0)
    assert kept == max(monitor.values) and monitor.values[0] < monitor.values[-1]


def test_how_often_it_is_validated_does_not_change_what_is_learned() -> None:
    def learn(every: int) -> dict[str, torch.Tensor]:
        config = PPOConfig(steps=12_000, minibatch=512, validate_every=every)
        return config.build().learn(make_world(500), 1, _LastIsBest()).tensors()

    often, seldom = learn(1), learn(3)
    assert all(torch.equal(often[name], seldom[name]) for name in often)


def test_figures_reach_the_monitor_and_progress_ends_at_the_total(trained: Callable[[str], Any]) -> None:
    monitor = trained("ppo").monitor
    figures = monitor.logged[-1]
    shares = [figures[f"rollout/share_of_choices/{name}"] for name in LAYOUT.action_names]
    assert sum(shares) == pytest.approx(1.0)
    assert {"train/entropy_loss", "train/approx_kl", "rollout/reward_usd_per_customer_week"} <= set(figures)
    assert all(np.isfinite(value) for value in figures.values())
    assert monitor.done[-1] == (48_000, 48_000)


class _LastIsBest(ExactMonitor):
    """Rates every policy above the one before it."""

    def validate(self, policy: Any, step: int) -> float:
        super().validate(policy, step)
        return float(step)
