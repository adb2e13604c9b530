"""Learning the product recommender: fitted on the training customers, chosen by the validation customers.

The training weeks give factors and towers. The weeks of validation, of training customers, give the two models on top
of them, which so never see scores that were fitted to what they are to predict; validation customers in the same weeks
choose between candidates. Test customers and test weeks are not touched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from history.panel import Panel, states_before
from history.purchases import Purchases
from history.splits import Splits
from history.state import State
from simulators.recommender.assortment import Assortment, build_assortment
from simulators.recommender.factors import CANDIDATES, Factors, fit_factors
from simulators.recommender.habits import Habits, no_habits, refresh_habits
from simulators.recommender.models import DISCOVERING, MODELS, Moment, Recommender, factors, moment, weights
from simulators.recommender.rhythm import HORIZON, Rhythm, fit_rhythm, pair_features, product_facts
from simulators.recommender.towers import Positives, Towers, customer_inputs, fit_towers, log_popularity

Flags = NDArray[np.bool_]

LEAST_PRODUCTS: Final = 2
"""Products with enough buyers without which nothing is recommended."""
CALIBRATED_CUSTOMERS: Final = 100
"""Training customers whose every pair the calibration looks at."""
_LIST: Final = 10
_OUTLOOKS: Final = 4
"""Weeks, evenly over the training weeks, from which the towers look ahead."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """Habits and states of all customers before some weeks, and what they bought from there on.

    Attributes:
        panel, purchases: All customers and weeks.
        assortment: The products.
        habits, states: By position of the week.
    """

    panel: Panel
    purchases: Purchases
    assortment: Assortment
    habits: Mapping[int, Habits]
    states: Mapping[int, State]

    def moment(self, week: int, customers: NDArray[np.int64]) -> Moment:
        """Look at some customers before a week."""
        habits = self.habits[week]
        return moment(habits, product_facts(habits), self.states[week], customers)

    def bought(self, start: int, stop: int, customers: NDArray[np.int64]) -> Flags:
        """Return which products some customers bought in the weeks start to stop - 1, shape (n, m)."""
        later = self.purchases.between(start, stop)
        place = np.full(self.panel.events.n, -1, dtype=np.int64)
        place[customers] = np.arange(len(customers))
        row, column = place[later.customer], self.assortment.code[later.product]
        flags = np.zeros((len(customers), self.assortment.n), dtype=bool)
        both = (row >= 0) & (column >= 0)
        flags[row[both], column[both]] = True
        return flags


def had(habits: Habits) -> Flags:
    """Return which products each customer ever bought, shape (n, m)."""
    flags = np.zeros(habits.shape, dtype=bool)
    flags[habits.customer, habits.product] = True
    return flags


def outlooks(splits: Splits) -> list[int]:
    """Return the weeks from which the towers look ahead within the training weeks."""
    first, last = splits.train.weeks.start, max(splits.train.weeks.stop - HORIZON, splits.train.weeks.start)
    return sorted({int(week) for week in np.linspace(first, last, _OUTLOOKS)})


def unroll(panel: Panel, purchases: Purchases, splits: Splits, seed: int) -> Timeline:
    """Choose the products on the training split and follow all customers over the weeks that are looked at."""
    train = np.zeros(panel.events.n, dtype=bool)
    train[splits.train.customers] = True
    learned = purchases.before(splits.train.weeks.stop)
    assortment = build_assortment(purchases, learned.where(train[learned.customer]), seed)
    starts = (*outlooks(splits), splits.validation.weeks.start, splits.test.weeks.start)
    weeks = sorted({*starts, panel.n_weeks})
    habits: dict[int, Habits] = {}
    current = no_habits((panel.events.n, assortment.n))
    for week in weeks:
        current = refresh_habits(current, purchases, assortment, week)
        habits[week] = current
    states = dict(zip(range(weeks[-1] + 1), states_before(panel.events, range(weeks[-1] + 1)), strict=True))
    return Timeline(panel, purchases, assortment, habits, {week: states[week] for week in weeks})


def refusal(timeline: Timeline) -> str:
    """Say why no product can be recommended; "" where they can."""
    if timeline.assortment.n < LEAST_PRODUCTS:
        return (
            f"products: not recommended, the history has {timeline.assortment.n} with enough buyers in the training "
            "split; what is promoted is a category alone"
        )
    return ""


def fit_recommender(timeline: Timeline, splits: Splits, seed: int) -> Recommender:
    """Fit all models on a timeline that `refusal` does not refuse; same seed, same recommender."""
    start = splits.validation.weeks.start
    stop = splits.validation.weeks.stop
    bare = Recommender(
        timeline.assortment,
        Factors(np.zeros((timeline.assortment.n, 1), dtype=np.float32), CANDIDATES[0]),
        _fit_towers(timeline, splits, seed),
        Rhythm(torch.zeros(1), torch.ones(1), ()),
        "popularity",
        1.0,
        0.0,
    )
    judges = splits.validation.customers
    there = timeline.moment(start, judges)
    new = timeline.bought(start, stop, judges) & ~had(there.habits)
    own = timeline.habits[splits.validation.weeks.start].of(splits.train.customers)
    matrix = own.matrix(weights(own))
    candidates = [replace(bare, factors=fit_factors(matrix, config, seed)) for config in CANDIDATES]
    best = max(candidates, key=lambda one: _found(factors(one, there), new, there.habits))
    discovery = max(DISCOVERING, key=lambda name: _found(MODELS[name](best, there), new, there.habits))
    slope, intercept = _calibrate(replace(best, discovery=discovery), timeline, splits)
    rhythm = _fit_rhythm(best, timeline, splits, seed)
    return replace(best, rhythm=rhythm, discovery=discovery, slope=slope, intercept=intercept)


def _found(scores: NDArray[np.float32], new: Flags, habits: Habits) -> float:
    """Return the mean share of the first products of each list, new to the customer, that are bought later."""
    unknown = np.where(had(habits), -np.inf, scores)
    k = min(_LIST, scores.shape[1])
    first = np.argpartition(-unknown, k - 1, axis=1)[:, :k]
    return float(np.take_along_axis(new, first, axis=1).mean())


def _fit_towers(timeline: Timeline, splits: Splits, seed: int) -> Towers:
    inputs, popularity, rows, weeks, products = [], [], [], [], []
    customers, assortment = splits.train.customers, timeline.assortment
    for number, week in enumerate(outlooks(splits)):
        seen = timeline.moment(week, customers)
        later = timeline.bought(week, min(week + HORIZON, splits.train.weeks.stop), customers)
        row, product = np.nonzero(later & ~assortment.held_out)
        inputs.append(customer_inputs(seen.state, seen.habits, assortment))
        popularity.append(log_popularity(seen.facts, seen.customers))
        rows.append(row + number * len(customers))
        weeks.append(np.full(len(row), number))
        products.append(product)
    positives = Positives(
        torch.cat(inputs),
        torch.stack(popularity),
        np.concatenate(rows),
        np.concatenate(weeks),
        np.concatenate(products),
    )
    return fit_towers(positives, torch.from_numpy(assortment.vectors), seed)


def _fit_rhythm(recommender: Recommender, timeline: Timeline, splits: Splits, seed: int) -> Rhythm:
    """Fit the rhythm on training customers in the weeks of validation."""
    start = splits.validation.weeks.start
    seen = timeline.moment(start, splits.train.customers)
    pair = seen.habits.customer, seen.habits.product
    again = timeline.bought(start, splits.validation.weeks.stop, splits.train.customers)[pair]
    features = pair_features(seen.habits, seen.facts, factors(recommender, seen)[pair])
    return fit_rhythm(features, again, seed)


def _calibrate(recommender: Recommender, timeline: Timeline, splits: Splits) -> tuple[float, float]:
    """Return slope and intercept of a logistic regression of later purchases on the discovering model's score."""
    start, customers = splits.validation.weeks.start, splits.train.customers[:CALIBRATED_CUSTOMERS]
    seen = timeline.moment(start, customers)
    scores = MODELS[recommender.discovery](recommender, seen)
    unknown = ~had(seen.habits)
    bought = timeline.bought(start, splits.validation.weeks.stop, customers)[unknown]
    return fit_line(scores[unknown].astype(np.float64), bought)


def fit_line(scores: NDArray[np.float64], bought: Flags) -> tuple[float, float]:
    """Return slope (>= 0) and intercept of a logistic regression by Newton's method, lightly drawn to zero."""
    if not len(scores):
        return 0.0, -6.0
    middle, spread = float(scores.mean()), max(float(scores.std()), 1e-6)
    rows = np.stack([(scores - middle) / spread, np.ones(len(scores))], axis=1)
    share = float(np.clip(bought.mean(), 1e-6, 1.0 - 1e-6))
    line = np.array([0.0, np.log(share / (1.0 - share))])
    for _ in range(25):
        chance = expit(rows @ line)
        gradient = rows.T @ (bought - chance) - 0.5 * line
        curvature = (rows * (chance * (1.0 - chance))[:, None]).T @ rows + 0.5 * np.eye(2)
        step = np.clip(np.linalg.solve(curvature, gradient), -1.0, 1.0)
        line = line + step
        if np.abs(step).max() < 1e-6:
            break
    slope = max(float(line[0]), 0.0) / spread
    return slope, float(line[1]) - slope * middle
