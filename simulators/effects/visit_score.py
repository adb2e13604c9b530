"""The orthogonal score of a visit: blind to first order to errors of the baseline and of the chances of an offer."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from simulators.effects.crossfit import Floats


@dataclass(frozen=True, eq=False)
class VisitProblem:
    """Rows of the weeks in which offers were sent, residualised.

    Attributes:
        dose: log1p(saving) of the offer sent, by kind, fatigue left out, shape (n, k).
        expected: Its cross-fitted mean among rows without a visit, shape (n, k).
        baseline: Cross-fitted chance of a visit without an offer, shape (n,).
        visited, contacts, customer: Shape (n,).
    """

    dose: Floats
    expected: Floats
    baseline: Floats
    visited: Floats
    contacts: Floats
    customer: Any

    def solve(self, fatigue: float) -> tuple[Floats, Floats]:
        """Return the visit effects at a given fatigue, shape (k,), and their influence, shape (n, k)."""
        tired = np.exp(-fatigue * self.contacts)[:, None]
        return self._newton(self.dose * tired, (self.dose - self.expected) * tired)

    def solve_with(self, theta: Floats, fatigue: float) -> tuple[Floats, Floats] | None:
        """Return effects and fatigue together, shape (k + 1,), and their influence; None where they run away."""
        at = np.append(theta, fatigue)
        influence = np.zeros((len(self.dose), len(at)))
        for _ in range(25):
            tired = np.exp(-at[-1] * self.contacts)[:, None]
            slope = np.column_stack([self.dose * tired, -(self.dose * tired) @ at[:-1] * self.contacts])
            centred = (self.dose - self.expected) * tired
            left = np.column_stack([centred, -centred @ at[:-1] * self.contacts])
            step, influence = self._step((self.dose * tired) @ at[:-1], slope, left)
            at = at + np.clip(step, -0.5, 0.5)
            if not np.isfinite(at).all() or abs(at[-1]) > 3.0:
                return None
            if float(np.abs(step).max()) < 1e-8:
                return at, influence
        return None

    def _newton(self, slope: Floats, left: Floats) -> tuple[Floats, Floats]:
        theta, influence = np.zeros(slope.shape[1]), np.zeros_like(slope)
        for _ in range(30):
            step, influence = self._step(slope @ theta, slope, left)
            theta = theta + np.clip(step, -0.5, 0.5)
            if float(np.abs(step).max()) < 1e-9:
                break
        return theta, influence

    def score(self, lift: Floats, slope: Floats, left: Floats) -> tuple[Floats, Floats]:
        """Return each row's score, shape (n, p), and minus the slope of their sum, shape (p, p).

        Args:
            lift: What the offers sent add to the logit of a visit, shape (n,).
            slope: Its derivative by each of p parameters, shape (n, p).
            left: The same, less its expectation among rows without a visit, shape (n, p).
        """
        pull = self.visited * np.exp(-np.clip(lift, -20.0, 20.0)) * (1.0 - self.baseline)
        score = left * (pull - (1.0 - self.visited) * self.baseline)[:, None]
        return score, (left * pull[:, None]).T @ slope

    def _step(self, lift: Floats, slope: Floats, left: Floats) -> tuple[Floats, Floats]:
        score, information = self.score(lift, slope, left)
        inverse = np.linalg.pinv(information)
        return inverse @ score.sum(axis=0), score @ inverse.T
