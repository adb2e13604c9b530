"""Weeks of our market for others to repeat: its tensors by name, its luck, what was asked for, and what came of it."""

from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from campaigns.errors import InputError
from envs.tensor import flatten
from envs.world import World, begin
from history.artifacts import write_json, write_tensors
from history.features import FEATURES
from history.state import HABIT_HALF_LIFE, NEVER, PANTRY_HALF_LIFE, TASTE_HALF_LIFE, VISIT_HALF_LIVES
from simulators.market import Market, MarketState, Outcome, look, step
from simulators.response import BASELINE_FEATURES, KNOWN_WEEKS, MAX_LOG_SPEND, MAX_Z
from simulators.shopping import Noise, draw_noise
from simulators.visit import MOST_BASKETS, TASTE_FLOOR

SUMS = ("net", "shadow_net", "cost", "spend", "visited", "redeemed", "realised_cost")
"""Columns of an outcome whose weekly sums show that the same was done."""


@dataclass(frozen=True, eq=False)
class Weeks:
    """The weeks of a campaign that begin alike every time.

    Attributes:
        market: The world.
        start: Customers when the campaign begins.
        actions: Offers asked for, shape (weeks, n), int64.
    """

    market: Market
    start: MarketState
    actions: Tensor

    def live_through(self) -> int:
        """Live through them under fresh luck of torch's own; return how many customer-weeks that were."""
        self.outcomes([draw_noise(self.start.n, self.start.customer.n_categories, None) for _ in self.actions])
        return self.actions.numel()

    def outcomes(self, luck: list[Noise]) -> list[Outcome]:
        """Return what each week brought under this luck."""
        state, found = self.start, []
        for action, noise in zip(self.actions, luck, strict=True):
            state, outcome = step(self.market, state, look(self.market, state), action, noise)
            found.append(outcome)
        return found


def export_weeks(world: World, n: int, seed: int, folder: Path) -> Weeks:
    """Write a campaign of n customers under fixed luck to `weeks.safetensors` and `weeks.json`; return its weeks.

    Raises:
        InputError: the market is not one that the peers' port covers.
    """
    market = world.market
    plain = market.shops == 1 and not market.population.moves and not market.season.weeks and market.cleared is None
    if not plain:
        raise InputError("benchmark: the market's port to JAX knows the default scenario alone; leave out scenario=...")
    generator = torch.Generator().manual_seed(seed)
    start = begin(world, n, generator).state
    shape = (market.horizon.campaign_weeks, n)
    actions = torch.randint(market.n_actions, shape, generator=generator)
    weeks = Weeks(market, start, actions)
    luck = [draw_noise(n, start.customer.n_categories, generator) for _ in actions]
    found = weeks.outcomes(luck)
    tensors = flatten(start, "state.") | {"action": actions}
    tensors |= {f"response.{name}": value for name, value in market.response.tensors().items()}
    tensors |= {f"categories.{name}": getattr(market.categories, name) for name in ("margin", "popularity")}
    columns = {f.name: getattr(market.columns, f.name) for f in fields(market.columns)}
    tensors |= {f"columns.{name}": value for name, value in columns.items() if isinstance(value, Tensor)}
    tensors |= {f"noise.{f.name}": torch.stack([getattr(week, f.name) for week in luck]) for f in fields(Noise)}
    tensors |= {
        f"sums.{name}": torch.stack([getattr(outcome, name).double().sum() for outcome in found]) for name in SUMS
    }
    write_tensors(folder / "weeks.safetensors", tensors)
    write_json(folder / "weeks.json", _constants(market))
    return weeks


def _constants(market: Market) -> dict[str, object]:
    """Return the numbers of the week that are no tensors."""
    return {
        "visit_half_lives": VISIT_HALF_LIVES,
        "habit_half_life": HABIT_HALF_LIFE,
        "taste_half_life": TASTE_HALF_LIFE,
        "pantry_half_life": PANTRY_HALF_LIFE,
        "never": NEVER,
        "family": market.response.family.value,
        "n_features": len(FEATURES),
        "baseline_features": BASELINE_FEATURES,
        "known_weeks": KNOWN_WEEKS,
        "max_z": MAX_Z,
        "max_log_spend": MAX_LOG_SPEND,
        "most_baskets": MOST_BASKETS,
        "taste_floor": TASTE_FLOOR,
        "level": [market.level.visit, market.level.baskets, market.level.spend],
        "contact_cap": market.rules.contact_cap,
        "contact_window": market.rules.contact_window_weeks,
        "margin_floor": market.rules.margin_floor,
        "max_total_bp": market.columns.max_total_bp,
        "stock": [market.stock(index) for index in range(market.n_actions)],
    }
