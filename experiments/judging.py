"""The response models of a run against customers and weeks that they have not seen."""

from typing import Any

import numpy as np
import torch

from evaluation.response_fit import Predictions, deciles, judge_predictions, own_mean_rate
from experiments.config import Config
from experiments.history import PreparedHistory, recent_surprises
from history.panel import Panel
from history.splits import Split
from simulators.fit import FIRST_CAMPAIGN_WEEK, campaign_types, customer_weeks, targeted_campaigns
from simulators.fitting import mean_spend_given_visit, mean_visit_probability
from simulators.redemption import fit_redemption
from simulators.response import ResponseModel


def judge_visits(response: ResponseModel, history: PreparedHistory) -> dict[str, Any] | None:
    """Judge the test customers' chance of a visit next week, beside each one's own mean rate before the test weeks.

    As in the market, the chances stand on the level of the customers' last weeks before.
    """
    panel, split = history.panel, history.splits.test
    rows = customer_weeks(panel, split)
    past = (panel.events.baskets[split.customers][:, 1 : split.weeks.start] > 0).astype(np.float64)
    level = recent_surprises(response, panel, split, split.weeks.start)
    logits = [baseline.visit_logit + level.visit for baseline in response.baseline_of_all(rows.features)]
    return judge_predictions(
        Predictions(
            customer=rows.customer.numpy(),
            outcome=(rows.baskets > 0).double().numpy(),
            predicted=torch.sigmoid(torch.stack(logits)).mean(dim=0).double().numpy(),
            reference=own_mean_rate(past, len(split.weeks)),
        )
    )


def judge_spend(response: ResponseModel, panel: Panel, split: Split) -> list[dict[str, float]]:
    """Return predicted and recorded spend of weeks with a visit, by decile [currency]."""
    rows = customer_weeks(panel, split)
    seen = rows.where(rows.baskets > 0)
    return deciles(mean_spend_given_visit(response, seen.features).double().numpy(), seen.spend.double().numpy())


def judge_redemption(config: Config, history: PreparedHistory, response: ResponseModel) -> dict[str, Any] | None:
    """Judge redemption on the test customers' campaigns that begin after training, fitted on the others' earlier ones.

    A campaign that goes on after the data is judged by the weeks that were seen of it.
    """
    train, test = history.splits.train, history.splits.test
    starts = range(FIRST_CAMPAIGN_WEEK, train.weeks.stop)
    earlier = targeted_campaigns(history.panel, history.targeting, train, starts, until=train.weeks.stop)
    starts = range(train.weeks.stop, test.weeks.stop)
    later = targeted_campaigns(history.panel, history.targeting, test, starts, until=test.weeks.stop)
    if len(earlier) == 0 or len(later) == 0:
        return None
    model = fit_redemption(earlier, config.market.response.members, config.seed)
    rows = Predictions(
        customer=later.customer.numpy(),
        outcome=later.redeemed.double().numpy(),
        predicted=model.chance(later, mean_visit_probability(response, later.features)).numpy(),
        reference=np.full(len(later), float(earlier.redeemed.mean())),
    )
    judged = judge_predictions(rows)
    if judged is None:
        return None
    kind = later.kind.numpy()
    by_type = {
        str(name): judge_predictions(rows.where(kind == code))
        for code, name in enumerate(campaign_types(history.targeting))
        if (kind == code).any()
    }
    return {**judged, "by_type": by_type, "censored": int((~later.ended).sum())}
