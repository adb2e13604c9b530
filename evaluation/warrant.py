"""Is reinforcement learning warranted? What a policy that only sees this week leaves on the table in a market."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from campaigns.errors import InputError
from evaluation.estimate import Estimate, estimate_mean
from evaluation.foresight import Foresight, plan_with, simulate_futures
from evaluation.planning import Choose, greedy, greedy_at_a_glance, no_offer, play_out, with_ample_stock
from history.state import State
from simulators.market import Market

Floats = NDArray[np.float64]
MATERIAL = 0.05
"""Share of the greedy policy's gain below which planning is not worth the trouble of learning it."""
CAUTIONS = (0.02, 0.1)
"""How much a plan must hope for before it departs from greedy [usual weeks' margins]; the best is chosen apart."""


CHOOSING = 2
"""Draws under which a plan is chosen."""


@dataclass
class WarrantConfig:
    """How much is simulated before planning is judged."""

    customers: int = 300  # judged
    draws: int = 8  # of the effects, each lived under by all of them
    lessons: int = 400  # customers whose simulated futures are learned from

    def __post_init__(self) -> None:
        if self.customers < 2 or self.draws < 2 or self.lessons < 2:
            raise InputError(
                f"warrant: customers {self.customers}, draws {self.draws}, lessons {self.lessons}; expected at least 2"
            )


def judge_warrant(market: Market, pool: State, config: WarrantConfig, seed: int) -> dict[str, Any]:
    """Compare the greedy policy with planned ones that know the same market, under the same luck.

    All of them know the market's numbers, so the difference is planning and nothing else: not learning, not exploring.
    Budget and stock are left aside. Three policies:

    - greedy: the offer with the highest expected net margin of this week;
    - patient: a bandit credited with all that one offer leads to, no other offer following;
    - planned: the best plan found, patient ones and those that look to the end with the greedy policy following.

    Which plan is best, and how carefully it departs from greedy, is chosen under other luck than it is judged under. It
    need not be the best there is: what it brings is a lower bound of what planning can bring.

    Args:
        market: Fitted world.
        pool: Customers to draw from, at least 2.
        config: How many.
        seed: Same seed, same result.

    Returns:
        Plain data: gain per customer of each policy with its interval, what the other two bring over greedy with the
        paired interval over customers and draws, as a share of greedy's gain too, and the verdict in words.
    """
    where = _Where(with_ample_stock(market), pool, config, np.random.default_rng(seed))
    patient = where.best(_plans(where, no_offer, seed), seed + 11)
    looking = where.best(_plans(where, greedy_at_a_glance, seed), seed + 11)
    best = max(patient, looking, key=lambda plan: plan.hoped)
    gains: dict[str, Floats] = {}
    offers: dict[str, float] = {}
    for name, policy in (("greedy", greedy), ("patient", patient.policy), ("planned", best.policy)):
        if name == "planned" and best is patient:
            gains[name], offers[name] = gains["patient"], offers["patient"]
        else:
            gains[name], offers[name] = where.play(policy, config.draws, seed + 23)
    return {
        "customers": where.judged.n,
        "draws": config.draws,
        "weeks": market.horizon.campaign_weeks,
        "material": MATERIAL,
        "policies": {
            name: {"gain": estimate_mean(gain).to_dict(), "offers": offers[name]} for name, gain in gains.items()
        },
        **judge_gains(gains),
    }


def judge_gains(gains: dict[str, Floats]) -> dict[str, Any]:
    """Judge the gains of "greedy", "patient" and "planned" [USD], each of shape (draws, customers), paired."""
    usual = float(gains["greedy"].mean())
    over = {name: estimate_mean(gains[name] - gains["greedy"]) for name in ("patient", "planned")}
    shares = {name: share_of(found, usual) for name, found in over.items()}
    return {
        "over_greedy": {name: found.to_dict() for name, found in over.items()},
        "share": {name: None if share is None else share.to_dict() for name, share in shares.items()},
        "verdict": _verdict(over["planned"], shares["planned"], over["patient"].value >= over["planned"].value),
    }


def share_of(over: Estimate, usual: float) -> Estimate | None:
    """Return a difference as a share of the greedy policy's gain [USD]; None where that one gains nothing."""
    if usual <= 1e-6:
        return None
    return Estimate(over.value / usual, over.error / usual, over.lo / usual, over.hi / usual, over.n)


def _verdict(over: Estimate, share: Estimate | None, patient_gets_it: bool) -> str:
    if share is None:
        return _verdict_without_gain(over)
    span = f"[{_percent(share.lo)}, {_percent(share.hi)}]"
    if share.hi <= MATERIAL:
        most = "does better than" if share.hi <= 0 else f"is worth more than {_percent(share.hi)} over"
        return f"a bandit suffices: no plan that was found {most} the policy that only sees this week"
    if share.lo <= 0:
        return f"cannot tell: planning ahead is worth {_percent(share.value)} {span} of the gain without it"
    tail = "; a bandit that is credited with all that one offer leads to already gets it" if patient_gets_it else ""
    return f"planning ahead is worth {_percent(share.value)} {span} of the gain without it{tail}"


def _verdict_without_gain(over: Estimate) -> str:
    if over.above_zero:
        return (
            f"planning ahead is worth {over.value:.3g} USD per customer [{over.lo:.3g}, {over.hi:.3g}]: the policy "
            "that only sees this week gains nothing"
        )
    if over.hi <= 1e-6:
        return "no policy gains anything in this market: there is nothing to plan"
    return "cannot tell: the policy that only sees this week gains nothing, and a planned one not surely more"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %".replace("-", "−")


@dataclass(frozen=True)
class _Plan:
    """A policy and its mean gain under the luck that it was chosen by."""

    policy: Choose
    hoped: float


class _Where:
    """The customers that policies are judged on, and those that are learned from: disjoint if there are enough."""

    def __init__(self, market: Market, pool: State, config: WarrantConfig, rng: np.random.Generator) -> None:
        self.market = market
        order = torch.from_numpy(rng.permutation(pool.n)).to(pool.weeks_seen.device)
        self.judged = pool.take(order[: config.customers])
        rest = order[config.customers :] if pool.n > config.customers + 1 else order
        self.lessons = pool.take(rest[: config.lessons])
        self.draws = rng.permutation(market.effects.n_draws)

    def play(self, policy: Choose, draws: int, seed: int) -> tuple[Floats, float]:
        """Return the gain of each customer under each draw, shape (draws, customers), and offers per customer."""
        n, device = self.judged.n, self.judged.weeks_seen.device
        used = torch.from_numpy(np.resize(self.draws, draws)).to(device)
        start = self.judged.take(torch.arange(n, device=device).repeat(draws))
        gain, offers = play_out(self.market, start, used.repeat_interleave(n), policy, seed)
        return gain.view(draws, n).cpu().numpy(), float(offers.mean())

    def best(self, policies: list[Choose], seed: int) -> _Plan:
        """Return the policy with the highest mean gain under luck that is used for nothing else."""
        plans = [_Plan(policy, float(self.play(policy, CHOOSING, seed)[0].mean())) for policy in policies]
        return max(plans, key=lambda plan: plan.hoped)


def _plans(where: _Where, base: Choose, seed: int) -> list[Choose]:
    draw = torch.arange(where.lessons.n, device=where.lessons.weeks_seen.device) % where.market.effects.n_draws
    futures = simulate_futures(where.market, where.lessons, draw, base, seed + 1)
    foresight = Foresight(futures, seed)
    return [plan_with(foresight, caution) for caution in CAUTIONS]
