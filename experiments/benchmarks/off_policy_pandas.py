"""The table of off-policy estimators as an analyst writes it: pandas, one estimator after the other, each resampled.

A peer of the benchmark and an oracle of the tests; nothing of `evaluation.off_policy` is used here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

LIMITS = 11
"""Limits that SLOPE tries beside none."""


@dataclass(frozen=True, eq=False)
class PandasLog:
    """A log in frames.

    Attributes:
        rounds: One row per round: action, reward, pscore.
        policy: Probabilities of the policy's actions, one column per action.
        model: Predicted rewards, likewise.
    """

    rounds: pd.DataFrame
    policy: pd.DataFrame
    model: pd.DataFrame

    def weight(self) -> pd.Series:
        return self._logged(self.policy) / self.rounds["pscore"]

    def predicted(self) -> pd.Series:
        return self._logged(self.model)

    def expected(self) -> pd.Series:
        return (self.policy * self.model).sum(axis=1)

    def _logged(self, frame: pd.DataFrame) -> pd.Series:
        """Return each row's value in the column of the action that was taken."""
        rows, columns = np.arange(len(frame)), frame.columns.get_indexer(pd.Index(self.rounds["action"]))
        return pd.Series(frame.to_numpy()[rows, columns], index=frame.index)


def estimate_all(log: PandasLog, resamples: int, seed: int) -> pd.DataFrame:
    """Return value, lo and hi of every estimator, one row each."""
    rows = {name: interval(terms(log), resamples, seed) for name, terms in ESTIMATORS.items()}
    return pd.DataFrame(rows, index=["value", "lo", "hi"]).T


def interval(terms: pd.DataFrame, resamples: int, seed: int) -> list[float]:
    """Return a value and the limits of its symmetric studentised bootstrap, widened by its bias.

    Args:
        terms: Columns top, below and plus, of which the value is mean(top) / mean(below) + mean(plus), `whole` where
            another sum's error is to be believed, and bias.
        resamples: How many.
        seed: Of them.
    """
    value, bias = _value(terms), float(terms["bias"].iloc[0])
    # Where the shrunk value is not to be trusted for its error, the whole one is resampled.
    told = terms if terms["whole"].isna().all() else terms.assign(top=terms["whole"], below=1.0, plus=0.0)
    centre, error = _value(told), _error(told)
    told = told[["top", "below", "plus"]]
    distances = []
    for number in range(resamples):
        drawn = told.sample(frac=1.0, replace=True, random_state=seed + number)
        distances.append(abs(_value(drawn) - centre) / _error(drawn))
    half = float(np.quantile(distances, 0.95, method="weibull")) * error + bias
    return [value, value - half, value + half]


def _value(terms: pd.DataFrame) -> float:
    return float(terms["top"].mean() / terms["below"].mean() + terms["plus"].mean())


def _error(terms: pd.DataFrame) -> float:
    """Return the delta method's standard error."""
    ratio, below = terms["top"].mean() / terms["below"].mean(), terms["below"].mean()
    influence = (terms["top"] - ratio * terms["below"]) / below + terms["plus"]
    return float(influence.std() / np.sqrt(len(terms)))


def _terms(
    top: pd.Series, below: pd.Series | float = 1.0, plus: pd.Series | float = 0.0,
    whole: pd.Series | float = float("nan"), bias: float = 0.0,
) -> pd.DataFrame:  # fmt: skip
    return pd.DataFrame({"top": top, "below": below, "plus": plus, "whole": whole, "bias": bias})


def direct_method(log: PandasLog) -> pd.DataFrame:
    expected, correction = log.expected(), log.weight() * (log.rounds["reward"] - log.predicted())
    return _terms(expected, whole=expected + correction, bias=abs(correction.mean()))


def ips(log: PandasLog) -> pd.DataFrame:
    return _terms(log.weight() * log.rounds["reward"])


def clipped_ips(log: PandasLog) -> pd.DataFrame:
    weight, reward = log.weight(), log.rounds["reward"]
    small = weight.clip(upper=np.sqrt(len(weight)))
    return _terms(small * reward, whole=weight * reward, bias=abs(((weight - small) * reward).mean()))


def snips(log: PandasLog) -> pd.DataFrame:
    weight = log.weight()
    return _terms(weight * log.rounds["reward"], below=weight)


def doubly_robust(log: PandasLog) -> pd.DataFrame:
    return _terms(log.expected() + log.weight() * (log.rounds["reward"] - log.predicted()))


def self_normalized_dr(log: PandasLog) -> pd.DataFrame:
    weight = log.weight()
    return _terms(weight * (log.rounds["reward"] - log.predicted()), below=weight, plus=log.expected())


def shrunk(log: PandasLog, small: pd.Series) -> pd.DataFrame:
    """Return the terms of a doubly robust value with smaller weights."""
    weight, residual = log.weight(), log.rounds["reward"] - log.predicted()
    bias = abs(((weight - small) * residual).mean())
    return _terms(log.expected() + small * residual, whole=log.expected() + weight * residual, bias=bias)


def switched(weight: pd.Series, limit: float) -> pd.Series:
    return weight.where(weight <= limit, 0.0)


def optimistic(weight: pd.Series, limit: float) -> pd.Series:
    return weight if np.isinf(limit) else limit * weight / (weight**2 + limit)


def sub_gaussian(log: PandasLog) -> pd.DataFrame:
    weight = log.weight()
    share = min(1.0, np.sqrt(2 * np.log(20) / (3 * len(weight) * max(1.0, (weight**2).mean()))))
    return shrunk(log, weight / (1 - share + share * weight))


def tuned(log: PandasLog, shrink: Callable[[pd.Series, float], pd.Series], squared: bool) -> pd.DataFrame:
    """Shrink as far as the intervals of all laxer limits still meet (SLOPE)."""
    weight = log.weight()
    positive = weight[weight > 0]
    low, high = max(positive.median(), 1e-6), positive.max()
    grid = np.geomspace(max(high, low * 1.001), max(0.1, low / 10) if squared else low, LIMITS)
    floor, ceiling, chosen = -np.inf, np.inf, shrunk(log, weight)
    for limit in [np.inf, *(grid**2 if squared else grid)]:
        terms = shrunk(log, shrink(weight, limit))
        half = 2 * terms["whole"].std() / np.sqrt(len(terms))
        floor, ceiling = max(floor, terms["top"].mean() - half), min(ceiling, terms["top"].mean() + half)
        if floor > ceiling:
            break
        chosen = terms
    return chosen


ESTIMATORS: dict[str, Callable[[PandasLog], pd.DataFrame]] = {
    "direct method": direct_method,
    "IPS": ips,
    "clipped IPS": clipped_ips,
    "SNIPS": snips,
    "DR": doubly_robust,
    "SNDR": self_normalized_dr,
    "Switch-DR": partial(tuned, shrink=switched, squared=False),
    "DRos": partial(tuned, shrink=optimistic, squared=True),
    "sub-Gaussian DR": sub_gaussian,
}
