"""A log that names its offers, as rows of customer-weeks: who was sent what this week, worth how much to them."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
import torch

from campaigns.offers import Catalog, OfferKind
from history.events import WeeklyEvents
from history.exposures import sample_step
from history.features import FEATURES
from history.panel import Panel, states_before
from history.parts import of_customers
from simulators.effects.crossfit import Flags, Floats, Ints
from simulators.lift import expected_saving
from simulators.promotion import Categories, choose_category, open_wallet

KINDS: Final = tuple(OfferKind)
CONTACTS: Final = FEATURES.index("contacts_8w")


@dataclass(frozen=True, eq=False)
class OfferRows:
    """Customer-weeks without an offer left from earlier, n rows.

    Attributes:
        customer, week: Position of the customer and of the week, shape (n,).
        x: Features before the week, shape (n, n_features).
        offer: Place in the catalog of the offer sent this week, 0 if none, shape (n,).
        worth: What each logged offer would save this customer this week [currency], shape (n, n_logged).
        share: The same as a share of a week's spend, at most 1, shape (n, n_logged).
        logged: Places in the catalog of the logged offers, shape (n_logged,).
        kind: Place in `OfferKind` of each, shape (n_logged,).
        visited: Shape (n,), bool.
        spend: Of the week [currency], shape (n,).
        contacts: In the 8 weeks before, shape (n,).
    """

    customer: Ints
    week: Ints
    x: Floats
    offer: Ints
    worth: Floats
    share: Floats
    logged: Ints
    kind: Ints
    visited: Flags
    spend: Floats
    contacts: Floats

    def __len__(self) -> int:
        return len(self.customer)

    def where(self, keep: Flags) -> "OfferRows":
        cut = {name: getattr(self, name)[keep] for name in _BY_ROW}
        return replace(self, **cut)


_BY_ROW: Final = ("customer", "week", "x", "offer", "worth", "share", "visited", "spend", "contacts")


def offer_rows(
    panel: Panel, targeting: pd.DataFrame, catalog: Catalog, categories: Categories, customers: Ints, weeks: range
) -> OfferRows | None:
    """Cut customer-weeks out of the panel; None if the log names no offer of the catalog in these weeks.

    Left out are weeks in which an earlier campaign of the customer still runs, since what is left of it depends on
    whether it was redeemed, and weeks in which several begin.

    Args:
        panel: All customers and weeks.
        targeting: One row per customer and campaign, with the column `offer`.
        catalog: The offers.
        categories: What is promoted.
        customers: Positions of the customers to use; of a big shop every k-th.
        weeks: Positions of the weeks to use.
    """
    customers = customers[customers % sample_step(panel.events.n) == 0]
    sent, busy = _sent(panel, targeting, catalog, customers)
    part = sent[:, weeks.start : weeks.stop]
    logged = np.unique(part[part > 0])
    if not len(logged) or not len(customers):
        return None
    worth, share = _worth(panel.events, catalog, categories, customers, weeks, logged)
    grid = (len(customers), len(weeks))
    cut = np.ix_(customers, np.arange(weeks.start, weeks.stop))
    x = panel.features[torch.from_numpy(customers), weeks.start : weeks.stop].numpy().astype(np.float64)
    rows = OfferRows(
        customer=np.repeat(customers, len(weeks)),
        week=np.tile(np.arange(weeks.start, weeks.stop), len(customers)),
        x=x.reshape(-1, x.shape[2]),
        offer=part.reshape(-1),
        worth=worth.reshape(-1, len(logged)),
        share=share.reshape(-1, len(logged)),
        logged=logged,
        kind=np.array([KINDS.index(catalog.offers[o].kind) for o in logged]),
        visited=panel.events.baskets[cut].reshape(-1) > 0,
        spend=panel.events.spend[cut].astype(np.float64).reshape(-1),
        contacts=x[:, :, CONTACTS].reshape(-1),
    )
    free = ~busy[:, weeks.start : weeks.stop].reshape(grid[0] * grid[1])
    return rows.where(free)


def unknown_offers(targeting: pd.DataFrame, catalog: Catalog) -> dict[str, int]:
    """Return the names in the log that are none of the catalog's offers, with the targetings of each, by name."""
    if "offer" not in targeting:
        return {}
    named = targeting["offer"].astype("str")
    unknown = named[(named != "") & ~named.isin(catalog.names)]
    return {str(name): int(count) for name, count in unknown.value_counts().sort_index().items()}


def _sent(panel: Panel, targeting: pd.DataFrame, catalog: Catalog, customers: Ints) -> tuple[Ints, Flags]:
    """Return the offer sent in each week, and the weeks that say nothing clear, both shape (n, t)."""
    weeks = panel.n_weeks
    sent, begun = np.zeros((panel.events.n, weeks), dtype=np.int64), np.zeros((panel.events.n, weeks + 1))
    running = np.zeros((panel.events.n, weeks + 1))
    place = {name: i for i, name in enumerate(catalog.names)}
    offers = targeting["offer"] if "offer" in targeting else pd.Series("", index=targeting.index)
    index = offers.map(place).fillna(0).to_numpy(dtype=np.int64)
    first = int(panel.events.weeks[0])
    who = targeting["customer"].to_numpy(dtype=np.int64)
    start = targeting["start_week"].to_numpy(dtype=np.int64) - first
    stop = np.clip(targeting["end_week"].to_numpy(dtype=np.int64) - first + 1, 0, weeks)
    inside = (start >= 0) & (start < weeks)
    sent[who[inside], start[inside]] = index[inside]
    np.add.at(begun, (who[inside], start[inside]), 1.0)
    later = np.clip(start + 1, 0, weeks)
    some = stop > later
    np.add.at(running, (who[some], later[some]), 1.0)
    np.add.at(running, (who[some], stop[some]), -1.0)
    unknown = (begun[:, :weeks] > 0) & (sent == 0)
    busy = (running.cumsum(axis=1)[:, :weeks] > 0) | (begun[:, :weeks] > 1) | unknown
    return sent[customers], busy[customers]


def _worth(
    events: WeeklyEvents, catalog: Catalog, categories: Categories, customers: Ints, weeks: range, logged: Ints
) -> tuple[Floats, Floats]:
    """Return what each logged offer would save [currency] and as a share of a week, shape (n, weeks, n_logged)."""
    columns = catalog.columns().to(torch.from_numpy)
    worth = np.zeros((len(customers), len(weeks), len(logged)))
    share = np.zeros_like(worth)
    for t, state in enumerate(states_before(of_customers(events, customers), weeks)):
        wallet = open_wallet(categories, state, choose_category(categories, state))
        for j, offer in enumerate(logged):
            saving = expected_saving(columns, torch.full((len(customers),), int(offer)), wallet)
            worth[:, t, j] = saving.numpy()
            share[:, t, j] = (saving / wallet.week.clamp(min=5.0)).clamp(max=1.0).numpy()
    return worth, share
