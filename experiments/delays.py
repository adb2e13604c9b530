"""Try agents in synthetic shops in which an offer costs later what it brings now, beside plans with full knowledge.

python -m experiments.delays name=delays

Writes runs/<name>/delays/: one line per policy as it is judged, so that a broken-off study goes on where it stopped,
and delays.json with the summary.
"""

import json
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.agent import LearningWorld, TrainedPolicy
from agents.registry import AGENTS
from envs.campaign import CampaignVectorEnv
from envs.sb3 import Sb3VecEnv
from envs.world import PriceRange, World
from evaluation.foresight import Foresight, plan_with, simulate_futures
from evaluation.planning import Choose, greedy, greedy_at_a_glance, play_out
from evaluation.rollout import Play
from evaluation.schedules import best_schedules, follow
from experiments.config import Config, DelaysConfig
from experiments.main import main, run_folder, set_up
from experiments.monitor import RunMonitor
from experiments.resumable import Row, go_on
from history.artifacts import write_json
from history.features import features
from history.state import State
from simulators.market import Horizon, Market, MarketState, Sight
from simulators.observation import Observer
from simulators.priors import EffectPriors
from simulators.scenario import Season
from simulators.synthetic.log import live_through
from simulators.synthetic.truth import SyntheticTruth, open_shop

PLANS: Final = ("greedy", "plan", "schedule")
"""What knows the market's numbers: the best offer of each week alone; a plan that looks to the end, and the best
timetable of each customer. The planned optimum is the better of the last two, a lower bound of the best policy."""
MYOPIC: Final = "knapsack"
SEED: Final = 30_011
MATERIAL: Final = 0.02
"""Share of what the myopic knapsack gains below which there is no gap to close."""
RESAMPLES: Final = 2000
WEEKS: Final = 26
"""Of history before the campaign."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shop:
    """A market with full stock, and customers to learn from, to choose weights by and to be judged on."""

    market: Market
    learn: State
    choose: State
    judge: State

    @property
    def observer(self) -> Observer:
        rows = features(self.learn)
        return Observer(rows.mean(dim=0), rows.std(dim=0).clamp(min=1e-3))


def run_delays(config: Config) -> Path:
    """Train and judge, going on where an earlier run stopped; return the file of the summary."""
    chosen = config.delays
    assert isinstance(chosen, DelaysConfig)
    folder = run_folder(config) / "delays"
    folder.mkdir(parents=True, exist_ok=True)
    jobs: list[list[Any]] = [[strength, plan, 0] for strength in chosen.strengths for plan in PLANS]
    jobs += [[s, agent, seed] for s in chosen.strengths for agent in chosen.agents for seed in range(chosen.seeds)]
    rows = go_on(folder / "delays.jsonl", jobs, partial(_judge, config, folder), config.run.jobs, "policy")
    summary = {name: summarise([row for row in rows if row["job"][0] == name]) for name in chosen.strengths}
    path = folder / "delays.json"
    write_json(path, {"strengths": chosen.strengths, "effects": chosen.effects, "found": summary})
    print(json.dumps(summary, indent=1))
    return path


def open_delayed_shop(config: DelaysConfig, strength: str) -> Shop:
    """Make the shop of a strength; all its customers answer offers alike."""
    told: dict[str, Any] = {**config.effects, **config.strengths[strength]}
    truth = SyntheticTruth(
        customers=sum(config.customers), weeks=WEEKS, effects=EffectPriors(**told), heterogeneity=0.0
    )
    shop = open_shop(truth)
    market = replace(shop.market, horizon=Horizon(campaign_weeks=8), season=Season())
    after = live_through(shop).after.customer
    ends = np.cumsum([0, *config.customers])
    learn, choose, judge = (after.take(torch.arange(a, b)) for a, b in pairwise(ends))
    return Shop(market, learn, choose, judge)


def _judge(config: Config, folder: Path, job: list[Any]) -> Row:
    """Return the gain of each judged customer, the mean over lives that all policies share [USD]."""
    set_up(config)
    strength, name, _ = job
    chosen: DelaysConfig = config.delays
    shop = open_delayed_shop(chosen, strength)
    n, lives = shop.judge.n, chosen.lives
    start = shop.judge.take(torch.arange(n).repeat(lives))
    draw = torch.zeros(start.n, dtype=torch.int64)
    if name == "schedule":
        none = torch.zeros(n, shop.market.horizon.campaign_weeks, dtype=torch.int64)
        found = best_schedules(shop.market, shop.judge, draw[:n], none, chosen.lucks, SEED + 1)
        gain = follow(shop.market, start, draw, found.repeat(lives, 1).unsqueeze(1), SEED)[:, 0]
    else:
        policy = _plan(shop, name) if name in PLANS else as_choice(_train(config, folder, shop, job), shop.observer)
        gain, _ = play_out(shop.market, start, draw, policy, SEED)
    return {"gain": gain.view(lives, n).mean(dim=0).tolist()}


def _plan(shop: Shop, name: str) -> Choose:
    if name == "greedy":
        return greedy
    draw = torch.zeros(shop.choose.n, dtype=torch.int64)
    futures = simulate_futures(shop.market, shop.choose, draw, greedy_at_a_glance, SEED + 2)
    return plan_with(Foresight(futures, SEED), 0.0)


def _train(config: Config, folder: Path, shop: Shop, job: list[Any]) -> TrainedPolicy:
    strength, agent, seed = job
    train = config.train
    prices = PriceRange(train.price_low, train.price_high, train.price_free)
    torch.manual_seed(seed)
    vector = CampaignVectorEnv(train.customers, World(shop.market, shop.observer, shop.learn, prices), seed=seed)
    world = LearningWorld(vector, Sb3VecEnv(vector), vector.layout, vector.horizon, tensor=vector.core)
    where = Play(shop.market, shop.observer, shop.choose, config.evaluate.validation_worlds, SEED + 3)
    board = folder / "tensorboard" / f"{strength}-{agent}-{seed}"
    with RunMonitor(board, where, [0.0], config.budget.per_customer_week, board.name) as monitor:
        return AGENTS[agent](**config.delays.settings.get(agent, {})).build().learn(world, seed, monitor)


def as_choice(policy: TrainedPolicy, observer: Observer) -> Choose:
    """Let a trained policy choose its likeliest offers, where money has no price beside itself."""

    def choose(market: Market, state: MarketState, sight: Sight, generator: torch.Generator) -> Tensor:
        if state.week >= market.horizon.campaign_weeks:
            return torch.zeros_like(state.offer)
        context = observer.observe(market, state, sight, torch.zeros(state.n))
        return policy.action_dist(context).argmax(dim=1)

    return choose


def summarise(rows: list[Row]) -> dict[str, Any]:
    """Return each policy's gain per customer [USD], beside the myopic knapsack and the planned optimum.

    "gap" is what the planned optimum brings over the myopic knapsack as a share of the latter's gain, and "closed" the
    share of that gap that a policy closes, given where the whole interval of the gap lies above `MATERIAL`. Figures
    are means over seeds with 95 % percentile intervals of a bootstrap that draws the judged customers anew; `seeds`
    holds the gain with each seed.
    """
    gains: dict[str, Floats] = {}
    for name in dict.fromkeys(row["job"][1] for row in rows):
        gains[name] = np.array([row["gain"] for row in rows if row["job"][1] == name])
    n = gains[MYOPIC].shape[1]
    rng = np.random.default_rng(SEED)
    drawn = np.vstack([np.arange(n), rng.integers(n, size=(RESAMPLES, n))])
    means = {name: gain.mean(axis=0)[drawn].mean(axis=1) for name, gain in gains.items()}
    planned, myopic = max(means["plan"], means["schedule"], key=lambda draws: float(draws[0])), means[MYOPIC]
    gap = _figure(planned / myopic - 1.0)
    found: dict[str, Any] = {"gap": gap, "policies": {}}
    for name, mean in means.items():
        entry: dict[str, Any] = {"gain": _figure(mean), "over_myopic": _figure(mean - myopic)}
        if gap[1] > MATERIAL:
            entry["closed"] = _figure((mean - myopic) / (planned - myopic))
        found["policies"][name] = entry | {"seeds": gains[name].mean(axis=1).tolist()}
    return found


def _figure(draws: Floats) -> list[float]:
    """Return the value, which comes first, and its interval."""
    return [float(draws[0]), *(float(end) for end in np.percentile(draws[1:], [2.5, 97.5]))]


if __name__ == "__main__":
    main(run_delays)
