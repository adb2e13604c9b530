"""Policies that ask for what they should not: each week's offers, shape (n,), from the market, its state and sight."""

from collections.abc import Callable

import torch
from torch import Tensor

from campaigns.decision import Context, Policy
from simulators.market import Market, MarketState, Sight
from simulators.observation import Observer
from tests.simulators.play import Choose


def ask_forbidden(market: Market, state: MarketState, sight: Sight) -> Tensor:
    """Ask for the dearest offer that is forbidden, where there is one."""
    worst = (market.columns.cap + market.columns.contact).expand(state.n, -1)
    return torch.where(sight.mask, -1, worst).argmax(dim=1)


def ask_dearest_of_all(market: Market, state: MarketState, sight: Sight) -> Tensor:
    """Ask for the dearest offer, allowed or not."""
    return torch.full_like(state.offer, int((market.columns.cap + market.columns.contact).argmax()))


def ask_at_the_edge(market: Market, state: MarketState, sight: Sight) -> Tensor:
    """Ask for whatever the cohort's remaining budget just covers, and for the cheapest where it covers none."""
    worst = market.columns.cap + market.columns.contact
    left = state.ledger.remaining.repeat_interleave(state.n // len(state.ledger.remaining)).unsqueeze(1)
    fits = torch.where(worst <= left, worst, -1)
    cheapest = int(worst[1:].argmin()) + 1
    return torch.where(fits.amax(dim=1) > 0, fits.argmax(dim=1), cheapest)


def oscillate(market: Market, state: MarketState, sight: Sight) -> Tensor:
    """Ask all customers for the longest-lived offer in one week and for the shortest-lived dear one in the next."""
    weeks, cap = market.columns.weeks * (market.columns.kind > 0), market.columns.cap
    longest, shortest = int(weeks.argmax()), int((cap * (weeks == 1)).argmax())
    odd = (torch.arange(state.n) + state.week) % 2
    return torch.where(odd == 1, longest, shortest)


def ask_by(policy: Policy[Tensor], observer: Observer, price: float = 0.0, seed: int = 0) -> Choose:
    """Ask as a policy says, drawing naively: nothing stands between a spoilt distribution and the market."""
    generator = torch.Generator().manual_seed(seed)

    def choose(market: Market, state: MarketState, sight: Sight) -> Tensor:
        dist = policy.action_dist(observer.observe(market, state, sight, torch.full((state.n,), price)))
        luck = torch.rand(state.n, 1, generator=generator)
        return (dist.cumsum(dim=1) < luck).sum(dim=1).clamp(max=market.n_actions - 1)

    return choose


class Spoilt:
    """A policy behind a decision rule whose scores are poisoned: NaN, infinite, or enormous."""

    def __init__(self, decide: Callable[[Tensor, Tensor], Tensor], seed: int) -> None:
        self._decide, self._generator = decide, torch.Generator().manual_seed(seed)

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        poison = torch.tensor([torch.nan, torch.inf, -torch.inf, 3e38, -3e38, 0.0, 1.0])
        scores = poison[torch.randint(len(poison), context.mask.shape, generator=self._generator)]
        return self._decide(scores, context.mask)
