"""What a log and a policy must hold; each error names the row and the rule."""

import numpy as np
from numpy.typing import NDArray

from campaigns.errors import InputError

TOLERANCE = 1e-6
"""By how much probabilities may miss 1."""


def check_log(
    n_actions: int, action: NDArray[np.int64], reward: NDArray[np.float64], pscore: NDArray[np.float64]
) -> None:
    """Check the columns of a log, shape (n,) each, n > 1.

    Raises:
        InputError: A column is of another shape, or a row breaks a rule.
    """
    n = len(action)
    if n < 2:
        raise InputError(f"log: it has {n} rounds, expected 2 or more; use a longer log")
    for name, column in (("reward", reward), ("pscore", pscore)):
        check_rounds(name, column, n)
    inside = (action >= 0) & (action < n_actions)
    _all("action", action, inside, f"an action of the catalog, 0 to {n_actions - 1}", "name the catalog that was live")
    _all("pscore", pscore, (pscore > 0) & (pscore <= 1), "a probability in (0, 1]", "log it, or estimate it")


def check_rounds(
    name: str, values: NDArray[np.generic] | None, n: int, n_actions: int | None = None, needed: str = ""
) -> None:
    """Check the shape of a number per round, or per round and action, and that it is finite.

    Raises:
        InputError: It is missing though `needed`, has another shape, or a row is not finite.
    """
    if values is None:
        if needed:
            raise InputError(f"log: column '{name}' is missing; {needed} need it; log all probabilities of each round")
        return
    shape = (n,) if n_actions is None else (n, n_actions)
    if values.shape != shape:
        raise InputError(f"log: column '{name}' has shape {values.shape}, expected {shape}; align it with the rounds")
    finite = np.isfinite(values).reshape(n, -1).all(axis=1)
    _all(name, values, finite, "a finite number", "repair or leave out the round")


def check_distribution(name: str, dist: NDArray[np.float64], shape: tuple[int, int], first: int) -> None:
    """Check that every row is a distribution over the catalog.

    Args:
        name: What it is called in an error.
        dist: Probabilities.
        shape: What they must have.
        first: Number of the first row.

    Raises:
        InputError: Another shape, or a row with a negative probability or another sum than 1.
    """
    if dist.shape != shape:
        raise InputError(f"{name}: probabilities have shape {dist.shape}, expected {shape}; give one per action")
    total = dist.sum(axis=1)
    fine = (np.abs(total - 1) <= TOLERANCE) & (dist.min(axis=1) >= 0)
    if not fine.all():
        row = int(np.argmin(fine))
        low = float(dist[row].min())
        found = f"a probability of {low}" if low < 0 else f"probabilities that sum to {float(total[row])}"
        raise InputError(f"{name}: row {first + row} has {found}, expected a distribution; repair the row")


def check_unique(name: str, ids: NDArray[np.generic]) -> None:
    """Check that no round stands twice in a log.

    Raises:
        InputError: Two rows hold the same id.
    """
    order = np.argsort(ids, kind="stable")
    same = np.flatnonzero(ids[order][1:] == ids[order][:-1])
    if len(same):
        first, again = int(order[same[0]]), int(order[same[0] + 1])
        raise InputError(
            f"log: rows {first} and {again} hold the same {name} {ids[first]}, expected each round once; drop one"
        )


def check_features(needed: tuple[str, ...], held: tuple[str, ...]) -> None:
    """Check that a log holds what a policy looks at, in the same order.

    Raises:
        InputError: A feature is missing or out of place.
    """
    missing = [name for name in needed if name not in held]
    if missing:
        raise InputError(f"log: feature '{missing[0]}' is missing; the policy needs it; log it or judge another policy")
    if needed != held:
        raise InputError(f"log: features are {held}, expected {needed} in this order; reorder the log's columns")


def _all(name: str, values: NDArray[np.generic], fine: NDArray[np.bool_], rule: str, remedy: str) -> None:
    if not fine.all():
        row = int(np.argmin(fine))
        raise InputError(f"log: row {row} of '{name}' is {values[row]}, expected {rule}; {remedy}")
