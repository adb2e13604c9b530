"""From the panel to a fitted world: cut one split's rows, fit its models, say where each number came from."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from history.features import features, taste
from history.panel import Panel, states_before, week_events
from history.parts import newcomers_before
from history.splits import Split
from simulators.fitting import CategoryWeeks, CustomerWeeks, ResponseConfig, fit_response, join_weeks
from simulators.observation import Observer
from simulators.promotion import Categories
from simulators.provenance import Origin, Parameter
from simulators.redemption import RedemptionModel, TargetedCampaigns, fit_redemption
from simulators.response import ResponseModel
from simulators.shopping import spend_given_visit
from simulators.worlds import FittedWorld, MarketConfig

FIRST_CAMPAIGN_WEEK = 2
"""Position of the first week whose campaigns are learned from: before it nothing is known of a customer."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted world and the models behind it."""

    world: FittedWorld
    redemption: RedemptionModel


def fit_world(
    panel: Panel, targeting: pd.DataFrame, split: Split, categories: Categories, config: ResponseConfig, seed: int
) -> Fit:
    """Fit response and redemption on one split's customers and weeks.

    Args:
        panel: All customers and weeks.
        targeting: One row per customer and logged campaign, as `prepare` writes it.
        split: Whose rows to use; nothing of other customers or later weeks is touched.
        categories: What is sold.
        config: Of the response ensemble.
        seed: Same seed, same fit.
    """
    redemption = fit_redemption(known_campaigns(panel, targeting, split), config.members, seed)
    rows = category_weeks(panel, split)
    response = fit_response(rows, redemption, config, seed, newcomer_weeks(panel, split))
    observer = Observer(response.mean, response.scale)
    return Fit(FittedWorld(response, observer, categories), redemption)


def customer_weeks(panel: Panel, split: Split) -> CustomerWeeks:
    """Cut a split's customers and weeks out of the panel, customer by customer."""
    weeks = np.arange(split.weeks.start, split.weeks.stop)
    index = np.ix_(split.customers, weeks)
    customers, events = torch.from_numpy(split.customers), panel.events

    def cut(values: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(values[index]).flatten(0, 1)

    return CustomerWeeks(
        customer=customers.repeat_interleave(len(weeks)),
        week=torch.from_numpy(weeks).repeat(len(customers)),
        features=panel.features[customers, split.weeks.start : split.weeks.stop].flatten(0, 1),
        baskets=cut(events.baskets),
        spend=cut(events.spend),
        promo_spend=cut(events.promo_spend),
    )


def category_weeks(panel: Panel, split: Split) -> CategoryWeeks:
    """Cut the same with their categories, for which the history is replayed."""
    rows, customers = customer_weeks(panel, split), torch.from_numpy(split.customers)
    shares = [taste(state.take(customers)) for state in states_before(panel.events, split.weeks)]
    spend = panel.events.category_spend[np.ix_(split.customers, np.arange(split.weeks.start, split.weeks.stop))]
    return CategoryWeeks(
        **vars(rows),
        taste=torch.stack(shares, dim=1).flatten(0, 1),
        category_spend=torch.from_numpy(spend).flatten(0, 1),
    )


def newcomer_weeks(panel: Panel, split: Split) -> CustomerWeeks:
    """Cut a split's weeks of customers as if they were new: all before their last one to four weeks hidden."""
    events, chosen = panel.events, torch.zeros(panel.events.n, dtype=torch.bool)
    chosen[torch.from_numpy(split.customers)] = True
    parts = []
    for position in split.weeks:
        state, new = newcomers_before(events, position)
        rows = torch.nonzero(new & chosen).squeeze(1)
        known, week = state.take(rows), week_events(events, position)
        parts.append(
            CustomerWeeks(
                customer=rows,
                week=torch.full_like(rows, position),
                features=features(known),
                baskets=week.baskets[rows],
                spend=week.spend[rows],
                promo_spend=week.promo_spend[rows],
            )
        )
    return join_weeks(parts)


def known_campaigns(panel: Panel, targeting: pd.DataFrame, split: Split) -> TargetedCampaigns:
    """Cut all of a split's campaigns up to the end of its weeks out of the log."""
    starts = range(FIRST_CAMPAIGN_WEEK, split.weeks.stop)
    return targeted_campaigns(panel, targeting, split, starts, until=split.weeks.stop)


def targeted_campaigns(
    panel: Panel, targeting: pd.DataFrame, split: Split, weeks: range, until: int
) -> TargetedCampaigns:
    """Cut a split's targeted customer-campaigns that start in `weeks` (positions) out of the log.

    Args:
        panel: All customers and weeks.
        targeting: One row per customer and logged campaign, as `prepare` writes it.
        split: Whose campaigns.
        weeks: In which they start.
        until: Position of the first week that must not be seen: a campaign that goes on is censored there.
    """
    position = {panel.events.customer_ids[i]: int(i) for i in split.customers}
    first = int(panel.events.weeks[0])
    start = targeting["start_week"].to_numpy() - first
    rows = targeting[targeting["customer_id"].isin(position) & (start >= weeks.start) & (start < weeks.stop)]
    customer = torch.tensor([position[c] for c in rows["customer_id"]], dtype=torch.int64)
    begin = torch.from_numpy(rows["start_week"].to_numpy(dtype=np.int64) - first)
    length = torch.from_numpy(np.maximum(rows["duration_weeks"].to_numpy(dtype=np.int64), 1))
    age = torch.arange(int(length.max()) if len(rows) else 1)
    week = begin.unsqueeze(1) + age
    redeemed = torch.from_numpy(rows["first_redeem_week"].to_numpy(dtype=np.float64, na_value=-1.0)) - first
    followed = (age < length.unsqueeze(1)) & (week < until)
    baskets = torch.from_numpy(panel.events.baskets)
    return TargetedCampaigns(
        customer=customer,
        features=panel.features[customer, begin],
        terms=campaign_terms(rows, targeting),
        followed=followed,
        visited=baskets[customer.unsqueeze(1), week.clamp(max=panel.n_weeks - 1)] > 0,
        redeemed_in=followed & (week == redeemed.unsqueeze(1)),
        ended=begin + length <= until,
        begin=begin,
        kind=torch.from_numpy(np.searchsorted(campaign_types(targeting), rows["campaign_type"].to_numpy(dtype=str))),
    )


def campaign_types(targeting: pd.DataFrame) -> NDArray[np.str_]:
    """Return the log's types of campaign in order, as `TargetedCampaigns.kind` counts them."""
    return np.unique(targeting["campaign_type"].to_numpy(dtype=str))


def campaign_terms(rows: pd.DataFrame, log: pd.DataFrame) -> Tensor:
    """Return log coupons, log weeks and flags of the log's two most frequent campaign types, shape (n, 4)."""
    common = log["campaign_type"].value_counts(sort=True).index[:2].tolist() if len(log) else []
    columns = [
        np.log1p(rows["n_coupons"].to_numpy(dtype=np.float32)),
        np.log(np.maximum(rows["duration_weeks"].to_numpy(dtype=np.float32), 1.0)),
        *((rows["campaign_type"] == kind).to_numpy(dtype=np.float32) for kind in common),
    ]
    columns += [np.zeros(len(rows), dtype=np.float32)] * (4 - len(columns))
    return torch.from_numpy(np.stack(columns, axis=1))


def describe_fit(fit: Fit, rows: CustomerWeeks, config: MarketConfig) -> list[Parameter]:
    """Return provenance of what was learned, at the level of its mean over the split, and of the assumed margin.

    The standard error is the spread over the ensemble, whose members saw different bootstraps of the customers.
    """
    response: ResponseModel = fit.world.response
    by_member = response.baseline_of_all(rows.features)
    visit = torch.stack([torch.sigmoid(b.visit_logit).mean() for b in by_member])
    spend = torch.stack([spend_given_visit(response.visit, b).mean() for b in by_member])
    baskets = torch.stack([1.0 + b.extra_baskets.mean() for b in by_member])
    source = f"{len(rows)} customer-weeks of the training split; {response.family.value} ensemble of {len(visit)}"
    redeemed = torch.sigmoid(fit.redemption.coefficients[:, -1])
    return [
        _learned("visit_rate", visit, "visits per customer-week", source),
        _learned("spend_given_visit", spend, "USD per week with a visit", source),
        _learned("baskets_given_visit", baskets, "baskets per week with a visit", source),
        Parameter(
            "redemption_of_a_bundle",
            float(redeemed.mean()),
            float(redeemed.std()),
            "chance per week with a visit, typical targeted campaign",
            Origin.LEARNED if fit.redemption.learned else Origin.ASSUMED,
            "logged campaigns of the training split"
            if fit.redemption.learned
            else "too few redemptions in the history",
        ),
        Parameter(
            "gross_margin",
            config.margin.default,
            (config.margin.high - config.margin.low) / 4,
            "share of shelf price",
            Origin.ASSUMED,
            config.margin.source,
        ),
    ]


def _learned(name: str, by_member: Tensor, unit: str, source: str) -> Parameter:
    return Parameter(name, float(by_member.mean()), float(by_member.std()), unit, Origin.LEARNED, source)
