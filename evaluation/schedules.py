"""The best timetable of offers for each customer, found by trying: what planning with full knowledge can bring."""

import torch
from torch import Tensor

from evaluation.planning import open_luck, take_rows
from history.state import State
from simulators.market import Market, look, open_market, step, terminal_value
from simulators.shopping import Noise, draw_noise

SWEEPS = 3
"""Times that every week of a timetable is reconsidered, at most."""


def best_schedules(market: Market, start: State, draw: Tensor, begin: Tensor, lucks: int, seed: int) -> Tensor:
    """Improve timetables week by week until no offer of a single week would be better than another one.

    It knows the market's numbers and each customer's effects, and settles all weeks beforehand: what it brings under
    fresh luck is a lower bound of what the best policy brings.

    Args:
        market: The world, with ample stock.
        start: Customers, n rows.
        draw: The draw of the effects of each, shape (n,), int64.
        begin: The timetables to begin from: offers, shape (n, campaign weeks), int64.
        lucks: Lives over which a timetable's worth is the mean; all timetables share them, in every sweep.
        seed: Of all luck.

    Returns:
        Timetables, shape (n, campaign weeks), int64.
    """
    n, actions = start.n, market.n_actions
    lives = torch.arange(n, device=begin.device).repeat_interleave(lucks)
    customers, draws = start.take(lives), draw[lives]
    best = begin
    for _ in range(SWEEPS):
        before = best
        for week in range(best.shape[1]):
            tried = best[lives].unsqueeze(1).repeat(1, actions, 1)
            tried[:, :, week] = torch.arange(actions, device=begin.device)
            worth = follow(market, customers, draws, tried, seed)
            chosen = worth.view(n, lucks, actions).mean(dim=1).argmax(dim=1)
            best = torch.cat([best[:, :week], chosen.unsqueeze(1), best[:, week + 1 :]], dim=1)
        if torch.equal(best, before):
            break
    return best


def follow(market: Market, start: State, draw: Tensor, schedules: Tensor, seed: int) -> Tensor:
    """Follow timetables to the end of the horizon.

    Args:
        market: The world, with ample stock.
        start: Customers, n rows.
        draw: The draw of the effects of each, shape (n,), int64.
        schedules: Offers that each customer's timetables ask for, shape (n, m, campaign weeks), int64; a forbidden one
            becomes none.
        seed: Of all luck, which a customer's timetables share.

    Returns:
        Uplift to the end, wash-out and terminal value included [USD], shape (n, m), float64.
    """
    n, m, weeks = schedules.shape
    luck = open_luck(schedules.device, seed)
    owner = torch.arange(n, device=schedules.device).repeat_interleave(m)
    wanted = schedules.reshape(n * m, weeks)
    state = open_market(market, start.take(owner), draw[owner])
    uplift = torch.zeros(n * m, dtype=torch.float64, device=schedules.device)
    while state.week < market.horizon.weeks:
        sight = look(market, state)
        offer = wanted[:, state.week] if state.week < weeks else torch.zeros_like(owner)
        asked = offer * sight.mask.gather(1, offer.unsqueeze(1)).squeeze(1)
        noise = take_rows(draw_noise(n, start.n_categories, luck, schedules.device), owner, n)
        assert isinstance(noise, Noise)
        state, outcome = step(market, state, sight, asked, noise)
        uplift += outcome.uplift
    return (uplift + terminal_value(market, state)).view(n, m)
