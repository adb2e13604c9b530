"""What an offer changes after its week: learned from simulated futures, so that a policy can plan with it."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from campaigns.offers import OfferColumns
from evaluation.planning import Choose, Tries, open_luck, take_rows, try_week, week_gain
from history.state import State
from simulators.market import Market, MarketState, Sight, look, open_market, step, terminal_value
from simulators.shopping import draw_noise

Floats = NDArray[np.float64]
OFFERS_TRIED = 3
"""Offers tried on a customer in a week beside none, drawn at random: the regression pools what they teach."""


FEWEST = 1000
"""Tries that foresight takes to be learned."""


@dataclass(frozen=True, eq=False)
class Futures:
    """Simulated tries: what was known before each (rows, k), and what came of it after its week (rows,).

    The latter in margins of the customer's usual week, since a few big spenders would drown all the others.
    """

    known: Floats
    later: Floats


def simulate_futures(market: Market, start: State, draw: Tensor, base: Choose, seed: int) -> Futures:
    """Try random offers in every campaign week and play each out to the end of the horizon.

    The tries of a customer share their luck, so what is learned is a difference: the uplift over "no offer" less the
    week's own expected gain. Between the tries customers live on with random
    allowed offers, each at a pace of their own, so that the well rested and the tired are both met in every week.

    Args:
        market: The world, with ample stock.
        start: Customers, n rows.
        draw: The draw of the effects of each, shape (n,), int64.
        base: The policy that is followed after the offer.
        seed: Of all luck.
    """
    generator = open_luck(start.weeks_seen.device, seed)
    state = open_market(market, start, draw)
    pace = 0.6 * torch.rand(start.n, generator=generator, device=generator.device)
    known, later = [], []
    for _ in range(market.horizon.campaign_weeks):
        sight = look(market, state)
        tries = _some_tries(sight.mask, generator)
        if len(tries.owner):
            gain = week_gain(market, state, sight, tries, generator)
            total = tries.over_none(_play_on(market, state, sight, tries, base, generator), state.n)
            known.append(describe_tries(market, state, sight, tries, gain))
            later.append(((total - gain) / _scale(sight)[tries.owner]).cpu().numpy())
        action = _random_offer(sight.mask, pace, generator)
        state, _ = step(
            market, state, sight, action, draw_noise(state.n, state.customer.n_categories, generator, generator.device)
        )
    if not known:
        return Futures(np.zeros((0, 0)), np.zeros(0))
    return Futures(np.concatenate(known), np.concatenate(later))


class Foresight:
    """Says what an offer changes after its week, in usual weeks' margins; 0 where there was too little to learn."""

    def __init__(self, futures: Futures, seed: int) -> None:
        from sklearn.ensemble import HistGradientBoostingRegressor  # half a second that no other verb need wait

        self._model = HistGradientBoostingRegressor(
            max_iter=80, learning_rate=0.08, max_leaf_nodes=12, min_samples_leaf=100, l2_regularization=10.0,
            early_stopping=False, random_state=seed,
        )  # fmt: skip
        self._learned = len(futures.later) >= FEWEST
        if self._learned:
            self._model.fit(futures.known, futures.later)

    def later(self, known: Floats) -> Floats:
        """Return the later gain of tries over "no offer", shape (tries,)."""
        found: Floats = self._model.predict(known) if self._learned else np.zeros(len(known))
        return found


def plan_with(foresight: Foresight, caution: float) -> Choose:
    """Return the policy that adds to the week's expected gain what foresight says an offer changes later.

    One step of policy improvement over the policy that the futures followed. It departs from the greedy offer only
    where it hopes for `caution` usual weeks' margins more: many choices are near ties, where noise alone would decide.

    Reference:
        Bertsekas, Tsitsiklis & Wu, "Rollout Algorithms for Combinatorial Optimization", J. of Heuristics 3, 1997;
        Kakade & Langford, "Approximately Optimal Approximate Reinforcement Learning", ICML 2002 (careful improvement).
    """

    def choose(market: Market, state: MarketState, sight: Sight, generator: torch.Generator) -> Tensor:
        tries = Tries.of(sight.mask)
        if len(tries.owner) == 0:
            return torch.zeros_like(state.offer)
        gain = week_gain(market, state, sight, tries, generator).double()
        scale = _scale(sight)
        later = torch.from_numpy(foresight.later(describe_tries(market, state, sight, tries, gain))).to(gain.device)
        whole = gain + later * scale[tries.owner] * (tries.offer > 0)
        usual, planned = tries.best(gain, sight.mask), tries.best(whole, sight.mask)
        table = torch.zeros(sight.mask.shape, dtype=whole.dtype, device=whole.device)
        table[tries.owner, tries.offer] = whole
        hoped = table.gather(1, planned.unsqueeze(1)) - table.gather(1, usual.unsqueeze(1))
        return torch.where(hoped.squeeze(1) > caution * scale, planned, usual)

    return choose


def describe_tries(market: Market, state: MarketState, sight: Sight, tries: Tries, gain: Tensor) -> Floats:
    """Return what is known before each try: customer, wallet, effects in force, offer, its week's gain, time left."""
    wallet = torch.stack([sight.wallet.basket, sight.wallet.share, sight.wallet.margin], dim=1)
    effects = [effect.reshape(state.n, -1) for effect in state.effects.sizes()]
    of_customer = torch.cat([sight.features, wallet, *effects], dim=1)[tries.owner]
    columns = [getattr(market.columns, f.name) for f in fields(OfferColumns) if f.name != "max_total_bp"]
    of_offer = torch.stack(columns, dim=1)[tries.offer].to(of_customer)
    left = torch.full_like(gain, market.horizon.campaign_weeks - state.week)
    mine = torch.stack([gain / _scale(sight)[tries.owner], left], dim=1).to(of_customer)
    described: Floats = torch.cat([of_customer, of_offer, mine], dim=1).double().cpu().numpy()
    return described


def _scale(sight: Sight) -> Tensor:
    """Return the margin of a customer's usual week [USD], shape (n,)."""
    return (sight.wallet.week * sight.wallet.margin).clamp(min=1.0)


def _some_tries(mask: Tensor, generator: torch.Generator) -> Tries:
    """Return "no offer" and a few random allowed offers of every customer with a choice."""
    chance = torch.rand(mask.shape, generator=generator, device=generator.device)
    chance = torch.where(mask, chance, torch.full_like(chance, -1.0))
    chance[:, 0] = 2.0
    least = chance.topk(min(OFFERS_TRIED + 1, mask.shape[1]), dim=1).values[:, -1:]
    return Tries.of(mask & (chance >= least))


def _random_offer(mask: Tensor, pace: Tensor, generator: torch.Generator) -> Tensor:
    """Return an allowed offer at random with chance `pace`, shape (n,), else none; int64."""
    uniform = torch.rand(mask.shape, generator=generator, device=generator.device)
    chance = torch.where(mask, uniform, torch.full_like(uniform, -1.0))
    active = torch.rand(len(mask), generator=generator, device=generator.device) < pace
    return torch.where(active, chance.argmax(dim=1), torch.zeros(len(mask), dtype=torch.int64, device=mask.device))


def _play_on(
    market: Market, state: MarketState, sight: Sight, tries: Tries, base: Choose, generator: torch.Generator
) -> Tensor:
    """Return the uplift of each try to the end of the horizon [USD], shape (tries,), float64."""
    n = state.n
    rows, outcome = try_week(
        market, state, sight, draw_noise(n, state.customer.n_categories, generator, generator.device), tries
    )
    value = outcome.uplift.double()
    while rows.week < market.horizon.weeks:
        seen = look(market, rows)
        action = base(market, rows, seen, generator)
        noise = take_rows(draw_noise(n, state.customer.n_categories, generator, generator.device), tries.owner, n)
        rows, outcome = step(market, rows, seen, action, noise)
        value += outcome.uplift
    return value + terminal_value(market, rows)
