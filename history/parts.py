"""Parts of a history: some customers, some whose past is hidden, and the shops that their weeks are spread over."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from history.events import ARRAYS, WeeklyEvents
from history.panel import week_events
from history.state import State, advance, initial_state, where_state

NEW_WEEKS = 4
"""Most weeks that a new customer has been known for."""


def newcomers_before(events: WeeklyEvents, position: int) -> tuple[State, Tensor]:
    """Return customers as a shop would know them that met them one to four weeks ago.

    Each customer is given an age by chance; who visited that many weeks before `position` is taken as new there, and
    everything before is hidden. Real newcomers may be less loyal: these are known to have stayed.

    Args:
        events: Of n customers.
        position: The week that is about to begin.

    Returns:
        The states of all customers, n rows, and who of them is new, shape (n,), bool.
    """
    n, k = events.n, events.category_spend.shape[2]
    age = torch.arange(n) % NEW_WEEKS + 1
    state = initial_state(n, k)
    here = torch.zeros(n, dtype=torch.bool)
    for back in range(min(NEW_WEEKS, position), 0, -1):
        week = week_events(events, position - back)
        here = here | ((age == back) & (week.baskets > 0))
        after = advance(state, week)
        state = where_state(here, after, state)
    return state, here


def at_shop(events: WeeklyEvents, shop: int, shops: int) -> WeeklyEvents:
    """Return what one of several shops would have seen: each customer-week belongs to one shop, by chance.

    Args:
        events: Of all shops together.
        shop: Which, from 0.
        shops: How many there are; one sees everything.
    """
    if shops == 1:
        return events
    shape = events.baskets.shape
    chosen = np.random.default_rng(np.random.SeedSequence([shops, *shape])).integers(shops, size=shape) == shop
    return replace(only_weeks(events, chosen), exposure=events.exposure)


def only_weeks(events: WeeklyEvents, seen: NDArray[np.bool_]) -> WeeklyEvents:
    """Return what would have been recorded had only some customer-weeks been seen, shape (n, t), bool."""
    cut = {name: getattr(events, name) * seen for name in ARRAYS}
    return replace(events, **cut, category_spend=events.category_spend * seen[:, :, None])


def of_customers(events: WeeklyEvents, customers: NDArray[np.int64]) -> WeeklyEvents:
    """Return the events of the customers at some positions, shape (m,), in their order."""
    arrays = {name: getattr(events, name)[customers] for name in (*ARRAYS, "category_spend")}
    return replace(events, customer_ids=tuple(events.customer_ids[i] for i in customers), **arrays)
