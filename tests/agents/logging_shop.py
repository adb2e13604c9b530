"""A synthetic shop whose log bandits begin from, and which they then decide in, told only what really happened."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.agent import LearningWorld
from campaigns.decision import Transition
from envs.campaign import CampaignVectorEnv
from envs.sb3 import Sb3VecEnv
from envs.tensor import TensorCampaign
from envs.world import PriceRange, World, observe, take_step
from history.decisions import load_decisions
from history.features import features
from history.feedback import LoggedFeedback
from history.panel import build_panel
from history.prepare import prepare
from history.sources import Tables
from history.splits import Split
from simulators.logged_rounds import collect_rounds, offers_of
from simulators.market import Horizon
from simulators.observation import Observer
from simulators.shopping import draw_noise
from simulators.synthetic.log import SyntheticLog, live_through
from simulators.synthetic.tables import write_tables
from simulators.synthetic.truth import SyntheticTruth, TrueShop, open_shop

TRUTH = SyntheticTruth(customers=3000, weeks=40, heterogeneity=0.0, campaign_share=0.3, campaign_every=1,
                       randomised=True)  # fmt: skip
PRICES = PriceRange(low=0.1, high=1.0, free=0.5)
WEEKS = range(8, 40)


def open_world(shop: TrueShop, log: SyntheticLog) -> World:
    """Return the true market as it stands after the log, seen as its customers are then."""
    rows = features(log.after.customer)
    market = replace(shop.market, horizon=Horizon(), season=type(shop.market.season)())
    return World(market, Observer(rows.mean(dim=0), rows.std(dim=0).clamp(min=1e-3)), log.after.customer, PRICES)


def logged_feedback(world: World, log: SyntheticLog, shop: TrueShop, folder: Path) -> LoggedFeedback:
    """Return the log as it comes back from the shop's tables, each decision credited with four weeks."""
    prepared = prepare(Tables(str(write_tables(shop, log, folder))), folder / "prepared")
    decisions = load_decisions(folder / "prepared")
    assert decisions is not None
    split = Split("train", np.arange(prepared.events.n), WEEKS)
    offer = offers_of(decisions, world.market.catalog, "decisions.parquet")
    panel = build_panel(prepared.events)
    return collect_rounds(world.market, world.observer, panel, split, decisions, offer).credited(4, seed=0)


class LivedCampaign(TensorCampaign):
    """Tells of each week the margin and cost that it really had, over the margin expected without any offer."""

    def step(self, action: Tensor) -> Transition[Tensor]:
        assert self.episode is not None
        noise = draw_noise(self.num_envs, self.world.pool.n_categories, self._generator, self.device)
        price = self.episode.price
        self.episode, outcome, uplift = take_step(self.world, self.episode, action, noise)
        rows = last = observe(self.world, self.episode)
        over = self.episode.state.week >= self.horizon
        if over:
            rows = self.reset()
        ended = torch.full_like(outcome.violation, over)
        figures = {
            "net": outcome.realised_net - outcome.shadow_net,
            "cost": outcome.realised_cost,
            "violations": outcome.violation.to(torch.float32),
        }
        return Transition(rows, uplift - price * outcome.cost, ended, torch.zeros_like(ended), last, figures)


class Watched(CampaignVectorEnv):
    """Notes what each episode brings per customer in expectation, λ times cost deducted [USD]."""

    def __init__(self, n: int, world: World) -> None:
        super().__init__(n, world, seed=0)
        self.core = LivedCampaign(n, world, seed=0)
        self.earned: list[float] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.earned.append(0.0)
        return super().reset(seed=seed, options=options)

    def step(self, actions: Any) -> Any:
        *rest, info = super().step(actions)
        self.earned[-1] += float(rest[1].mean())
        return *rest, info


def learning_world(n: int, world: World, feedback: LoggedFeedback | None) -> LearningWorld:
    vector = Watched(n, world)
    return LearningWorld(vector, Sb3VecEnv(vector), vector.layout, vector.horizon, feedback=feedback)


def opened() -> tuple[TrueShop, SyntheticLog]:
    shop = open_shop(TRUTH)
    return shop, live_through(shop)
