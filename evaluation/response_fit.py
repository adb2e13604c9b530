"""How well a response model predicts weeks and customers it has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from evaluation.estimate import Z95, middle_95, resample_clusters

Floats = NDArray[np.float64]
EDGE = 1e-4


@dataclass(frozen=True, eq=False)
class Predictions:
    """Outcomes 0/1 of rows that belong to customers, with what two models said of them; each shape (n,)."""

    customer: NDArray[np.int64]
    outcome: Floats
    predicted: Floats
    reference: Floats  # the naive model's probabilities

    def where(self, keep: NDArray[np.bool_]) -> "Predictions":
        return Predictions(self.customer[keep], self.outcome[keep], self.predicted[keep], self.reference[keep])


def judge_predictions(rows: Predictions, seed: int = 0, resamples: int = 300) -> dict[str, Any] | None:
    """Return AUC, log-loss against the reference, calibration slope and deciles; None without both outcomes.

    Intervals resample whole customers, since the rows of one customer are alike.
    """
    if len(np.unique(rows.outcome)) < 2:
        return None
    loss, reference_loss = _log_loss(rows.outcome, rows.predicted), _log_loss(rows.outcome, rows.reference)
    gain, gain_error = _clustered_mean(rows.customer, reference_loss - loss)
    auc_lo, auc_hi = auc_interval(rows.customer, rows.outcome, rows.predicted, seed, resamples)
    return {
        "auc": float(roc_auc_score(rows.outcome, rows.predicted)),
        "auc_lo": auc_lo,
        "auc_hi": auc_hi,
        "log_loss": float(loss.mean()),
        "reference_auc": float(roc_auc_score(rows.outcome, rows.reference)),
        "reference_log_loss": float(reference_loss.mean()),
        "log_loss_gain": gain,
        "log_loss_gain_lo": gain - Z95 * gain_error,
        "log_loss_gain_hi": gain + Z95 * gain_error,
        "slope": calibration_slope(rows.outcome, rows.predicted),
        "calibration_error": calibration_error(rows.predicted, rows.outcome),
        "deciles": deciles(rows.predicted, rows.outcome),
        "rows": len(rows.outcome),
        "customers": len(np.unique(rows.customer)),
    }


def calibration_slope(outcome: Floats, predicted: Floats) -> float:
    """Return the slope of a logistic regression of the outcome on the predicted logit: 1 is calibrated (Cox 1958)."""
    clipped = np.clip(predicted, EDGE, 1 - EDGE)
    logit = np.log(clipped / (1 - clipped))[:, None]
    return float(LogisticRegression(C=1e9, max_iter=1000).fit(logit, outcome).coef_[0, 0])


def deciles(predicted: Floats, observed: Floats, bins: int = 10) -> list[dict[str, float]]:
    """Return mean prediction and observation with a 95 % interval in bins of equal size."""
    order = np.argsort(predicted, kind="stable")
    rows = []
    for part in np.array_split(order, bins):
        if len(part) < 2:
            continue
        mean, error = float(observed[part].mean()), float(observed[part].std(ddof=1) / np.sqrt(len(part)))
        rows.append(
            {
                "predicted": float(predicted[part].mean()),
                "observed": mean,
                "lo": mean - Z95 * error,
                "hi": mean + Z95 * error,
                "n": len(part),
            }
        )
    return rows


def calibration_error(predicted: Floats, observed: Floats, bins: int = 10) -> float:
    """Return the mean distance of predicted from observed means over bins of equal mass.

    Reference:
        Naeini, Cooper & Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015; bins
        of equal mass as in Nixon et al., "Measuring Calibration in Deep Learning", CVPR Workshops 2019.
    """
    parts = np.array_split(np.argsort(predicted, kind="stable"), bins)
    gaps = [len(part) * abs(predicted[part].mean() - observed[part].mean()) for part in parts if len(part)]
    return float(sum(gaps) / len(predicted))


def judge_groups(rows: Predictions, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return mean prediction and observation of each group, with a 95 % interval clustered by customer.

    Args:
        rows: Outcomes and predictions.
        names: Group of each row, as in the type of its campaign.
    """
    named, judged = np.asarray(names), []
    for name in sorted(set(names)):
        part = named == name
        mean, error = _clustered_mean(rows.customer[part], rows.outcome[part])
        judged.append(
            {
                "name": name,
                "predicted": float(rows.predicted[part].mean()),
                "observed": mean,
                "lo": mean - Z95 * error,
                "hi": mean + Z95 * error,
                "n": int(part.sum()),
            }
        )
    return judged


def own_mean_rate(past: Floats, weeks: int) -> Floats:
    """Return each customer's own mean of the past, pulled slightly to the overall mean, once per row of `weeks` weeks.

    Args:
        past: Outcomes 0/1, shape (n, t).
        weeks: Rows per customer.
    """
    overall = past.mean()
    rate = (past.sum(axis=1) + overall) / (past.shape[1] + 1.0)
    return np.repeat(rate, weeks)


def _log_loss(outcome: Floats, predicted: Floats) -> Floats:
    clipped = np.clip(predicted, EDGE, 1 - EDGE)
    return -(outcome * np.log(clipped) + (1 - outcome) * np.log(1 - clipped))


def _clustered_mean(customer: NDArray[np.int64], values: Floats) -> tuple[float, float]:
    """Return a mean and its standard error with rows of one customer counted as one."""
    _, code = np.unique(customer, return_inverse=True)
    residual = np.bincount(code, weights=values - values.mean())
    return float(values.mean()), float(np.sqrt((residual**2).sum()) / len(values))


def auc_interval(
    customer: NDArray[np.int64], outcome: Floats, predicted: Floats, seed: int, resamples: int
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the AUC over customers; resamples of one outcome alone are left out."""
    _, rank = np.unique(predicted, return_inverse=True)  # once: only the weights differ between resamples
    draws = [
        weighted_auc(rank, outcome, weight)
        for weight in resample_clusters(customer, seed, resamples)
        if len(np.unique(outcome[weight > 0])) == 2
    ]
    return middle_95(draws)


def weighted_auc(rank: NDArray[np.int64], outcome: Floats, weight: Floats) -> float:
    """Return the weighted chance that an outcome of 1 has a higher rank than one of 0, ties counted half.

    Reference:
        Mann & Whitney, "On a Test of Whether One of Two Random Variables Is Stochastically Larger than the Other",
        Annals of Mathematical Statistics 18(1), 1947.
    """
    ones = np.bincount(rank, weights=weight * outcome)
    zeros = np.bincount(rank, weights=weight * (1 - outcome))
    below = np.cumsum(zeros) - zeros
    return float((ones * (below + 0.5 * zeros)).sum() / (ones.sum() * zeros.sum()))
