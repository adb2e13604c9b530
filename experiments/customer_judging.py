"""Judge lifetime value, churn and price sensitivity on customers and weeks that nothing was fitted to."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from evaluation.lifetime import cumulate, judge_forecast, judge_quantiles, rank_correlation, rank_interval
from evaluation.response_fit import Predictions, judge_predictions
from experiments.history import PreparedHistory
from history.state import State, join_states
from simulators.profiles.bg_bb import chance_of_silence, fit_bg_bb, weeks_of
from simulators.profiles.challengers import forecast_by_challengers
from simulators.profiles.churn import INPUTS, SILENCE, ChurnScore, fit_churn, score_churn
from simulators.profiles.lifetime import HALF_YEAR, Lifetime, fit_lifetime, value_customers
from simulators.profiles.sensitivity import fit_sensitivity, promotion_shares, score_sensitivity

Floats = NDArray[np.float64]
FEWEST_EVENTS = 20
"""Customers who stayed away, and who did not, below which no chance is fitted."""
CHOSEN = "spend quantiles"


def judge_value(history: PreparedHistory, states: Sequence[State], deployed: Lifetime) -> dict[str, Any]:
    """Fit to the training customers' first half and forecast the last half-year; all models side by side.

    The choice among the models rests on the validation customers, the verdict on the test customers.
    """
    events, splits = history.panel.events, history.splits
    ahead = min(HALF_YEAR, (history.panel.n_weeks - 1) // 2)
    cut = history.panel.n_weeks - ahead
    horizon = min(SILENCE, cut // 2)
    fit = fit_lifetime(events, states, splits.train.customers, cut, horizon)
    figures: dict[str, Any] = {"survival": vars(deployed.survival), "weeks": ahead}
    if fit.spend is None or deployed.spend is None:
        few = "Lifetime value is not estimable: the history is too short or has too few customers who bought"
        return figures | {"verdict": f"{few}; the recent spend is carried forward instead.", "estimable": False}
    spend = events.spend[:, cut:].astype(np.float64)
    naive, truth = events.spend[:, cut - ahead : cut].sum(axis=1, dtype=np.float64), spend.sum(axis=1)
    active = (events.baskets[:, 1:cut] > 0).astype(np.float64)
    quantiles = value_customers(fit, states[cut], active).half_year * (ahead / HALF_YEAR)
    points = {CHOSEN: quantiles[:, 9:11].mean(axis=1)}
    others = forecast_by_challengers(events, states, splits.train.customers, cut, horizon)
    points |= {name: forecast * (ahead / HALF_YEAR) for name, forecast in others.items()}
    test, validation = splits.test.customers, splits.validation.customers
    judged = judge_quantiles(quantiles[test], naive[test], truth[test])
    models = [
        {"model": name, "validation_mae": float(np.abs(point - truth)[validation].mean())}
        | judge_forecast(point[test], naive[test], truth[test])
        for name, point in points.items()
    ]
    naive_row = {"model": "same as last half-year", "validation_mae": float(np.abs(naive - truth)[validation].mean())}
    models.append(naive_row | judge_forecast(naive[test], naive[test], truth[test]))
    return figures | {
        "estimable": True,
        "verdict": _value_verdict(judged, models, len(test), history.quality.currency),
        "held_out": judged,
        "models": models,
        "cumulative": cumulate(spend[test]),
        "forecast_mean": float(quantiles[test].mean()),
        "naive_mean": float(naive[test].mean()),
        "customers": len(test),
        "weights": deployed.spend.weights.tolist(),
    }


def judge_churn(
    history: PreparedHistory, states: Sequence[State], resamples: int
) -> tuple[ChurnScore | None, dict[str, Any]]:
    """Fit the chance of 13 weeks without a visit in the training weeks; judge it on test customers' last 13 weeks."""
    active = (history.panel.events.baskets > 0).astype(np.float64)
    train, test = history.splits.train, history.splits.test.customers
    origins = range(train.weeks.start, train.weeks.stop - SILENCE + 1, 2)
    silent = [~active[train.customers, week : week + SILENCE].any(axis=1) for week in origins]
    events = int(min(np.sum(silent), np.sum(~np.array(silent)))) if silent else 0
    if events < FEWEST_EVENTS:
        text = (
            "Churn risk is assumed: too few customers stayed away in the training weeks to learn from; shown is what "
        )
        return None, {"verdict": text + "the survival model gives.", "estimable": False}
    learners = torch.from_numpy(train.customers)
    score = fit_churn(join_states([states[week].take(learners) for week in origins]), np.concatenate(silent))
    start = history.panel.n_weeks - SILENCE
    survival = fit_bg_bb(weeks_of(active[train.customers, 1 : train.weeks.stop]))
    rows = Predictions(
        customer=test,
        outcome=np.where(active[test, start:].any(axis=1), 0.0, 1.0),
        predicted=score_churn(score, states[start].take(torch.from_numpy(test))).numpy(),
        reference=chance_of_silence(survival, weeks_of(active[test, 1:start]), SILENCE),
    )
    judged = judge_predictions(rows, resamples=resamples)
    figures = {
        "estimable": True,
        "verdict": _churn_verdict(judged),
        "held_out": judged,
        "silent": int(rows.outcome.sum()),
        "of": len(test),
        "inputs": INPUTS,
        "weights": score.weights.tolist(),
    }
    return score, figures


def judge_sensitivity(history: PreparedHistory, states: Sequence[State], resamples: int) -> dict[str, Any]:
    """Say whether the score before the test weeks goes with what the test customers then do."""
    train, test = history.splits.train, history.splits.test
    score = fit_sensitivity(states[train.weeks.stop].take(torch.from_numpy(train.customers)))
    judged = states[test.weeks.start].take(torch.from_numpy(test.customers))
    rank = score_sensitivity(score, judged).numpy()
    weeks = slice(test.weeks.start, test.weeks.stop)
    spend, promo, redeemed = (
        getattr(history.panel.events, name)[test.customers, weeks].sum(axis=1, dtype=np.float64)
        for name in ("spend", "promo_spend", "redeemed")
    )
    bought = spend > 0
    if bought.sum() < FEWEST_EVENTS:
        return {"verdict": "Price sensitivity is not judged: too few test customers bought.", "estimable": False}
    share = promo[bought] / spend[bought]
    correlation, (lo, hi) = rank_correlation(rank[bought], share), rank_interval(rank[bought], share, 0, resamples)
    before = promotion_shares(judged).numpy()
    thirds = [redeemed[part] > 0 for part in np.array_split(np.argsort(rank, kind="stable"), 3)]
    return {
        "estimable": True,
        "verdict": f"{_sensitivity_verdict(lo, hi)}: rank correlation {correlation:.2f} (95 % interval {lo:.2f} to "
        f"{hi:.2f}) on test customers and weeks.",
        "rank_correlation": correlation,
        "lo": lo,
        "hi": hi,
        "promo_share_alone": rank_correlation(before[bought], share),
        "customers": int(bought.sum()),
        "redeemed_by_third": [float(part.mean()) for part in thirds],
        "score_auc": _auc(redeemed > 0, rank),
        "promo_auc": _auc(redeemed > 0, before),
    }


def _sensitivity_verdict(lo: float, hi: float) -> str:
    if lo > 0:
        return "Customers who score higher later buy a larger share on promotion"
    if hi < 0:
        return "Customers who score higher later buy a smaller share on promotion: do not go by the score"
    return "It is not shown that customers who score higher later buy a larger share on promotion"


def _auc(happened: NDArray[np.bool_], score: Floats) -> float | None:
    """Return the area under the ROC curve; None where only one outcome occurs."""
    return float(roc_auc_score(happened, score)) if 0 < happened.sum() < len(happened) else None


def _value_verdict(judged: dict[str, Any], models: list[dict[str, Any]], n: int, currency: str) -> str:
    gain = judged["gain"]
    better = "better than" if gain["lo"] > 0 else "not surely better than" if gain["hi"] > 0 else "worse than"
    best = min(models, key=lambda row: row["validation_mae"])["model"]
    choice = (
        "It had the least error on validation customers."
        if best == CHOSEN
        else f"On validation customers {best} had a smaller error; the chosen model is kept because it gives intervals."
    )
    return (
        f'Forecast value of {n} test customers is {better} "same as last half-year": mean absolute error '
        f"{judged['mae']:,.0f} {currency}, {gain['value']:,.1f} less (95 % interval {gain['lo']:,.1f} to "
        f"{gain['hi']:,.1f}); the intervals of {judged['deciles_inside']} of {len(judged['deciles'])} deciles hold the "
        f"forecast. {choice}"
    )


def _churn_verdict(judged: dict[str, Any] | None) -> str:
    if judged is None:
        return "Churn risk is fitted but not judged: no test customer stayed away, or all did."
    return (
        f"Chance of no visit in 13 weeks: AUC {judged['auc']:.2f} (95 % interval {judged['auc_lo']:.2f} to "
        f"{judged['auc_hi']:.2f}), calibration slope {judged['slope']:.2f}, on test customers and the last 13 weeks."
    )
