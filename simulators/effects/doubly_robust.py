"""What a campaign did, from targeted and untargeted households of equal standing: doubly robust, and by residuals."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from simulators.effects.crossfit import (
    Fit,
    Flags,
    Floats,
    Ints,
    cross_fit,
    curved,
    dummies,
    fold_of,
    logistic,
    ridge,
)
from simulators.effects.inference import Effect, effect_of

OVERLAP: Final = (0.1, 0.9)
"""Chances of being targeted between which households are compared.

Reference: Crump, Hotz, Imbens & Mitnik, "Dealing with limited overlap", Biometrika 96(1), 2009: the rule of thumb.
"""
FEWEST: Final = 30
"""Fewest targeted and fewest untargeted units with overlap that an estimate is made of."""


@dataclass(frozen=True, eq=False)
class Units:
    """Households at the start of campaigns, n rows.

    Attributes:
        x: Covariates, all of weeks strictly before the outcome, shape (n, k).
        treated: Targeted by the campaign, shape (n,).
        outcomes: Shape (n, m), in units per week.
        household, campaign: What the rows belong to, shape (n,).
    """

    x: Floats
    treated: Flags
    outcomes: Floats
    household: Ints
    campaign: Ints

    def __len__(self) -> int:
        return len(self.treated)

    def where(self, keep: Flags) -> "Units":
        return Units(self.x[keep], self.treated[keep], self.outcomes[keep], self.household[keep], self.campaign[keep])


@dataclass(frozen=True, eq=False)
class Nuisances:
    """Cross-fitted chance of being targeted, shape (n,), and mean outcomes untargeted and targeted, shape (n, m)."""

    propensity: Floats
    untreated: Floats
    treated: Floats

    @property
    def overlap(self) -> Flags:
        return (self.propensity >= OVERLAP[0]) & (self.propensity <= OVERLAP[1])


def fit_nuisances(units: Units, seed: int, propensity: Fit | None = None, outcome: Fit | None = None) -> Nuisances:
    """Fit the nuisances on other households' rows: by default ridge regressions with squares and campaign levels."""
    x = np.concatenate([curved(units.x), dummies(units.campaign)], axis=1)
    fold = fold_of(units.household, seed)
    everyone = np.ones(len(units), dtype=bool)
    chance = cross_fit(propensity or logistic(), x, units.treated.astype(np.float64), fold, everyone)
    learner = outcome or ridge()
    return Nuisances(
        propensity=np.clip(chance, 1e-3, 1.0 - 1e-3),
        untreated=cross_fit(learner, x, units.outcomes, fold, ~units.treated),
        treated=cross_fit(learner, x, units.outcomes, fold, units.treated),
    )


def scores(units: Units, nuisances: Nuisances) -> Floats:
    """Return the doubly robust pseudo-outcomes of targeted less untargeted, shape (n, m).

    Reference:
        Robins, Rotnitzky & Zhao, JASA 89(427), 1994; cross-fitted as in Chernozhukov et al., Econometrics Journal
        21(1), 2018.
    """
    d, e = units.treated.astype(np.float64)[:, None], nuisances.propensity[:, None]
    of_treated = d / e * (units.outcomes - nuisances.treated)
    of_others = (1.0 - d) / (1.0 - e) * (units.outcomes - nuisances.untreated)
    return nuisances.treated - nuisances.untreated + of_treated - of_others


def has_overlap(units: Units, nuisances: Nuisances) -> bool:
    kept = units.treated[nuisances.overlap]
    return min(int(kept.sum()), int((~kept).sum())) >= FEWEST


def average_effects(units: Units, nuisances: Nuisances) -> list[Effect]:
    """Return the average effect on units with overlap, one per outcome, clustered by household and campaign."""
    keep = nuisances.overlap
    return mean_effects(scores(units, nuisances)[keep], units.where(keep))


def mean_effects(values: Floats, units: Units) -> list[Effect]:
    """Return the mean of each column with its two-way clustered interval."""
    mean = values.mean(axis=0)
    influence = (values - mean) / len(values)
    return [effect_of(influence[:, j], float(mean[j]), units.household, units.campaign) for j in range(values.shape[1])]


def residual_effects(units: Units, nuisances: Nuisances) -> list[Effect]:
    """Return the R-learner's constant effect, one per outcome: an average that weighs units by their overlap.

    Reference:
        Robinson, Econometrica 56(4), 1988; Nie & Wager, "Quasi-oracle estimation", Biometrika 108(2), 2021.
    """
    e = nuisances.propensity[:, None]
    left = units.treated.astype(np.float64)[:, None] - e
    rest = units.outcomes - (e * nuisances.treated + (1.0 - e) * nuisances.untreated)
    weight = float((left**2).sum())
    effect = (left * rest).sum(axis=0) / max(weight, 1e-9)
    influence = left * (rest - left * effect) / max(weight, 1e-9)
    return [effect_of(influence[:, j], float(effect[j]), units.household, units.campaign) for j in range(len(effect))]


def plain_differences(values: Floats, units: Units) -> list[Effect]:
    """Return targeted less untargeted of each column, campaign by campaign, weighed by the targeted: no adjustment."""
    d = units.treated.astype(np.float64)
    level = dummies(units.campaign)
    sizes = np.maximum(level.T @ (1.0 - d), 1.0)
    usable = (level.T @ d > 0) & (level.T @ (1.0 - d) > 0)
    total = max(float((level.T @ d)[usable].sum()), 1.0)
    ratio = level @ np.where(usable, (level.T @ d) / sizes, 0.0)
    weight = np.where(d > 0, level @ usable.astype(np.float64), -ratio * (1.0 - d)) / total
    mean = weight @ values
    middle_treated = (level.T @ (values * d[:, None])) / np.maximum(level.T @ d, 1.0)[:, None]
    middle_others = (level.T @ (values * (1.0 - d)[:, None])) / sizes[:, None]
    middle = np.where(d[:, None] > 0, level @ middle_treated, level @ middle_others)
    influence = weight[:, None] * (values - middle)
    # A campaign's own effect beside the mean of all: without it, clustering by campaign would see nothing.
    gap = level @ (middle_treated - middle_others) - mean
    influence += (d[:, None] / total) * np.where((level @ usable.astype(np.float64))[:, None] > 0, gap, 0.0)
    return [effect_of(influence[:, j], float(mean[j]), units.household, units.campaign) for j in range(values.shape[1])]
