"""Logged decisions as a market would show them to a policy, with what came of each in the weeks after it."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from campaigns.errors import InputError
from campaigns.offers import Catalog
from history.events import WeeklyEvents
from history.exposures import sample_step
from history.feedback import LoggedFeedback
from history.panel import Panel, states_before
from history.parts import of_customers
from history.splits import Split
from simulators.effects.crossfit import cross_fit, curved, dummies, fold_of, ridge
from simulators.market import Market, look, open_market
from simulators.observation import Observer

MOST_WEEKS: Final = 8
"""Most weeks after a decision, its own included, whose outcome is kept."""
MOST_ROUNDS: Final = 200_000
"""Most decisions that are kept: of more, those of every k-th customer."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LoggedRounds:
    """n decisions of a log in a market's words, sorted by week, then customer.

    Attributes:
        feature_names: Of the columns of `features`.
        features: What a policy would have seen, shape (n, n_features), float32.
        mask: Offers that the market's rules allow, shape (n, n_actions), bool.
        action: The offer that was given, shape (n,), int64; of campaigns 1 where one began (`logged_campaigns`).
        pscore: Its logged chance, shape (n,), float64; NaN where it is not known.
        customer: Position in the panel, shape (n,), int64.
        weeks: Weeks from the decision's own to the end of the split, shape (n,), int64.
        net, cost: Realised margin less cost, and promo and contact cost, of the first 1, 2, ... weeks, the decision's
            own included, shape (n, MOST_WEEKS) [currency]; beyond `weeks` nothing more is added.
        left_out: Decisions of the split's customers and weeks that are not among them, by the reason why.
    """

    feature_names: tuple[str, ...]
    features: NDArray[np.float32]
    mask: NDArray[np.bool_]
    action: Ints
    pscore: Floats
    customer: Ints
    weeks: Ints
    net: Floats
    cost: Floats
    left_out: dict[str, int]

    @property
    def n(self) -> int:
        return len(self.action)

    def followed_for(self, weeks: int) -> "LoggedRounds":
        """Return the decisions whose first `weeks` weeks all lie in the split."""
        keep = self.weeks >= weeks
        columns = ("features", "mask", "action", "pscore", "customer", "weeks", "net", "cost")
        return replace(self, **{name: getattr(self, name)[keep] for name in columns})

    def credited(self, weeks: int, seed: int) -> LoggedFeedback:
        """Return the decisions whose first `weeks` weeks all lie in the split, each credited with what these brought.

        Of each outcome is taken off what customers like that bring in such a week who get nothing, predicted from the
        decisions for no offer of other customers: a market tells an offer's uplift, and what is the same for all offers
        is only noise.

        Args:
            weeks: 1 to `MOST_WEEKS`.
            seed: Of the folds.
        """
        kept = self.followed_for(weeks)
        outcome = np.stack([kept.net[:, weeks - 1], kept.cost[:, weeks - 1]], axis=1)
        if kept.n:
            seen, week = curved(kept.features.astype(np.float64)), dummies(kept.weeks)
            x, fold = np.concatenate([seen, week], axis=1), fold_of(kept.customer, seed)
            outcome = outcome - cross_fit(ridge(), x, outcome, fold, kept.action == 0)
        return LoggedFeedback(
            feature_names=kept.feature_names,
            features=kept.features,
            mask=kept.mask,
            action=kept.action,
            reward=outcome[:, 0],
            cost=outcome[:, 1],
            pscore=kept.pscore,
        )


def offers_of(decisions: pd.DataFrame, catalog: Catalog, file: str) -> Ints:
    """Return the place in the catalog of each decision's offer, shape (n,).

    Args:
        decisions: As `history.decisions.read_decisions` returns them.
        catalog: The offers.
        file: Where the decisions come from, for the message.

    Raises:
        InputError: An offer is none of the catalog's.
    """
    names = decisions["offer"].astype("str")
    unknown = decisions[~names.isin(catalog.names)]
    if len(unknown):
        first = unknown.sort_values("row").iloc[0]
        raise InputError(
            f"{file}: table 'decisions', row {first['row']}: offer is {first['offer']!r}; expected one of the "
            f"catalog's ({', '.join(catalog.names)}): write its name there, or add it to the offers"
        )
    place = {name: place for place, name in enumerate(catalog.names)}
    return np.array([place[name] for name in names], dtype=np.int64)


def collect_rounds(
    market: Market,
    observer: Observer,
    panel: Panel,
    split: Split,
    decisions: pd.DataFrame,
    offer: Ints,
    forbidden_too: bool = False,
) -> LoggedRounds:
    """Show the decisions of a split's customers and weeks as the market would.

    A decision stands at its place in a campaign as if campaigns followed one another, so that what is learned does not
    lean on how far a campaign is. Left out are decisions while an earlier offer may still have lived, in which the
    market's rules allow nothing, and for an offer that they would not have allowed.

    Args:
        market: Whose catalog, rules, margins and features count; on the CPU.
        observer: Of the policies that are to learn from it, or to be judged by it.
        panel: All customers and weeks.
        split: Whose decisions, and of which weeks: nothing outside them is looked at but what came before.
        decisions: As `history.decisions.read_decisions` returns them.
        offer: Place of each decision's offer in the catalog.
        forbidden_too: Keep the decisions for an offer that today's rules forbid: who is judged by a log must meet all
            of its contexts, whatever was drawn in them.
    """
    slot, customer = decisions["slot"].to_numpy(np.int64), decisions["customer"].to_numpy(np.int64)
    given = _spread(panel, slot, customer, offer)
    mine = np.isin(customer, split.customers) & (slot >= split.weeks.start) & (slot < split.weeks.stop)
    step = max(sample_step(panel.events.n), -(-int(mine.sum()) // MOST_ROUNDS))
    mine &= customer % step == 0
    lives = market.columns.weeks.numpy()
    busy = _busy(given, lives)[customer, slot]
    left_out = {"an earlier offer may still have lived": int((mine & busy).sum())}
    rows = np.flatnonzero(mine & ~busy)
    features, mask = seen_before(market, observer, panel, slot[rows], customer[rows])
    choice, allowed = mask.sum(axis=1) > 1, mask[np.arange(len(rows)), offer[rows]] | forbidden_too
    left_out["the rules of today allow no offer"] = int((~choice).sum())
    left_out["the rules of today forbid the offer"] = int((choice & ~allowed).sum())
    keep = choice & allowed
    rows = rows[keep]
    net, cost = outcomes(market, panel.events, given, slot[rows], customer[rows], split.weeks.stop)
    return LoggedRounds(
        feature_names=observer.layout(market).feature_names,
        features=features[keep],
        mask=mask[keep],
        action=offer[rows],
        pscore=decisions["pscore"].to_numpy(np.float64)[rows],
        customer=customer[rows],
        weeks=split.weeks.stop - slot[rows],
        net=net,
        cost=cost,
        left_out=left_out,
    )


def _spread(panel: Panel, slot: Ints, customer: Ints, offer: Ints) -> Ints:
    """Return the offer given to each customer in each week, 0 where none was, shape (n_customers, n_weeks)."""
    given = np.zeros((panel.events.n, panel.n_weeks), dtype=np.int64)
    given[customer, slot] = offer
    return given


def _busy(given: Ints, lives: Ints) -> NDArray[np.bool_]:
    """Return the weeks in which an offer of an earlier week may still live, shape (n_customers, n_weeks)."""
    busy = np.zeros(given.shape, dtype=bool)
    life = np.where(given > 0, lives[given], 0)
    for later in range(1, int(lives.max(initial=1))):
        busy[:, later:] |= life[:, :-later] > later
    return busy


def seen_before(
    market: Market, observer: Observer, panel: Panel, slot: Ints, customer: Ints
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return features and mask before each decision; rows are sorted by week."""
    width, n_actions = len(observer.layout(market).feature_names), market.n_actions
    features = np.zeros((len(slot), width), dtype=np.float32)
    mask = np.zeros((len(slot), n_actions), dtype=bool)
    if not len(slot):
        return features, mask
    who = np.unique(customer)
    place = np.searchsorted(who, customer)
    weeks = range(int(slot.min()), int(slot.max()) + 1)
    for week, state in zip(weeks, states_before(of_customers(panel.events, who), weeks), strict=True):
        here = np.flatnonzero(slot == week)
        if not len(here):
            continue
        start = state.take(torch.from_numpy(place[here]))
        opened = open_market(market, start, torch.zeros(len(here), dtype=torch.int64))
        opened = replace(opened, week=week % market.horizon.campaign_weeks)
        context = observer.observe(market, opened, look(market, opened), torch.zeros(len(here)))
        features[here], mask[here] = context.features.numpy(), context.mask.numpy()
    return features, mask


def outcomes(
    market: Market, events: WeeklyEvents, given: Ints, slot: Ints, customer: Ints, stop: int
) -> tuple[Floats, Floats]:
    """Return net margin and cost of the first weeks from each decision on, summed up, each (n, MOST_WEEKS).

    Args:
        market: Whose margins and contact costs count.
        events: Of all customers and weeks.
        given: Offer given to each customer in each week, shape (n_customers, n_weeks).
        slot, customer: Of each decision, shape (n,).
        stop: Position of the first week that must not be seen.
    """
    margin, contact = market.categories.margin.double().numpy(), market.columns.contact.numpy() / 100.0
    net, cost = (np.zeros((len(slot), MOST_WEEKS)) for _ in range(2))
    for later in range(MOST_WEEKS):
        week = np.minimum(slot + later, stop - 1)
        paid = events.saving[customer, week].astype(np.float64) + contact[given[customer, week]]
        earned = events.category_spend[customer, week].astype(np.float64) @ margin
        inside = slot + later < stop
        cost[:, later], net[:, later] = np.where(inside, paid, 0.0), np.where(inside, earned - paid, 0.0)
    return net.cumsum(axis=1), cost.cumsum(axis=1)
