"""What an environment is made of: a market, its observer, and a pool of customers to begin with."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from campaigns.errors import InputError
from history.state import State
from simulators.market import Market, MarketState, Outcome, Sight, look, open_market, step, terminal_value
from simulators.observation import Observer
from simulators.shopping import Noise

ALIKE = 64
"""Customers who share an ensemble member in an episode, at most: as many as make matrix products worth while."""
RUNS = 64
"""Runs of such customers from which on they may be longer, since that many sample the ensemble well."""


@dataclass(frozen=True)
class PriceRange:
    """Budget prices λ drawn for an episode: 0 with probability `free`, else log-uniform between `low` and `high`."""

    low: float = 0.05
    high: float = 4.0
    free: float = 0.2


@dataclass(frozen=True, eq=False)
class World:
    """A market and a pool of customers' states that episodes begin from, m rows on the market's device."""

    market: Market
    observer: Observer
    pool: State
    prices: PriceRange


@dataclass(frozen=True, eq=False)
class Episode:
    """A running episode of n customers."""

    state: MarketState
    sight: Sight
    price: Tensor  # λ, (n,)


def begin(world: World, n: int, generator: torch.Generator | None) -> Episode:
    """Draw n customers, their effects, their budget prices, and in which week of the drift they begin.

    Where people buy on several shops, whole people are drawn, one row per shop.

    Raises:
        InputError: n is no multiple of the shops.
    """
    device, shops = world.pool.weeks_seen.device, world.market.shops
    if n % shops:
        raise InputError(
            f"train.customers is {n}: in a market of {shops} shops an episode has {shops} rows per person; expected a "
            f"multiple of {shops}"
        )
    person = torch.randint(world.pool.n // shops, (n // shops,), generator=generator, device=device)
    customers = (person.unsqueeze(1) * shops + torch.arange(shops, device=device)).view(-1)
    draw, alike = draw_worlds(world.market, n, generator, device)
    price = draw_prices(world.prices, n, generator, device)
    market = begin_drift(world.market, generator, device)
    state = open_market(market, world.pool.take(customers), draw, alike=alike)
    return Episode(state, look(market, state), price)


def begin_drift(market: Market, generator: torch.Generator | None, device: torch.device | str) -> Market:
    """Draw in which week of the drift an episode begins; without drift, or where it can only be one, draw nothing.

    The week is one for all customers of the episode: what drifts is the world that they share.
    """
    path, weeks = market.effects.path, market.horizon.weeks + 1
    if path is None or path.shape[1] == weeks:
        return market
    start = torch.randint(path.shape[1] - weeks + 1, (), generator=generator, device=device)
    return replace(market, effects=market.effects.begun(start, weeks))


def draw_worlds(
    market: Market, n: int, generator: torch.Generator | None, device: torch.device | str
) -> tuple[Tensor, int]:
    """Draw which draw of the effects each of n customers lives under.

    Returns:
        Draws, shape (n,), int64; and the length of the runs of customers that share an ensemble member, so that the
        others need not be run for them. The member is uniform for each run, the draw among those of its member.
    """
    alike = math.gcd(n, max(ALIKE, 2 ** int(math.log2(max(n / RUNS, 1)))))
    members = min(market.response.n_members, market.effects.n_draws)
    uniform = torch.rand(2, n, generator=generator, device=device)
    member = (uniform[0, ::alike] * members).to(torch.int64).clamp(max=members - 1).repeat_interleave(alike)
    every = market.response.n_members
    fitting = torch.div(market.effects.n_draws - 1 - member, every, rounding_mode="floor") + 1
    place = torch.minimum((uniform[1] * fitting).to(torch.int64), fitting - 1)
    return member + every * place, alike


def draw_prices(prices: PriceRange, n: int, generator: torch.Generator | None, device: torch.device | str) -> Tensor:
    """Draw a budget price for each of n customers, shape (n,), float32."""
    uniform = torch.rand(2, n, generator=generator, device=device)
    ratio = math.log(prices.high / prices.low)
    price = prices.low * torch.exp(uniform[0] * ratio)
    return torch.where(uniform[1] < prices.free, torch.zeros_like(price), price)


def observe(world: World, episode: Episode) -> Tensor:
    """Return flat observation rows as `ObservationLayout` cuts them, shape (n, width), float32."""
    context = world.observer.observe(world.market, episode.state, episode.sight, episode.price)
    return torch.cat([context.features, context.price.unsqueeze(1), context.mask.to(torch.float32)], dim=1)


def take_step(world: World, episode: Episode, action: Tensor, noise: Noise) -> tuple[Episode, Outcome, Tensor]:
    """Live through one week.

    Returns:
        The episode after it, the outcome, and the uplift in net margin [USD], shape (n,); the last week of the horizon
        adds the terminal value.
    """
    state, outcome = step(world.market, episode.state, episode.sight, action, noise)
    uplift = outcome.uplift
    if state.week == world.market.horizon.weeks:
        uplift = uplift + terminal_value(world.market, state)
    return Episode(state, look(world.market, state), episode.price), outcome, uplift
