"""Who and when: three disjoint sets of customers with ordered weeks, so that nothing is judged where it was learned."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from campaigns.errors import InputError


@dataclass
class SplitConfig:
    """How customers and weeks are divided."""

    train_share: float = 0.5  # of the customers
    validation_share: float = 0.2
    warmup_weeks: int = 12  # at the start, whose averages are still forming; never learned from
    train_until: float = 0.64  # share of the weeks, the end of the train weeks
    validation_until: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.train_share > 0 and self.validation_share > 0 and self.train_share + self.validation_share < 1):
            raise InputError(
                f"split: train_share {self.train_share} and validation_share {self.validation_share} must be positive "
                "and leave customers for the test split"
            )
        if self.warmup_weeks < 0:
            raise InputError(f"split: warmup_weeks is {self.warmup_weeks}; expected 0 or more weeks")
        if not 0 < self.train_until < self.validation_until < 1:
            raise InputError(
                f"split: train_until {self.train_until} and validation_until {self.validation_until} must be ordered "
                "shares of the weeks in (0, 1)"
            )


@dataclass(frozen=True, eq=False)
class Split:
    """One set of customers and its weeks."""

    name: str
    customers: NDArray[np.int64]  # positions in the panel, ascending
    weeks: range  # positions of the weeks


@dataclass(frozen=True, eq=False)
class Splits:
    train: Split
    validation: Split
    test: Split

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter((self.train, self.validation, self.test))


def split_history(customer_ids: Sequence[str], full_weeks: range, config: SplitConfig) -> Splits:
    """Divide customers by a hash of their id, and weeks in order.

    Args:
        customer_ids: One per row of the panel.
        full_weeks: Positions of the weeks that the history covers from Monday to Sunday.
        config: Shares.

    Raises:
        InputError: the history is too short or has too few customers to be split.
    """
    total = len(full_weeks)
    train_end = full_weeks.start + round(total * config.train_until)
    validation_end = full_weeks.start + round(total * config.validation_until)
    train_weeks = range(full_weeks.start + config.warmup_weeks, train_end)
    if len(train_weeks) < 8 or validation_end - train_end < 4 or full_weeks.stop - validation_end < 4:
        raise InputError(
            f"history: {total} full weeks are too few; after {config.warmup_weeks} weeks of warm-up at least 8 to "
            "train, 4 to validate and 4 to test are needed: give a longer history or shorten split.warmup_weeks"
        )
    place = np.array([_place(name, config.seed) for name in customer_ids])
    border = config.train_share + config.validation_share
    groups = (place < config.train_share, (place >= config.train_share) & (place < border), place >= border)
    customers = [np.flatnonzero(group).astype(np.int64) for group in groups]
    if min(len(group) for group in customers) < 50:
        raise InputError(
            f"history: the splits have {[len(group) for group in customers]} customers; each needs at least 50: give "
            "a history of more customers"
        )
    return Splits(
        train=Split("train", customers[0], train_weeks),
        validation=Split("validation", customers[1], range(train_end, validation_end)),
        test=Split("test", customers[2], range(validation_end, full_weeks.stop)),
    )


def _place(customer_id: str, seed: int) -> float:
    """Map an id to [0, 1), the same for the same seed on any machine."""
    digest = hashlib.sha256(f"{seed}:{customer_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
