"""Standard errors over clusters, the equivalence test, and sensitivity to what was not measured."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from simulators.effects.crossfit import Floats, Ints

LEVEL: Final = 0.95


@dataclass(frozen=True)
class Effect:
    """An estimate with its 95 % interval.

    Attributes:
        value: The estimate, in the unit of its outcome.
        error: Standard error, clustered.
        lo, hi: 95 % interval by Student's t.
        freedom: Degrees of freedom of that t: the smaller number of clusters less 1.
        n: Units behind it.
    """

    value: float
    error: float
    lo: float
    hi: float
    freedom: int
    n: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def equivalence_p(self, margin: float) -> float:
        """Return the p-value of the two one-sided tests that the effect is at least `margin` in size.

        Reference:
            Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15(6), 1987.
        """
        if self.error <= 0.0:
            return float(abs(self.value) >= margin)
        t = (margin - abs(self.value)) / self.error
        return float(stats.t.sf(t, self.freedom))


def effect_of(influence: Floats, value: float, *clusters: Ints) -> Effect:
    """Make an estimate's interval from the influence of its units.

    Args:
        influence: What each unit adds to the estimate less its mean, shape (n,); the estimate is `value`.
        value: The estimate.
        clusters: One or two ways in which units belong together, each shape (n,).
    """
    variance, freedom = clustered_variance(influence, *clusters)
    error = float(np.sqrt(variance))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2.0, freedom)) * error
    return Effect(float(value), error, float(value) - reach, float(value) + reach, freedom, len(influence))


def clustered_variance(influence: Floats, *clusters: Ints) -> tuple[float, int]:
    """Return the variance of a sum of influences, units correlated within any of the clusters; and degrees of freedom.

    Two ways add up less their intersection; never less than either way alone. A way with one cluster tells nothing and
    is left out.

    Reference:
        Cameron, Gelbach & Miller, "Robust Inference with Multiway Clustering", JBES 29(2), 2011.
    """
    codes = [np.unique(cluster, return_inverse=True)[1] for cluster in clusters]
    codes = [code for code in codes if code.max(initial=0) > 0]
    if not codes:
        return 0.0, 1
    single = [_of_sums(influence, code) for code in codes]
    freedom = min(int(code.max()) for code in codes)
    if len(codes) == 1:
        return single[0], freedom
    both = codes[0].astype(np.int64) * (int(codes[1].max()) + 1) + codes[1]
    crossed = _of_sums(influence, np.unique(both, return_inverse=True)[1])
    return max(single[0] + single[1] - crossed, *single), freedom


def _of_sums(influence: Floats, code: NDArray[np.intp]) -> float:
    groups = int(code.max()) + 1
    return float((np.bincount(code, weights=influence) ** 2).sum()) * groups / max(groups - 1, 1)


def robustness_value(t: float, freedom: int, critical: float = 0.0) -> float:
    """Return how strong an unmeasured confounder must be to explain an estimate away.

    Args:
        t: The estimate over its standard error.
        freedom: Residual degrees of freedom of the regression behind it.
        critical: 0 to bring the estimate to zero; the t quantile to bring it to the border of significance.

    Returns:
        The share of the residual variance of both the treatment and the outcome that it would have to explain, 0..1.

    Reference:
        Cinelli & Hazlett, "Making Sense of Sensitivity", JRSS B 82(1), 2020, equation 8 and 18.
    """
    f = max(abs(t) - critical, 0.0) / max(freedom, 1) ** 0.5
    return float(0.5 * (np.sqrt(f**4 + 4.0 * f**2) - f**2))


def strongest_covariate(x: Floats, target: Floats) -> tuple[int, float]:
    """Return the covariate that explains most of what the others leave of `target`, and that share (partial R²).

    A benchmark for the robustness value: would a confounder as strong as this one suffice?
    """
    z = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    inverse = np.linalg.pinv(z.T @ z)
    beta = inverse @ z.T @ target
    residual = target - z @ beta
    freedom = max(len(z) - z.shape[1], 1)
    sigma = max(float(residual @ residual) / freedom, 1e-12)
    t2 = beta**2 / np.maximum(np.diag(inverse) * sigma, 1e-12)
    share = t2[:-1] / (t2[:-1] + freedom)
    best = int(np.argmax(share))
    return best, float(share[best])
