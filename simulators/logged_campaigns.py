"""Whom a shop's own campaigns reached and whom not, as a choice of "campaign or none" whose chances are not known."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from history.panel import Panel
from history.splits import Split
from simulators.logged_rounds import Ints, LoggedRounds, outcomes, seen_before
from simulators.market import Market
from simulators.observation import Observer


def collect_campaigns(
    market: Market, observer: Observer, panel: Panel, split: Split, targeting: pd.DataFrame
) -> LoggedRounds:
    """Show each week in which a campaign began as a choice between it and none, for a split's customers.

    Left out are customers in whose week an earlier campaign was still running. What it costs to reach a customer is not
    in the log, so it is not taken off.

    Args:
        market: Whose margins and features count; on the CPU.
        observer: Of the policies that are to be judged.
        panel: All customers and weeks.
        split: Whose choices, and of which weeks.
        targeting: One row per customer and campaign, as `prepare` writes it.
    """
    begun, running = _campaigns(panel, targeting)
    weeks = np.array([week for week in split.weeks if begun[:, week].any()], dtype=np.int64)
    slot, customer = (part.ravel() for part in np.meshgrid(weeks, split.customers, indexing="ij"))
    free = ~running[customer, slot]
    slot, customer = slot[free], customer[free]
    features, mask = seen_before(market, observer, panel, slot, customer)
    none = np.zeros(begun.shape, dtype=np.int64)
    net, cost = outcomes(market, panel.events, none, slot, customer, split.weeks.stop)
    return LoggedRounds(
        feature_names=observer.layout(market).feature_names,
        features=features,
        mask=mask,
        action=begun[customer, slot].astype(np.int64),
        pscore=np.full(len(slot), np.nan),
        customer=customer,
        weeks=split.weeks.stop - slot,
        net=net,
        cost=cost,
        left_out={"an earlier campaign was still running": int((~free).sum())},
    )


def _campaigns(panel: Panel, targeting: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the weeks in which a campaign began, and in which an earlier one ran, (n_customers, n_weeks) each."""
    begun, running = np.zeros((2, panel.events.n, panel.n_weeks), dtype=bool)
    first = int(panel.events.weeks[0])
    customer: Ints = targeting["customer"].to_numpy(np.int64)
    start, end = (targeting[f"{name}_week"].to_numpy(np.int64) - first for name in ("start", "end"))
    inside = (start >= 0) & (start < panel.n_weeks)
    begun[customer[inside], start[inside]] = True
    for week in range(panel.n_weeks):
        running[customer[(start < week) & (week <= end)], week] = True
    return begun, running
