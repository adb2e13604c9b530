"""Playing a policy through a market and adding up what it brought, under luck that every policy shares."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from campaigns.decision import Policy
from history.state import State
from simulators.market import UNLIMITED, Market, MarketState, Outcome, Sight, look, open_market, step, terminal_value
from simulators.observation import Observer
from simulators.shopping import draw_noise

ROWS = 8192
"""Customers that are stepped at a time."""


@dataclass(frozen=True, eq=False)
class Play:
    """Where and under what luck a policy is played.

    Attributes:
        market, observer: The world, and what policies see of it.
        start: Customers at the beginning, m rows.
        worlds: How many copies of all m customers are played, each under its own draw of the effects.
        seed: Of all luck; policies that share it share every random number.
        budget_cents: Hard limit on each copy's committed cost.
    """

    market: Market
    observer: Observer
    start: State
    worlds: int
    seed: int
    budget_cents: int = UNLIMITED


@dataclass(frozen=True, eq=False)
class Luck:
    """What decides between customers and offers in a week, uniform, each shape (n,)."""

    choice: Tensor  # which offer of a policy's distribution
    turn: Tensor  # whose offer is served first


@dataclass(frozen=True, eq=False)
class Result:
    """What a policy brought, summed over the horizon; shape (worlds, m), USD.

    Attributes:
        uplift: Net margin over the shadow's, terminal value included, expected given the states lived through.
        cost: Promo and contact cost, expected likewise.
        realised_uplift, realised_cost: The same from the draws themselves, without the terminal value.
        offers: How often each offer was made, shape (n_actions,).
        redeemed: Redemptions, all in all.
        violations: Forbidden offers that were asked for, all in all.
        excess_cents: Money paid beyond what the ledger had reserved: 0 unless the ledger is broken.
        overspent_cents: The most by which a copy's spending passed its budget; 0 or less.
    """

    uplift: NDArray[np.float64]
    cost: NDArray[np.float64]
    realised_uplift: NDArray[np.float64]
    realised_cost: NDArray[np.float64]
    shadow_margin: NDArray[np.float64]
    offers: NDArray[np.int64]
    redeemed: int
    violations: int
    excess_cents: int
    overspent_cents: int
    entropy: float


class Decider(Protocol):
    """Decides for some worlds at once, and may learn from what comes of it."""

    def choose(self, where: Play, state: MarketState, sight: Sight, luck: Luck) -> tuple[Tensor, Tensor]:
        """Return an offer for each customer, shape (n,), int64, and the mean entropy of the choice [nat], shape ()."""
        ...

    def see(self, before: MarketState, outcome: Outcome) -> None:
        """Take in a week of the campaign."""
        ...


@dataclass(frozen=True)
class AtPrice:
    """Decides by a policy at one budget price λ."""

    policy: Policy[Tensor]
    price: float

    def choose(self, where: Play, state: MarketState, sight: Sight, luck: Luck) -> tuple[Tensor, Tensor]:
        prices = torch.full((state.n,), self.price, device=sight.mask.device)
        dist = self.policy.action_dist(where.observer.observe(where.market, state, sight, prices))
        return draw(dist, luck.choice), mean_entropy(dist)

    def see(self, before: MarketState, outcome: Outcome) -> None:
        return None


def play(policy: Policy[Tensor], price: float, where: Play) -> Result:
    """Play a policy at one budget price λ to the end of the horizon, as many worlds at a time as stay in cache."""
    return play_by(lambda worlds: AtPrice(policy, price), where)


def play_by(decider: Callable[[int], Decider], where: Play) -> Result:
    """Play to the end of the horizon by a decider for as many worlds as it is made for."""
    device = where.start.weeks_seen.device
    generator = torch.Generator(device)
    generator.manual_seed(where.seed)
    size = max(ROWS // where.start.n, 1)
    parts = [
        _play_some(decider, where, range(first, min(first + size, where.worlds)), generator)
        for first in range(0, where.worlds, size)
    ]
    return _join(parts)


def _play_some(decider: Callable[[int], Decider], where: Play, worlds: range, generator: torch.Generator) -> Result:
    state, decides = _open(where, worlds, where.budget_cents), decider(len(worlds))
    tally = _Tally(state.n, where.market.n_actions, generator.device)
    for week in range(where.market.horizon.weeks):
        noise = draw_noise(state.n, state.customer.n_categories, generator, generator.device)
        choice = torch.rand(state.n, generator=generator, device=generator.device)
        sight = look(where.market, state)
        action, entropy = torch.zeros_like(state.offer), torch.zeros((), device=generator.device)
        before = state
        if week < where.market.horizon.campaign_weeks:
            action, entropy = decides.choose(where, state, sight, Luck(choice, noise.turn))
        state, outcome = step(where.market, state, sight, action, noise)
        decides.see(before, outcome)
        tally.add(outcome, entropy)
    tally.uplift += terminal_value(where.market, state)
    return _finish(tally, state, where, len(worlds))


def _open(where: Play, worlds: range, budget_cents: int) -> MarketState:
    """Open one copy of the customers per world, each world under its own draw of the effects."""
    m, device = where.start.n, where.start.weeks_seen.device
    start = where.start.take(torch.arange(m, device=device).repeat(len(worlds)))
    draw = torch.arange(worlds.start, worlds.stop, device=device).repeat_interleave(m)
    draw = draw % where.market.effects.n_draws
    return open_market(where.market, start, draw, cohorts=len(worlds), budget_cents=budget_cents, alike=m)


def draw(dist: Tensor, choice: Tensor) -> Tensor:
    """Draw an offer per customer by uniform luck `choice`, shape (n,); what has probability 0 never comes."""
    action = (dist.cumsum(dim=1) < choice.unsqueeze(1)).sum(dim=1).clamp(max=dist.shape[1] - 1)
    reachable = dist.gather(1, action.unsqueeze(1)).squeeze(1) > 0  # rounding may pass the last offer that is allowed
    return torch.where(reachable, action, dist.argmax(dim=1))


def mean_entropy(dist: Tensor) -> Tensor:
    """Return the mean entropy of distributions [nat], shape ()."""
    return -(dist * torch.log(dist.clamp(min=1e-12))).sum(dim=1).mean()


class _Tally:
    def __init__(self, n: int, n_actions: int, device: torch.device) -> None:
        def zeros() -> Tensor:
            return torch.zeros(n, dtype=torch.float64, device=device)

        self.uplift, self.cost, self.shadow = zeros(), zeros(), zeros()
        self.realised_uplift, self.realised_cost = zeros(), zeros()
        self.offers = torch.zeros(n_actions, dtype=torch.int64, device=device)
        self.redeemed = torch.zeros((), dtype=torch.int64, device=device)
        self.violations = torch.zeros((), dtype=torch.int64, device=device)
        self.entropy = torch.zeros((), device=device)

    def add(self, outcome: Outcome, entropy: Tensor) -> None:
        self.uplift += outcome.uplift
        self.cost += outcome.cost
        self.shadow += outcome.shadow_net
        self.realised_uplift += outcome.realised_net - outcome.realised_shadow_net
        self.realised_cost += outcome.realised_cost
        self.offers += torch.bincount(outcome.offer, minlength=len(self.offers))
        self.redeemed += outcome.redeemed.sum()
        self.violations += outcome.violation.sum()
        self.entropy += entropy


def _finish(tally: _Tally, state: MarketState, where: Play, worlds: int) -> Result:
    def table(values: Tensor) -> NDArray[np.float64]:
        return values.view(worlds, -1).cpu().numpy()

    return Result(
        uplift=table(tally.uplift),
        cost=table(tally.cost),
        realised_uplift=table(tally.realised_uplift),
        realised_cost=table(tally.realised_cost),
        shadow_margin=table(tally.shadow),
        offers=tally.offers.cpu().numpy(),
        redeemed=int(tally.redeemed),
        violations=int(tally.violations),
        excess_cents=int(state.ledger.excess.sum()),
        overspent_cents=int((state.ledger.spent - where.budget_cents).max()),
        entropy=float(tally.entropy) / where.market.horizon.campaign_weeks,
    )


def _join(parts: list[Result]) -> Result:
    def stack(name: str) -> NDArray[np.float64]:
        return np.concatenate([getattr(part, name) for part in parts])

    return Result(
        uplift=stack("uplift"),
        cost=stack("cost"),
        realised_uplift=stack("realised_uplift"),
        realised_cost=stack("realised_cost"),
        shadow_margin=stack("shadow_margin"),
        offers=np.sum([part.offers for part in parts], axis=0),
        redeemed=sum(part.redeemed for part in parts),
        violations=sum(part.violations for part in parts),
        excess_cents=sum(part.excess_cents for part in parts),
        overspent_cents=max(part.overspent_cents for part in parts),
        entropy=float(np.mean([part.entropy for part in parts])),
    )


def expected_gain(where: Play, action: Tensor, weeks: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what one offer to each customer brings over the next weeks, by draw of the effects.

    Args:
        where: Market, customers (m) and how many draws (worlds).
        action: The offer to each customer, shape (m,); a forbidden one counts as none.
        weeks: How long its consequences are followed, no further offer being made; then the terminal value is added.

    Returns:
        Uplift and cost [USD], each shape (worlds, m).
    """
    device = where.start.weeks_seen.device
    generator = torch.Generator(device)
    generator.manual_seed(where.seed)
    size = max(ROWS // where.start.n, 1)
    uplifts, costs = [], []
    firsts = range(0, where.worlds, size)
    for first in tqdm(
        firsts, desc="draw effects", unit="part", disable=None if len(firsts) > 20 else True, leave=False
    ):
        worlds = range(first, min(first + size, where.worlds))
        state = _open(where, worlds, UNLIMITED)
        uplift, cost = torch.zeros(state.n, device=device), torch.zeros(state.n, device=device)
        for week in range(weeks):
            sight = look(where.market, state)
            wanted = action.repeat(len(worlds)) * (week == 0)
            asked = wanted * sight.mask.gather(1, wanted.unsqueeze(1)).squeeze(1)
            state, outcome = step(
                where.market, state, sight, asked, draw_noise(state.n, state.customer.n_categories, generator, device)
            )
            uplift, cost = uplift + outcome.uplift, cost + outcome.cost
        uplift = uplift + terminal_value(where.market, state)
        uplifts.append(uplift.view(len(worlds), -1).double().cpu().numpy())
        costs.append(cost.view(len(worlds), -1).double().cpu().numpy())
    return np.concatenate(uplifts), np.concatenate(costs)
