"""The response models of a run against customers and weeks that they have not seen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from evaluation.response_fit import Predictions, deciles, judge_predictions, own_mean_rate
from experiments.config import Config
from experiments.history import PreparedHistory
from history.panel import Panel
from history.splits import Split
from simulators.fit import FIRST_CAMPAIGN_WEEK, customer_weeks, targeted_campaigns
from simulators.fitting import mean_spend_given_visit, mean_visit_probability
from simulators.redemption import TargetedCampaigns, fit_redemption
from simulators.response import ResponseModel


def judge_visits(response: ResponseModel, panel: Panel, split: Split) -> dict[str, Any] | None:
    """Judge the chance of a visit next week, beside each customer's own mean rate before the split's weeks."""
    rows = customer_weeks(panel, split)
    past = (panel.events.baskets[split.customers][:, 1 : split.weeks.start] > 0).astype(np.float64)
    return judge_predictions(
        Predictions(
            customer=rows.customer.numpy(),
            outcome=(rows.baskets > 0).double().numpy(),
            predicted=mean_visit_probability(response, rows.features).double().numpy(),
            reference=own_mean_rate(past, len(split.weeks)),
        )
    )


def judge_spend(response: ResponseModel, panel: Panel, split: Split) -> list[dict[str, float]]:
    """Return predicted and recorded spend of weeks with a visit, by decile [currency]."""
    rows = customer_weeks(panel, split)
    seen = rows.where(rows.baskets > 0)
    return deciles(mean_spend_given_visit(response, seen.features).double().numpy(), seen.spend.double().numpy())


@dataclass(frozen=True, eq=False)
class JudgedCampaigns:
    """Predictions of redemption for the test customers' campaigns of the test weeks, and the type of each campaign."""

    rows: Predictions
    types: tuple[str, ...]


def predict_redemption(config: Config, history: PreparedHistory) -> JudgedCampaigns | None:
    """Predict the test customers' later redemptions by what was learned from the others' earlier ones.

    Returns:
        None where either side has no campaign.
    """
    train, test = history.splits.train, history.splits.test
    earlier = targeted_campaigns(history.panel, history.targeting, train, range(FIRST_CAMPAIGN_WEEK, train.weeks.stop))
    later = targeted_campaigns(history.panel, history.targeting, test, range(train.weeks.stop, test.weeks.stop))
    if len(earlier) == 0 or len(later) == 0:
        return None
    model = fit_redemption(earlier, config.market.response.members, config.seed)
    base = torch.full((len(later),), float(earlier.redeemed.mean()), dtype=torch.float64)
    rows = Predictions(
        later.customer.numpy(), later.redeemed.double().numpy(), model.chance(later).numpy(), base.numpy()
    )
    return JudgedCampaigns(rows, _types(later, history.targeting))


def _types(campaigns: TargetedCampaigns, log: pd.DataFrame) -> tuple[str, ...]:
    """Return the type of each campaign in words: the log's two most frequent by name, the others together."""
    common = [str(name) or "without a type" for name in log["campaign_type"].value_counts(sort=True).index[:2]]
    flags = campaigns.terms[:, 2:4].numpy()
    names = np.array([*common, *["other types"] * (3 - len(common))])
    return tuple(str(name) for name in names[np.where(flags.max(axis=1) > 0, flags.argmax(axis=1), 2)])
