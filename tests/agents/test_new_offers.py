"""An offer that joins the catalog after training is judged by its likes, without training again."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from agents.agent import LearningWorld
from agents.registry import AGENTS, restore
from campaigns.decision import SAVING, Context, ObservationLayout
from campaigns.describe import offer_features
from campaigns.errors import InputError
from campaigns.offers import Catalog, Offer, OfferKind
from history.artifacts import read_tensors, write_tensors
from tests.agents.market import HORIZON, ExactMonitor, Market, MarketVecEnv

CENTS = (100, 300)
"""Values of the coupons that are learned."""
BETWEEN = 173  # halfway on the scale of log(1 + USD)
DEPTHS = (0.1, 0.3)


def catalog(cents: tuple[int, ...] = CENTS) -> Catalog:
    coupons = [Offer(f"coupon_{v}", OfferKind.COUPON, "coupon", value_cents=v, cap_cents=v) for v in cents]
    cuts = [Offer(f"cut_{d:g}".replace(".", "_"), OfferKind.DISCOUNT, "cut", depth=d, cap_cents=300) for d in DEPTHS]
    return Catalog("USD", 0.5, (Offer("none", OfferKind.NONE, "nothing"), *coupons, *cuts))


def layout_of(offers: Catalog) -> ObservationLayout:
    saving = tuple(SAVING + name for name in offers.names[1:])
    return ObservationLayout(("signal", "idle", "weeks_left", *saving), offers.names, offer_features(offers))


def worth(signal: Tensor, offers: Catalog) -> tuple[Tensor, Tensor]:
    """Return what each offer brings and costs [USD], each (n, n_actions): both lines in log(1 + value) or depth."""
    net, cost = torch.zeros(len(signal), offers.n), torch.zeros(len(signal), offers.n)
    for i, offer in enumerate(offers.offers):
        if offer.kind is OfferKind.COUPON:
            strength = np.log1p(offer.value_cents / 100)
            net[:, i], cost[:, i] = strength * (0.2 + 0.8 * signal), strength
        elif offer.kind is OfferKind.DISCOUNT:
            net[:, i], cost[:, i] = offer.depth * (2.0 - 4.0 * signal), 2.0 * offer.depth
    return net, cost


class Shop(Market):
    """The little market's calendar with these offers, whose worth falls due at once."""

    def __init__(self, n: int, offers: Catalog) -> None:
        self.offers, self.layout = offers, layout_of(offers)
        super().__init__(n)
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (self.layout.width,), np.float32)
        self.single_action_space = gym.spaces.Discrete(offers.n)
        self.rows = np.zeros((n, self.layout.width), np.float32)

    def step(self, actions: Any) -> Any:
        row = np.arange(self.num_envs)
        net, cost = (x.numpy()[row, actions] for x in worth(torch.from_numpy(self.rows[:, 0].copy()), self.offers))
        net = net + (np.asarray(actions) > 0) * 0.3 * self._rng.standard_normal(self.num_envs)
        self._week += 1
        done = np.full(self.num_envs, self._week == HORIZON)
        reward = (net - self._price * cost).astype(np.float32)
        observation = self.reset()[0] if done.all() else self._observe()
        return observation, reward, done, np.zeros(self.num_envs, bool), {"net": net, "cost": cost}

    def _observe(self) -> Any:
        features = self.layout.n_features
        self.rows[:, :2] = self._rng.uniform(-1, 1, (self.num_envs, 2))
        self.rows[:, 2], self.rows[:, features] = float(self._week < 4), self._price
        self.rows[:, 3:features] = self._rng.uniform(0, 1, (self.num_envs, features - 3))
        self.rows[:, features + 1 :] = self._week < 4
        self.rows[:, features + 1] = 1.0
        return self.rows


class LatestIsBest(ExactMonitor):
    def validate(self, policy: Any, step: int) -> float:
        return float(step)


@pytest.fixture(scope="module")
def learned() -> Callable[[str], Any]:
    policies: dict[str, Any] = {}

    def learn(kind: str) -> Any:
        if kind not in policies:
            shop = Shop(1000, catalog())
            world = LearningWorld(shop, MarketVecEnv(shop), shop.layout, HORIZON)
            settings: dict[str, Any] = {"steps": 60_000, "credit_weeks": 1}
            if kind == "neural_linear_ts":
                settings |= {"steps": 30_000, "learn_every": 1, "minibatch": 256}
            if kind == "ppo":
                settings = {"steps": 300_000, "validate_every": 1000}
            policies[kind] = AGENTS[kind](**settings).build().learn(world, 3, LatestIsBest())
        return policies[kind]

    return learn


WIDER = catalog((CENTS[0], BETWEEN, CENTS[1]))
NEW = WIDER.index(f"coupon_{BETWEEN}")


def customers(signal: list[float], price: float, offers: Catalog = WIDER) -> Context[Tensor]:
    layout = layout_of(offers)
    features = torch.full((len(signal), layout.n_features), 0.5)
    features[:, 0], features[:, 1], features[:, 2] = torch.tensor(signal), 0.0, 1.0
    mask = torch.ones(len(signal), layout.n_actions, dtype=torch.bool)
    return Context(features, mask, torch.full((len(signal),), price))


def with_the_new_offer(policy: Any, folder: Any) -> Any:
    write_tensors(folder / "policy.safetensors", policy.tensors())
    return restore(policy.kind, layout_of(WIDER), policy.meta(), read_tensors(folder / "policy.safetensors"))


@pytest.mark.parametrize("kind", ["knapsack", "greedy"])
def test_the_score_of_a_new_offer_lies_between_its_neighbours(
    learned: Callable[[str], Any], kind: str, tmp_path: Any
) -> None:
    policy = with_the_new_offer(learned(kind), tmp_path)
    context = customers([-0.8, 0.0, 0.8], 0.0)
    found = policy.predict(context.features)
    expected = worth(context.features[:, 0], WIDER)
    for score, truth in zip(found, expected, strict=True):
        torch.testing.assert_close(score[:, NEW], truth[:, NEW], atol=0.12, rtol=0)


@pytest.mark.parametrize(
    "kind", ["lin_ts", "lin_ucb", "square_cb", "bootstrap", "neural_linear_ts", "knapsack_ahead", "ppo"]
)
def test_a_new_offer_is_given_where_it_pays_and_only_there(
    learned: Callable[[str], Any], kind: str, tmp_path: Any
) -> None:
    policy = with_the_new_offer(learned(kind), tmp_path)
    context = customers([0.9, 0.9, -0.9, -0.9], 0.0)
    context.mask[::2, [NEW - 1, NEW + 1]] = False  # where its neighbours are sold out
    given = policy.action_dist(context)[:, NEW]
    assert given[0] > 0.9 and given[2] < 0.1
    assert given[1] < 0.9  # the larger coupon beats it


@pytest.mark.parametrize("kind", ["knapsack", "lin_ts", "bootstrap", "ppo"])
def test_the_other_offers_keep_their_distribution(learned: Callable[[str], Any], kind: str, tmp_path: Any) -> None:
    before, after = learned(kind), with_the_new_offer(learned(kind), tmp_path)
    signal = torch.linspace(-1, 1, 50).tolist()
    known, wider = customers(signal, 0.3, catalog()), customers(signal, 0.3)
    wider.mask[:, NEW] = False
    old = [i for i in range(WIDER.n) if i != NEW]
    torch.testing.assert_close(after.action_dist(wider)[:, old], before.action_dist(known))


def test_an_offer_that_is_gone_or_a_feature_that_nobody_knows_needs_training(learned: Callable[[str], Any]) -> None:
    policy, layout = learned("lin_ts"), layout_of(WIDER)
    fewer, stranger = catalog(CENTS[:1]), replace(layout, feature_names=(*layout.feature_names[:-1], "stranger"))
    for wrong in (layout_of(fewer), stranger, replace(layout, offers=type(layout.offers)((), ()))):
        with pytest.raises(InputError, match="another layout than"):
            restore("lin_ts", wrong, policy.meta(), policy.tensors())
