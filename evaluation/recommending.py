"""The recommender judged: every model on customers it was not fitted to and on later weeks, by task."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.ranking import Ranking, differences, estimates, rank
from history.panel import states_before
from history.parts import only_weeks
from history.splits import Split, Splits
from history.state import State
from simulators.recommender.factors import fit_factors
from simulators.recommender.habits import gather_habits
from simulators.recommender.learning import Timeline, had
from simulators.recommender.models import DISCOVERING, MODELS, Moment, Recommender, factors, weights
from simulators.recommender.promoter import Promoter
from simulators.recommender.promoting import Outlook

Flags = NDArray[np.bool_]
Floats = NDArray[np.float32]

LENGTH: Final = 10
"""Length of the lists."""
CATEGORY_LENGTH: Final = 5
MOST_CUSTOMERS: Final = 2000
"""Customers judged at most: the first of the split."""
SHOPPING_WEEKS: Final = (1, 3)
"""Weeks of shopping after which a customer is still new."""
BASELINES: Final = {"all": "buy_again", "repeat": "buy_again", "new": "popularity"}
"""What is to be beaten, by task: all later purchases, of what the customer had, of what they never had."""


def judge_products(timeline: Timeline, recommender: Recommender, split: Split) -> dict[str, Any]:
    """Compare all models on a split's customers, looked at before its weeks and judged by what they then buy."""
    customers = split.customers[:MOST_CUSTOMERS]
    seen = timeline.moment(split.weeks.start, customers)
    bought = timeline.bought(split.weeks.start, split.weeks.stop, customers)
    before = had(seen.habits)
    candidates = {"all": np.ones_like(before), "repeat": before, "new": ~before}
    rankings: dict[str, dict[str, Ranking]] = {task: {} for task in candidates}
    for name, model in MODELS.items():
        scores = model(recommender, seen)
        for task, allowed in candidates.items():
            if task != "new" or name in (*DISCOVERING, "blend"):
                rankings[task][name] = rank(scores, bought, allowed, LENGTH)
    return {task: compare(models, BASELINES[task], customers) for task, models in rankings.items()}


def judge_new_customers(timeline: Timeline, recommender: Recommender, split: Split, weeks: int) -> dict[str, Any]:
    """Compare the models on customers of whom only the last `weeks` weeks with a purchase are known."""
    customers, start = split.customers[:MOST_CUSTOMERS], split.weeks.start
    first = _first_known(timeline, start, weeks)
    kept = timeline.purchases.before(start)
    kept = kept.where(kept.week >= first[kept.customer])
    habits = gather_habits(kept, timeline.assortment, len(first), start).of(customers)
    state = _state_since(timeline, first, start).take(torch.from_numpy(customers))
    seen = replace(timeline.moment(start, customers), habits=habits, state=state)
    bought = timeline.bought(start, split.weeks.stop, customers)
    everything = np.ones_like(bought)
    rankings = {
        name: rank(model(recommender, seen), bought, everything, LENGTH)
        for name, model in MODELS.items()
        if name != "buy_again_recent"
    }
    return compare(rankings, "popularity", customers)


def judge_new_products(timeline: Timeline, recommender: Recommender, split: Split) -> dict[str, Any]:
    """Compare what can score products that nobody has bought yet: those that the towers never learned from.

    Every purchase of these products is taken out of what is known of the customers; the list is of these products.
    """
    customers, assortment = split.customers[:MOST_CUSTOMERS], timeline.assortment
    seen = timeline.moment(split.weeks.start, customers)
    blind = replace(seen, habits=seen.habits.without(assortment.held_out), unseen=assortment.held_out)
    bought = timeline.bought(split.weeks.start, split.weeks.stop, customers)
    allowed = np.tile(assortment.held_out, (len(customers), 1))
    scores = {
        "category_popularity": _category_popularity(timeline, blind),
        "content": MODELS["content"](recommender, blind),
        "towers": MODELS["towers"](recommender, blind),
    }
    rankings = {name: rank(values, bought, allowed, LENGTH) for name, values in scores.items()}
    return compare(rankings, "category_popularity", customers)


def judge_refresh(timeline: Timeline, recommender: Recommender, splits: Splits, seed: int) -> dict[str, Any]:
    """Compare the fitted factors, customers folded in from later weeks, with factors fitted anew on all those weeks."""
    split = splits.test
    customers = split.customers[:MOST_CUSTOMERS]
    seen = timeline.moment(split.weeks.start, customers)
    bought = timeline.bought(split.weeks.start, split.weeks.stop, customers)
    own = timeline.habits[split.weeks.start].of(splits.train.customers)
    anew = fit_factors(own.matrix(weights(own)), recommender.factors.config, seed)
    unknown = ~had(seen.habits)
    rankings = {
        name: rank(factors(one, seen), bought, unknown, LENGTH)
        for name, one in {"refitted": replace(recommender, factors=anew), "folded_in": recommender}.items()
    }
    return compare(rankings, "refitted", customers)


def judge_categories(promoters: Mapping[str, Promoter], seen: Outlook, promotable: torch.Tensor) -> dict[str, Any]:
    """Compare the kinds of promoter by how they rank a customer's categories of the next weeks."""
    bought = seen.bought.numpy() > 0
    may = np.broadcast_to((promotable > 0).numpy(), bought.shape)
    before = (seen.state.category_average > 0).numpy()
    candidates = {"all": may, "repeat": may & before, "new": may & ~before}
    scores = {kind: promoter.chance(seen.state).numpy() for kind, promoter in promoters.items()}
    return {
        task: compare(
            {kind: rank(values, bought, allowed, CATEGORY_LENGTH) for kind, values in scores.items()},
            "popularity" if task == "new" else "taste",
            seen.customer,
        )
        for task, allowed in candidates.items()
    }


def compare(rankings: Mapping[str, Ranking], baseline: str, customer: NDArray[np.int64]) -> dict[str, Any]:
    """Return every model's measures and its paired differences from the baseline, as plain data."""
    return {
        "baseline": baseline,
        "models": {
            name: {
                **estimates(ranking, customer),
                "over_baseline": None if name == baseline else differences(ranking, rankings[baseline], customer),
            }
            for name, ranking in rankings.items()
        },
    }


def _first_known(timeline: Timeline, start: int, weeks: int) -> NDArray[np.int64]:
    """Return the week from which the customers' last `weeks` weeks with a basket before `start` are counted."""
    visited = timeline.panel.events.baskets[:, :start] > 0
    later = visited[:, ::-1].cumsum(axis=1)[:, ::-1]  # weeks with a basket from each week on
    return start - (later <= weeks).sum(axis=1) if start else np.zeros(len(visited), dtype=np.int64)


def _state_since(timeline: Timeline, first: NDArray[np.int64], start: int) -> State:
    """Return the states before the week `start` of customers who are only known from an own first week on."""
    events = timeline.panel.events
    known = np.arange(events.baskets.shape[1]) >= first[:, None]
    (state,) = states_before(only_weeks(events, known), range(start, start + 1))
    # Averages are sums from zero: weeks before the first known one add nothing, and only their number has to go.
    return replace(state, weeks_seen=torch.from_numpy((start - first).astype(np.float32)))


def _category_popularity(timeline: Timeline, seen: Moment) -> Floats:
    """Score a product by what the products known in its category sell on average; ties by the order of the products."""
    position, unseen = timeline.assortment.position, seen.unseen
    size = int(position.max()) + 1
    total = np.bincount(position[~unseen], seen.facts.buyers[~unseen], minlength=size)
    mean = total / np.maximum(np.bincount(position[~unseen], minlength=size), 1)
    return np.tile(mean[position].astype(np.float32), (seen.habits.shape[0], 1))
