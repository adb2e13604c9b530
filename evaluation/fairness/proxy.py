"""How well decisions tell who somebody is: an attribute that no policy reads may still show in what is offered."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from evaluation.ab.checks import holm
from evaluation.fairness.groups import Grouping
from evaluation.response_fit import auc_interval

Floats = NDArray[np.float64]
FOLDS: Final = 5
RESAMPLES: Final = 200


@dataclass(frozen=True)
class Told:
    """How well decisions tell one group from the others.

    Attributes:
        group: Its name.
        auc: Chance that a customer of it is ranked above one of the others, by decisions alone; 0.5 is guessing.
        lo, hi: 95 % interval over customers.
        p_value: Of guessing, held for all groups together (Mann-Whitney; Holm).
    """

    group: str
    auc: float
    lo: float
    hi: float
    p_value: float


def told_by(decisions: Floats, grouping: Grouping, seed: int) -> list[Told]:
    """Return how well each group that is large enough is told, by customers whom the classifier did not see.

    Args:
        decisions: What was decided for n customers: chances of the offers, or which offer, shape (n, columns).
        grouping: Of the n customers; those who state nothing are left out.
        seed: Of folds and resamples.
    """
    stated = grouping.code >= 0
    inputs, code = decisions[stated], grouping.code[stated]
    inputs = inputs[:, inputs.std(axis=0) > 0]
    groups = grouping.told()
    if len(groups) < 2 or not inputs.shape[1]:
        return []
    found, chances = [], []
    for group in groups:
        mine = (code == group).astype(np.int64)
        if not 0 < mine.sum() < len(mine):
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=200))
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        score = cross_val_predict(model, inputs, mine, cv=folds, method="predict_proba")[:, 1]
        customer = np.arange(len(mine))
        test = stats.mannwhitneyu(score[mine == 1], score[mine == 0], alternative="greater")
        auc = float(test.statistic) / float(mine.sum() * (len(mine) - mine.sum()))
        lo, hi = auc_interval(customer, mine.astype(np.float64), score, seed, RESAMPLES)
        found.append((grouping.names[group], auc, lo, hi))
        chances.append(float(test.pvalue))
    return [Told(*row, p_value=chance) for row, chance in zip(found, holm(chances), strict=True)]
