"""The log's campaigns as household-campaigns: who was targeted, what was known before, what came before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from history.exposures import Exposures, sample_step
from history.features import FEATURES
from history.panel import Panel
from simulators.effects.crossfit import Floats, Ints
from simulators.effects.doubly_robust import Units

PLACEBO_WEEKS: Final = 6
"""Weeks right before a campaign that the placebo looks at; its covariates end before them."""
HISTORY_WEEKS: Final = 6
"""Fewest weeks before those, to know a household by."""
FEWEST_WEEKS: Final = 4
"""Fewest weeks of a campaign that must lie in the data, if it is that long."""
OUTCOMES: Final = ("spend", "visits", "control")
"""Columns of the outcomes: spend, active weeks, spend in departments without a coupon; each per week."""
EXTRA: Final = ("spend_6w_mean", "spend_13w_mean", "visits_6w_mean", "campaigns_before")
CONTROL: Final = "control_spend_13w_mean"


@dataclass(frozen=True, eq=False)
class Campaign:
    """One logged campaign: weeks [start, stop) by position, cut where the data end, and its households' positions."""

    name: str
    kind: str
    start: int
    stop: int
    members: Ints


@dataclass(frozen=True, eq=False)
class Bundles:
    """Household-campaigns, n rows.

    Attributes:
        after: Covariates of the weeks before the campaign, outcomes of its weeks; columns as `OUTCOMES`.
        before: The same for the weeks before it: covariates end `PLACEBO_WEEKS` before the campaign, outcomes are those
            of the weeks between. Nothing a campaign does can be seen there.
        change: Outcomes of the campaign less those of as many weeks right before it, shape (n, 3).
        within: Outcomes of the campaign less those of all other weeks, of the same household, shape (n, 3).
        kind: Type of the row's campaign, shape (n,).
        weeks: Length of each campaign's outcome, by number of campaign.
        names: Names of the covariates.
        has_control: Whether departments without a coupon are known.
    """

    after: Units
    before: Units
    change: Floats
    within: Floats
    kind: Any
    weeks: Ints
    names: tuple[str, ...]
    has_control: bool

    def __len__(self) -> int:
        return len(self.after)

    def of_kind(self, kind: str) -> "Bundles":
        keep = np.asarray(self.kind == kind)
        return Bundles(
            self.after.where(keep), self.before.where(keep), self.change[keep], self.within[keep], self.kind[keep],
            self.weeks, self.names, self.has_control,
        )  # fmt: skip


def logged_campaigns(panel: Panel, targeting: pd.DataFrame, weeks: range) -> list[Campaign]:
    """Return the campaigns that start in `weeks`, late enough to know a household before, with enough weeks in them."""
    first = int(panel.events.weeks[0])
    earliest = max(PLACEBO_WEEKS + HISTORY_WEEKS, weeks.start)
    campaigns = []
    for name, rows in targeting.groupby("campaign_id", sort=True):
        start, end = int(rows["start_week"].iloc[0]) - first, int(rows["end_week"].iloc[0]) - first + 1
        stop = min(end, weeks.stop)
        if start >= earliest and stop - start >= min(FEWEST_WEEKS, end - start):
            members = np.unique(rows["customer"].to_numpy(dtype=np.int64))
            campaigns.append(Campaign(str(name), str(rows["campaign_type"].iloc[0]), start, stop, members))
    return campaigns


def collect_bundles(
    panel: Panel, targeting: pd.DataFrame, exposures: Exposures | None, customers: Ints, weeks: range
) -> Bundles | None:
    """Cut household-campaigns out of the panel; None without a campaign that can be looked at.

    Args:
        panel: All customers and weeks.
        targeting: One row per customer and campaign, as `prepare` writes it.
        exposures: Spend by department and the coupons' departments, or None.
        customers: Positions of the households to use; of a big shop, those that exposures were kept of.
        weeks: Positions of the weeks in which campaigns may start and their outcomes lie.
    """
    customers = customers[customers % sample_step(panel.events.n) == 0]
    campaigns = logged_campaigns(panel, targeting, weeks)
    if not campaigns or not len(customers):
        return None
    last = weeks.stop
    series = {
        "spend": panel.events.spend[customers, :last].astype(np.float64),
        "visits": (panel.events.baskets[customers, :last] > 0).astype(np.float64),
    }
    by_department = _by_department(exposures, customers, last) if exposures is not None else {}
    has_control = bool(by_department) and exposures is not None and len(exposures.covered) > 0
    parts = []
    for number, campaign in enumerate(campaigns):
        control = _control(exposures, by_department, campaign, series["spend"])
        parts.append(_rows(panel, customers, campaign, number, series | {"control": control}))
    kinds = np.concatenate([np.full(len(customers), campaign.kind, dtype=object) for campaign in campaigns])
    return Bundles(
        after=_join([p[0] for p in parts]),
        before=_join([p[1] for p in parts]),
        change=np.concatenate([p[2] for p in parts]),
        within=np.concatenate([p[3] for p in parts]),
        kind=kinds,
        weeks=np.array([c.stop - c.start for c in campaigns]),
        names=(*FEATURES, *EXTRA, CONTROL),
        has_control=has_control,
    )


def _rows(
    panel: Panel, customers: Ints, campaign: Campaign, number: int, series: Mapping[str, Floats]
) -> tuple[Units, Units, Floats, Floats]:
    start, length = campaign.start, campaign.stop - campaign.start
    treated, label = np.isin(customers, campaign.members), np.full(len(customers), number)
    early = start - PLACEBO_WEEKS

    def mean(first: int, stop: int) -> Floats:
        return np.stack([values[:, first:stop].mean(axis=1) for values in series.values()], axis=1)

    during = mean(start, campaign.stop)
    total = np.stack([values.sum(axis=1) for values in series.values()], axis=1)
    weeks = series["spend"].shape[1]
    elsewhere = (total - during * length) / max(weeks - length, 1)

    def known(position: int) -> Floats:
        control = np.log1p(series["control"][:, max(position - 13, 0) : position].mean(axis=1))
        return np.column_stack([covariates(panel, customers, position), control])

    return (
        Units(known(start), treated, during, customers, label),
        Units(known(early), treated, mean(early, start), customers, label),
        during - mean(max(start - length, 0), start),
        during - elsewhere,
    )


def covariates(panel: Panel, customers: Ints, position: int) -> Floats:
    """Return what was known of customers before the week at `position`, shape (n, len(FEATURES) + len(EXTRA))."""
    events = panel.events
    spend = events.spend[customers, :position].astype(np.float64)
    visits = (events.baskets[customers, max(position - 6, 0) : position] > 0).mean(axis=1)
    extra = [
        np.log1p(spend[:, -6:].mean(axis=1)),
        np.log1p(spend[:, -13:].mean(axis=1)),
        visits,
        events.contacted[customers, :position].sum(axis=1),
    ]
    known = panel.features[:, position][customers].numpy().astype(np.float64)
    return np.concatenate([known, np.stack(extra, axis=1)], axis=1)


def _by_department(exposures: Exposures, customers: Ints, last: int) -> dict[str, Floats]:
    """Return the weekly spend of each department, shape (n, last) each."""
    place = pd.Series(np.arange(len(customers)), index=customers)
    rows = exposures.departments
    rows = rows[rows["customer"].isin(place.index) & (rows["slot"] < last)]
    dense = {}
    for name, part in rows.groupby("department", sort=True):
        values = np.zeros((len(customers), last))
        values[place[part["customer"]].to_numpy(), part["slot"].to_numpy()] = part["spend"].to_numpy()
        dense[str(name)] = values
    return dense


def _control(
    exposures: Exposures | None, by_department: Mapping[str, Floats], campaign: Campaign, like: Floats
) -> Floats:
    """Return the weekly spend in departments for which the campaign had no coupon, shape (n, last)."""
    if exposures is None or not by_department:
        return np.zeros_like(like)
    covered = exposures.covered
    touched = set(covered.loc[covered["campaign_id"] == campaign.name, "department"])
    free = [values for name, values in by_department.items() if name not in touched]
    return np.sum(free, axis=0) if free else np.zeros_like(like)


def _join(parts: list[Units]) -> Units:
    names = ("x", "treated", "outcomes", "household", "campaign")
    return Units(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
