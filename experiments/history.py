"""A prepared history in memory: panel, logged targeting, splits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from agents.agent import LoggedTargeting
from campaigns.errors import InputError
from campaigns.offers import Catalog
from history.events import WeeklyEvents
from history.features import visit_rates
from history.feedback import LoggedFeedback
from history.panel import Panel, build_panel, states_before
from history.parts import at_shop, newcomers_before
from history.prepare import load_prepared
from history.purchases import Purchases
from history.quality import Quality
from history.splits import Split, SplitConfig, Splits, split_history
from history.state import NEVER, State, interleave_states, join_states
from simulators.fit import customer_weeks
from simulators.fitting import surprises_of
from simulators.observation import Observer
from simulators.response import ResponseModel
from simulators.scenario import Audience
from simulators.shocks import Level, recent_level
from simulators.worlds import MarketConfig

FEWEST = 20
"""Fewest rows that a campaign begins from."""
LAPSED = 4.0
"""Weeks of silence, longer than the customer's usual gap between visits, after which one counts as lapsing."""
LEVEL_WEEKS = 8
"""Weeks before a campaign that tell on which level its customers are."""


@dataclass(frozen=True, eq=False)
class PreparedHistory:
    panel: Panel
    targeting: pd.DataFrame
    quality: Quality
    splits: Splits
    purchases: Purchases


def load_history(folder: Path, config: SplitConfig) -> PreparedHistory:
    """Read what `prepare` wrote and replay it."""
    prepared = load_prepared(folder)
    panel = build_panel(prepared.events)
    splits = split_history(panel.events.customer_ids, full_weeks(panel.n_weeks), config)
    return PreparedHistory(panel, prepared.targeting, prepared.quality, splits, prepared.purchases)


def full_weeks(n_weeks: int) -> range:
    """Return the positions of the weeks that a history surely covers: all but the first and the last."""
    return range(1, n_weeks - 1)


@dataclass(frozen=True, eq=False)
class Start:
    """Customers from whose states campaigns begin.

    Attributes:
        state: m rows; with several shops, a person's rows are contiguous.
        customer: Position of each row's customer in the panel, shape (m,), int64.
    """

    state: State
    customer: torch.Tensor


def starting_states(panel: Panel, split: Split, weeks: range, market: MarketConfig | None = None) -> Start:
    """Return the states of a split's customers before each of some weeks, one after the other.

    Args:
        panel: All customers and weeks.
        split: Whose states.
        weeks: Positions of the weeks that are about to begin.
        market: Says for whom the campaign is and on how many shops they buy; everybody on one shop if not given.

    Raises:
        InputError: too few customers are of the wanted audience.
    """
    market = market or MarketConfig()
    events = [at_shop(panel.events, shop, market.shops) for shop in range(market.shops)]
    by_shop = [_states_of(one, weeks, market.audience) for one in events]
    wanted = torch.zeros(panel.events.n, dtype=torch.bool)
    wanted[torch.from_numpy(split.customers)] = True
    parts = []
    for of_week in zip(*by_shop, strict=True):
        keep = wanted.clone()
        for _, here in of_week:
            keep &= here
        rows = torch.nonzero(keep).squeeze(1)
        shared = interleave_states([state.take(rows) for state, _ in of_week])
        parts.append(Start(shared, rows.repeat_interleave(market.shops)))
    start = Start(join_states([part.state for part in parts]), torch.cat([part.customer for part in parts]))
    if start.state.n < FEWEST:
        raise InputError(
            f"market.audience is {market.audience.value}: only {start.state.n} rows of the {split.name} customers are, "
            f"at least {FEWEST} are needed; choose another audience, or give a history of more customers"
        )
    return start


def _states_of(events: WeeklyEvents, weeks: range, audience: Audience) -> list[tuple[State, torch.Tensor]]:
    """Return, for each week, the states of all customers and who of them is of the audience, shape (n,), bool."""
    if audience is Audience.NEW:
        return [newcomers_before(events, week) for week in weeks]
    states = states_before(events, weeks)
    return [(state, _of_audience(state, audience)) for state in states]


def _of_audience(state: State, audience: Audience) -> torch.Tensor:
    if audience is Audience.EVERYBODY:
        return torch.ones(state.n, dtype=torch.bool)
    usual = 1.0 / visit_rates(state)[:, 3].clamp(min=1.0 / NEVER)
    silent = state.weeks_since_visit
    return (silent >= LAPSED) & (silent > usual) & (silent < NEVER)


def recent_surprises(response: ResponseModel, panel: Panel, split: Split, position: int) -> Level:
    """Return what a split's customers brought in the weeks before `position` beyond what the model predicts."""
    weeks = range(max(position - LEVEL_WEEKS, 1), position)
    rows = customer_weeks(panel, Split(split.name, split.customers, weeks))
    return recent_level(surprises_of(response, rows))


def category_spend(panel: Panel, split: Split) -> torch.Tensor:
    """Return a split's spend by category [currency], shape (k,)."""
    rows = panel.events.category_spend[split.customers][:, split.weeks.start : split.weeks.stop]
    return torch.from_numpy(rows.sum(axis=(0, 1), dtype=np.float64))


def logged_targeting(
    history: PreparedHistory, observer: Observer, names: tuple[str, ...], catalog: Catalog
) -> LoggedTargeting | None:
    """Return the training split's log of who was targeted when, or None if the history has no campaign.

    Action 1 is "a coupon campaign starts this week"; rewards are not read from it and stand at 0.
    """
    value = history.quality.coupon_values.quartiles
    split, events = history.splits.train, history.panel.events
    targeted = events.contacted[split.customers][:, split.weeks.start : split.weeks.stop].reshape(-1) > 0
    if not value or not targeted.any():
        return None
    rows = history.panel.features[torch.from_numpy(split.customers), split.weeks.start : split.weeks.stop]
    z = ((rows.flatten(0, 1) - observer.mean) / observer.scale).clamp(-10.0, 10.0).numpy()
    none = np.zeros(len(z))
    feedback = LoggedFeedback(
        feature_names=names,
        features=z,
        mask=np.ones((len(z), 2), dtype=bool),
        action=targeted.astype(np.int64),
        reward=none,
        cost=none,
        pscore=None,
    )
    return LoggedTargeting(feedback, coupon_value_cents=100.0 * float(value[1]), catalog=catalog)
