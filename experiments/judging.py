"""The response models of a run against customers and weeks that they have not seen."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.fidelity.judgement import Redemptions
from evaluation.fidelity.weekly import RECENT_WEEKS
from evaluation.response_fit import Predictions, deciles, judge_predictions, own_mean_rate
from experiments.config import Config
from experiments.history import PreparedHistory, recent_surprises
from history.panel import Panel
from history.splits import Split
from simulators.fit import campaign_types, customer_weeks, known_campaigns, targeted_campaigns
from simulators.fitting import mean_spend_given_visit, mean_visit_probability
from simulators.redemption import RedemptionModel, fit_redemption
from simulators.response import ResponseModel
from simulators.shocks import Level


@dataclass(frozen=True, eq=False)
class Learned:
    """What a run learned, to be held against the test split's record; on the CPU, where the record is.

    Attributes:
        response: Of the training market.
        level: What the test customers brought in the weeks before the test beyond what it predicts.
        redemption: Of the training customers' campaigns and weeks; None without any.
    """

    response: ResponseModel
    level: Level
    redemption: RedemptionModel | None


def gather_learned(config: Config, history: PreparedHistory, response: ResponseModel) -> Learned:
    """Gather what a run learned.

    Args:
        config: Of the redemption model.
        history: The record.
        response: Of the training market, on any device.
    """
    train, test = history.splits.train, history.splits.test
    earlier = known_campaigns(history.panel, history.targeting, train)
    response = response.to("cpu")
    return Learned(
        response,
        recent_surprises(response, history.panel, test, test.weeks.start),
        fit_redemption(earlier, config.market.response.members, config.seed) if len(earlier) else None,
    )


def judge_visits(learned: Learned, history: PreparedHistory) -> dict[str, Any] | None:
    """Judge the test customers' chance of a visit next week, beside each one's own mean rate before the test weeks.

    As in the market, the chances stand on the level of the customers' last weeks before.
    """
    panel, split = history.panel, history.splits.test
    rows = customer_weeks(panel, split)
    past = (panel.events.baskets[split.customers][:, 1 : split.weeks.start] > 0).astype(np.float64)
    baselines = learned.response.baseline_of_all(rows.features)
    logits = [baseline.visit_logit + learned.level.visit for baseline in baselines]
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


@dataclass(frozen=True, eq=False)
class JudgedCampaigns:
    """Predictions of redemption for the test customers' campaigns that begin after training, and each one's type."""

    rows: Predictions
    types: tuple[str, ...]
    censored: int  # campaigns that go on after the data


def predict_redemption(learned: Learned, history: PreparedHistory) -> JudgedCampaigns | None:
    """Predict the test customers' later redemptions by what was learned from the others' earlier ones.

    A campaign that goes on after the data is judged by the weeks that were seen of it.

    Returns:
        None where either side has no campaign.
    """
    train, test = history.splits.train, history.splits.test
    starts = range(train.weeks.stop, test.weeks.stop)
    later = targeted_campaigns(history.panel, history.targeting, test, starts, until=test.weeks.stop)
    model = learned.redemption
    if model is None or len(later) == 0:
        return None
    visit = mean_visit_probability(learned.response, later.features)
    rows = Predictions(
        customer=later.customer.numpy(),
        outcome=later.redeemed.double().numpy(),
        predicted=model.chance(later, visit).numpy(),
        reference=model.mean_chance(later, visit).numpy(),
    )
    names = [str(name) or "without a type" for name in campaign_types(history.targeting)]
    return JudgedCampaigns(rows, tuple(names[kind] for kind in later.kind.tolist()), int((~later.ended).sum()))


def simulate_redemptions(
    model: RedemptionModel | None, history: PreparedHistory, visited: NDArray[np.float64], seed: int
) -> Redemptions | None:
    """Return first redemptions of logged campaigns per test week, recorded and by the market's visits.

    Args:
        model: Who redeems; None where nothing could be learned.
        history: Whose campaigns were really sent.
        visited: The market's visits of the test customers, 0/1, shape (runs, customers, weeks).
        seed: Of the luck at the till.

    Returns:
        None where no campaign was sent in time.
    """
    test, panel = history.splits.test, history.panel
    sent = known_campaigns(panel, history.targeting, test)
    if model is None or len(sent) == 0:
        return None
    known = replace(sent, features=panel.features[sent.customer, sent.begin.clamp(max=test.weeks.start)])
    place = torch.from_numpy(np.searchsorted(test.customers, sent.customer.numpy()))
    week = sent.begin.unsqueeze(1) + torch.arange(sent.followed.shape[1])
    within = (week >= test.weeks.start) & sent.followed
    slot = (week - test.weeks.start).clamp(0, len(test.weeks) - 1)
    hazard = model.hazard(known) * within
    open_before = ~(sent.redeemed_in & (week < test.weeks.start)).any(dim=1)
    generator = torch.Generator().manual_seed(seed)
    runs = []
    for visits in torch.from_numpy(visited):
        here = visits[place.unsqueeze(1), slot]
        hit = torch.rand(hazard.shape, generator=generator, dtype=torch.float64) < hazard * here
        first = hit & (hit.cumsum(dim=1) == 1) & open_before.unsqueeze(1)
        runs.append(torch.bincount(slot[first], minlength=len(test.weeks)))
    weekly = torch.bincount(week[sent.redeemed_in], minlength=test.weeks.stop).double().numpy()
    recent = weekly[test.weeks.start - RECENT_WEEKS : test.weeks.start]
    return Redemptions(weekly[test.weeks.start : test.weeks.stop], torch.stack(runs).double().numpy(), recent)
