"""Weeks of a market lived through with actions that a function chooses, and records moved to other devices."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from history.state import State
from simulators.market import Market, MarketState, Outcome, Sight, look, open_market, step
from simulators.shopping import Noise, draw_noise

LEANS = {
    f"{kind}.{feature}": {"lean": lean, "error": 0.1, "centre": centre, "scale": 0.3}
    for kind in ("discount", "coupon", "threshold")
    for feature, lean, centre in (
        ("promo_share", 0.4, 0.4),
        ("spend_per_active_week", -0.2, 3.5),
        ("visit_rate_13w", 0.1, 0.5),
    )
}
"""How effects lean in a market in which some customers answer more than others."""

Choose = Callable[[Market, MarketState, Sight], Tensor]
"""Says which offer to ask for, shape (n,), int64."""


def open_at(market: Market, start: State, *, draw: int | None = None, **limits: int) -> MarketState:
    """Begin a campaign, customer i under draw i of the effects, or all under one."""
    index = torch.arange(start.n) % market.effects.n_draws if draw is None else torch.full((start.n,), draw)
    return open_market(market, start, index, **limits)


def live(
    market: Market, state: MarketState, choose: Choose, weeks: int, seed: int = 0
) -> Iterator[tuple[MarketState, Sight, Outcome, MarketState]]:
    """Yield each week as (state before, sight, outcome, state after)."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(weeks):
        sight = look(market, state)
        after, outcome = step(
            market,
            state,
            sight,
            choose(market, state, sight),
            draw_noise(state.n, state.customer.n_categories, generator),
        )
        yield state, sight, outcome, after
        state = after


def ask_nothing(market: Market, state: MarketState, sight: Sight) -> Tensor:
    return torch.zeros_like(state.offer)


def ask_always(offer: int) -> Choose:
    """Ask for one offer for everybody, allowed or not."""
    return lambda market, state, sight: torch.full_like(state.offer, offer)


def ask_dearest(market: Market, state: MarketState, sight: Sight) -> Tensor:
    """Ask for the allowed offer with the highest worst case."""
    worst = (market.columns.cap + market.columns.contact).expand(state.n, -1)
    return torch.where(sight.mask, worst, torch.full_like(worst, -1)).argmax(dim=1)


def ask_anything(seed: int) -> Choose:
    """Ask for offers at random, forbidden ones included."""
    generator = torch.Generator().manual_seed(seed)
    return lambda market, state, sight: torch.randint(market.n_actions, (state.n,), generator=generator)


def moved(record: Any, device: str) -> Any:
    """Return a record with every tensor in it, at any depth, on another device."""
    if isinstance(record, Tensor):
        return record.to(device)
    if isinstance(record, tuple):
        return tuple(moved(part, device) for part in record)
    if is_dataclass(record) and not isinstance(record, type):
        return replace(record, **{f.name: moved(getattr(record, f.name), device) for f in fields(record)})
    return record


def tensors_of(record: Any, name: str = "") -> dict[str, Tensor]:
    """Return every tensor of a record by its dotted name."""
    if isinstance(record, Tensor):
        return {name: record}
    if is_dataclass(record) and not isinstance(record, type):
        parts = [tensors_of(getattr(record, f.name), f"{name}.{f.name}") for f in fields(record)]
        return {key: value for part in parts for key, value in part.items()}
    return {}


def rows_of(record: Any, index: Tensor, n: int) -> Any:
    """Return a record with the rows `index` of every tensor whose first dimension is n."""
    if isinstance(record, Tensor):
        return record[index] if record.ndim and record.shape[0] == n else record
    if is_dataclass(record) and not isinstance(record, type):
        return replace(record, **{f.name: rows_of(getattr(record, f.name), index, n) for f in fields(record)})
    return record


def noise_rows(noise: Noise, index: Tensor) -> Noise:
    return Noise(*(getattr(noise, f.name)[index] for f in fields(Noise)))
