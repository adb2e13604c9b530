"""Logged feedback: what was decided in the past, for whom, and what came of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LoggedFeedback:
    """n past decisions, checked once here; functions on them do not check again.

    Attributes:
        feature_names: Names of the columns of `features`.
        features: Context before the decision, on the scale of `Context.features`, shape (n, n_features), float32.
        mask: True where an action was allowed, shape (n, n_actions), bool; column 0 is always True.
        action: Action taken, shape (n,), int64.
        reward: What the decision brought, promo and contact cost already deducted [USD], shape (n,), float64.
        cost: Promo and contact cost of the decision [USD], shape (n,), float64.
        pscore: Probability with which the behavior policy took `action`, shape (n,), float64 in (0, 1];
            None where the log does not know it (then nothing can be weighted by it before it is estimated).

    Raises:
        ValueError: A column has the wrong shape or a value that no log can hold.
    """

    feature_names: tuple[str, ...]
    features: NDArray[np.float32]
    mask: NDArray[np.bool_]
    action: NDArray[np.int64]
    reward: NDArray[np.float64]
    cost: NDArray[np.float64]
    pscore: NDArray[np.float64] | None

    def __post_init__(self) -> None:
        n = len(self.action)
        _require(self.features.shape == (n, len(self.feature_names)), "features", f"shape {self.features.shape}")
        _require(self.mask.ndim == 2 and len(self.mask) == n, "mask", f"shape {self.mask.shape}")
        _require(bool(np.isfinite(self.features).all()), "features", "a value that is not finite")
        _require(bool(self.mask[:, 0].all()), "mask", "a row that forbids action 0 (no offer)")
        for name in ("action", "reward", "cost"):
            _check_column(name, getattr(self, name), n)
        _require(bool(((self.action >= 0) & (self.action < self.n_actions)).all()), "action", "an unknown action")
        _require(bool(self.mask[np.arange(n), self.action].all()), "action", "an action that the mask forbids")
        if self.pscore is not None:
            _check_column("pscore", self.pscore, n)
            _require(bool(((self.pscore > 0) & (self.pscore <= 1)).all()), "pscore", "a value outside (0, 1]")

    @property
    def n(self) -> int:
        return len(self.action)

    @property
    def n_actions(self) -> int:
        return int(self.mask.shape[1])


def effective_size(total: NDArray[np.float64], square: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many equally weighted rounds weighted ones are worth, of any shape; 0 where there is no weight.

    Args:
        total: Sums of the weights.
        square: Sums of their squares, same shape.

    Reference:
        Kish, "Survey Sampling", 1965.
    """
    return np.divide(total * total, square, out=np.zeros_like(total), where=square > 0)


def _check_column(name: str, column: NDArray[np.generic], n: int) -> None:
    _require(column.shape == (n,), name, f"shape {column.shape}, expected ({n},)")
    _require(bool(np.isfinite(column).all()), name, "a value that is not finite")


def _require(holds: bool, column: str, found: str) -> None:
    if not holds:
        raise ValueError(f"logged feedback: column '{column}' has {found}")
