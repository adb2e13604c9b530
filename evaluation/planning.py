"""Offers tried side by side on the same customers under the same luck, and the greedy policy that follows from it."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from campaigns.offers import MOST_CENTS
from history.state import State
from history.state import take_rows as state_rows
from simulators.market import Market, MarketState, Outcome, Sight, look, open_market, step, terminal_value
from simulators.shopping import Noise, draw_noise

LUCKS = 16
"""Weeks' lucks that an expected gain is the mean of."""
Record = TypeVar("Record")
Choose = Callable[[Market, MarketState, Sight, torch.Generator], Tensor]
"""Says which offer each customer gets this week, shape (n,), int64; the generator is for its own planning alone."""


def with_ample_stock(market: Market) -> Market:
    """Return the market with stock that never runs out, so that no customer's week depends on another's."""
    offers = tuple(
        offer if offer.stock is None else replace(offer, stock=MOST_CENTS) for offer in market.catalog.offers
    )
    catalog = replace(market.catalog, offers=offers)
    device = market.columns.stock.device
    columns = catalog.columns().to(lambda column: torch.from_numpy(column).to(device))
    return replace(market, catalog=catalog, columns=columns, stock_share=1.0)


def take_rows(record: Record, index: Tensor, n: int) -> Record:
    """Return the rows `index` of every tensor, at any depth of a record, that has n customers along an axis.

    Args:
        record: Of one cohort of n customers: a market's state, a sight, a week's luck.
        index: Shape (m,), int64; a row may be named several times.
        n: Customers in the record, >= 2.
    """
    taken: Any = record
    if isinstance(record, Tensor):
        if record.ndim and record.shape[0] == n:
            taken = state_rows(record, index)
        elif record.ndim == 2 and record.shape == (1, n):  # of a cohort
            taken = record.index_select(1, index)
    elif is_dataclass(record) and not isinstance(record, type):
        taken = replace(record, **{f.name: take_rows(getattr(record, f.name), index, n) for f in fields(record)})
    return taken  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Tries:
    """Offers to try on customers who have a choice: row i asks for `offer[i]` to customer `owner[i]`, both int64.

    "No offer" is always among a customer's tries.
    """

    owner: Tensor
    offer: Tensor

    @classmethod
    def of(cls, mask: Tensor) -> "Tries":
        """Return every allowed offer of every customer with a choice, by the mask of shape (n, n_actions)."""
        owner, offer = (mask & (mask.sum(dim=1, keepdim=True) > 1)).nonzero().unbind(dim=1)
        return cls(owner, offer)

    def over_none(self, value: Tensor, n: int) -> Tensor:
        """Return each try's value over that of the same customer's "no offer", shape (tries,)."""
        none = torch.zeros(n, dtype=value.dtype, device=value.device)
        none[self.owner[self.offer == 0]] = value[self.offer == 0]
        return value - none[self.owner]

    def best(self, gain: Tensor, mask: Tensor) -> Tensor:
        """Return each customer's offer of the highest gain over none, shape (n,), int64; no offer without a choice."""
        table = torch.full(mask.shape, -torch.inf, dtype=gain.dtype, device=gain.device)
        table[:, 0] = 0.0
        table[self.owner, self.offer] = gain
        return table.argmax(dim=1)


def no_offer(market: Market, state: MarketState, sight: Sight, generator: torch.Generator) -> Tensor:
    return torch.zeros_like(state.offer)


def greedy(market: Market, state: MarketState, sight: Sight, generator: torch.Generator) -> Tensor:
    """Choose the offer with the highest expected net margin of this one week, cost included."""
    tries = Tries.of(sight.mask)
    if len(tries.owner) == 0:
        return torch.zeros_like(state.offer)
    return tries.best(week_gain(market, state, sight, tries, generator), sight.mask)


def greedy_at_a_glance(market: Market, state: MarketState, sight: Sight, generator: torch.Generator) -> Tensor:
    """Choose as `greedy` does by a single luck: good enough for what follows a try, and several times as fast."""
    tries = Tries.of(sight.mask)
    if len(tries.owner) == 0:
        return torch.zeros_like(state.offer)
    return tries.best(week_gain(market, state, sight, tries, generator, lucks=1), sight.mask)


def week_gain(
    market: Market, state: MarketState, sight: Sight, tries: Tries, generator: torch.Generator, lucks: int = LUCKS
) -> Tensor:
    """Return the expected net margin of this week over "no offer" [USD], shape (tries,).

    What an offer costs depends on the basket that luck draws, so the mean is taken over several lucks: by one alone the
    greedy policy would fall for offers that happen to look cheap.
    """
    net = torch.zeros(len(tries.owner), device=generator.device)
    for _ in range(lucks):
        noise = draw_noise(state.n, state.customer.n_categories, generator, generator.device)
        net = net + try_week(market, state, sight, noise, tries)[1].net / lucks
    return tries.over_none(net, state.n)


def try_week(
    market: Market, state: MarketState, sight: Sight, noise: Noise, tries: Tries
) -> tuple[MarketState, Outcome]:
    """Live through the week once for every try, all tries of a customer under the same luck."""
    rows, seen, luck = (take_rows(record, tries.owner, state.n) for record in (state, sight, noise))
    assert isinstance(rows, MarketState) and isinstance(seen, Sight) and isinstance(luck, Noise)
    return step(market, rows, seen, tries.offer, luck)


def open_luck(device: torch.device, seed: int) -> torch.Generator:
    generator = torch.Generator(device)
    generator.manual_seed(seed)
    return generator


def play_out(market: Market, start: State, draw: Tensor, choose: Choose, seed: int) -> tuple[Tensor, Tensor]:
    """Live through the whole horizon with a policy; policies that share the seed share all luck but their planning's.

    Args:
        market: The world, with ample stock.
        start: Customers, n rows, n >= 2.
        draw: The draw of the effects that each lives under, shape (n,), int64.
        choose: The policy.
        seed: Of all luck.

    Returns:
        Uplift of each customer to the end, wash-out and terminal value included [USD], and offers made to each; both
        shape (n,), float64.
    """
    device = start.weeks_seen.device
    luck, planning = open_luck(device, seed), open_luck(device, seed + 1)
    state = open_market(market, start, draw)
    uplift = torch.zeros(start.n, dtype=torch.float64, device=device)
    offers = torch.zeros_like(uplift)
    while state.week < market.horizon.weeks:
        sight = look(market, state)
        action = choose(market, state, sight, planning)
        state, outcome = step(market, state, sight, action, draw_noise(start.n, start.n_categories, luck, device))
        uplift += outcome.uplift
        offers += outcome.offer > 0
    return uplift + terminal_value(market, state), offers
