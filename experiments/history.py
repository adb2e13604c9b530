"""A prepared history in memory: panel, logged targeting, splits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from agents.agent import LoggedTargeting
from campaigns.offers import Catalog
from history.feedback import LoggedFeedback
from history.panel import Panel, build_panel, states_before
from history.prepare import load_prepared
from history.purchases import Purchases
from history.quality import Quality
from history.splits import Split, SplitConfig, Splits, split_history
from history.state import State, join_states
from simulators.observation import Observer


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


def starting_states(panel: Panel, split: Split, weeks: range) -> State:
    """Return the states of a split's customers before each of some weeks, one after the other."""
    customers = torch.from_numpy(split.customers)
    return join_states([state.take(customers) for state in states_before(panel.events, weeks)])


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
