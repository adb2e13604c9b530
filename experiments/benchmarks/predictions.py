"""How well the market's parts predict: next week's visits beside gradient boosting, and redemptions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from envs.fitted import read_training_world
from evaluation.response_fit import Predictions, judge_predictions, own_mean_rate
from experiments.benchmarks.measured import Measured
from experiments.config import Config
from experiments.history import PreparedHistory, load_history
from experiments.main import run_folder
from history.splits import Split
from simulators.fit import FIRST_CAMPAIGN_WEEK, category_weeks, customer_weeks, targeted_campaigns
from simulators.fitting import CustomerWeeks, fit_response, mean_visit_probability
from simulators.redemption import fit_redemption

LATE_SHARE = 0.66
"""Share of the weeks before which campaigns are learned from: day 240 of 365."""


def measure_predictions(config: Config, rounds: int) -> list[Measured]:
    """Measure both on the run's history; nothing here takes turns."""
    history = load_history(run_folder(config) / "prepare", config.split)
    return [_visits(config, history), _redemptions(config, history)]


def _visits(config: Config, history: PreparedHistory) -> Measured:
    """Next-week visit of everybody in the last fifth of the weeks, trained on everybody before."""
    weeks, first = history.splits.test.weeks, history.splits.train.weeks.start
    everybody = np.arange(history.panel.events.n)
    before = category_weeks(history.panel, Split("before", everybody, range(first, weeks.start)))
    after = customer_weeks(history.panel, Split("after", everybody, weeks))
    nobody = Split("none", everybody, weeks)
    campaigns = targeted_campaigns(history.panel, history.targeting, nobody, range(0), until=0)
    redemption = fit_redemption(campaigns, config.market.response.members, config.seed)
    model = fit_response(before, redemption, config.market.response, config.seed)
    past = (history.panel.events.baskets[:, 1 : weeks.start] > 0).astype(np.float64)
    own = judge_predictions(
        _rows(after, mean_visit_probability(model, after.features), own_mean_rate(past, len(weeks)))
    )
    peer = judge_predictions(_rows(after, _boosted(before, after, config.seed), own_mean_rate(past, len(weeks))))
    assert own is not None and peer is not None
    gain = f"{own['log_loss_gain']:.4f} [{own['log_loss_gain_lo']:.4f}, {own['log_loss_gain_hi']:.4f}]"
    value = (
        f"AUC {own['auc']:.3f} [{own['auc_lo']:.3f}, {own['auc_hi']:.3f}], slope {own['slope']:.2f}, log-loss "
        f"{own['log_loss']:.3f}, better than own mean rate by {gain}; gradient boosting {peer['auc']:.3f}, "
        f"{peer['log_loss']:.3f}"
    )
    return Measured("next-week visit", value, more={"ours": own, "gradient_boosting": peer})


def _rows(after: CustomerWeeks, predicted: Any, reference: NDArray[np.float64]) -> Predictions:
    outcome = (after.baskets > 0).double().numpy()
    return Predictions(after.customer.numpy(), outcome, np.asarray(predicted, dtype=np.float64), reference)


def _boosted(before: CustomerWeeks, after: CustomerWeeks, seed: int) -> NDArray[np.float64]:
    model = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.05, max_leaf_nodes=15, random_state=seed)
    model.fit(before.features.numpy(), (before.baskets > 0).numpy())
    chance: NDArray[np.float64] = model.predict_proba(after.features.numpy())[:, 1]
    return chance


def _redemptions(config: Config, history: PreparedHistory) -> Measured:
    """Redemption of everybody's late campaigns, trained on everybody's earlier ones."""
    n_weeks = history.panel.n_weeks
    border = round(LATE_SHARE * n_weeks)
    everybody = Split("all", np.arange(history.panel.events.n), range(n_weeks))
    starts = range(FIRST_CAMPAIGN_WEEK, border)
    earlier = targeted_campaigns(history.panel, history.targeting, everybody, starts, until=border)
    later = targeted_campaigns(history.panel, history.targeting, everybody, range(border, n_weeks), until=n_weeks)
    model = fit_redemption(earlier, config.market.response.members, config.seed)
    visit = mean_visit_probability(read_training_world(run_folder(config)).market.response, later.features)
    base = np.full(len(later), float(earlier.redeemed.mean()))
    judged = judge_predictions(
        Predictions(later.customer.numpy(), later.redeemed.double().numpy(), model.chance(later, visit).numpy(), base)
    )
    if judged is None:
        return Measured("redemption", "not estimable: the late campaigns have one outcome only")
    value = (
        f"AUC {judged['auc']:.3f} [{judged['auc_lo']:.3f}, {judged['auc_hi']:.3f}], slope {judged['slope']:.2f} on "
        f"{len(later)} campaigns from week {border + 1} on"
    )
    return Measured("redemption", value, more={"ours": judged})
