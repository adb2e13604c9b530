"""Limits that hold however often one looks at an experiment or a log that is still running."""

import numpy as np


def anytime_factor(n: float, tuned_for: float, risk: float = 0.05) -> float:
    """Return how many standard errors lie between a mean and its limits, which hold at all looks together.

    Args:
        n: Independent units so far, > 0.
        tuned_for: Units at which the limits are to be tightest, > 0; chosen before the first look.
        risk: Chance to be wrong at any look.

    Reference:
        Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory and asymptotic confidence
        sequences", Annals of Statistics 52(6), 2024.
    """
    tune = (-2.0 * np.log(risk) + np.log(1.0 - 2.0 * np.log(risk))) / tuned_for
    grown = n * tune + 1.0
    return float(np.sqrt(2.0 * grown / (n * tune) * np.log(np.sqrt(grown) / risk)))
