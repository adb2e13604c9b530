"""Weekly raw events as dense arrays, and the two files that keep them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from campaigns.errors import InputError
from history.artifacts import read_json, read_tensors, write_json, write_tensors

Floats = NDArray[np.float32]

ARRAYS: Final = ("baskets", "spend", "promo_spend", "saving", "redeemed", "contacted", "exposure")
"""Names of the (n, T) arrays of `WeeklyEvents`."""


@dataclass(frozen=True, eq=False)
class WeeklyEvents:
    """What n customers did in T consecutive weeks; every array float32, shape (n, T) unless said otherwise.

    Attributes:
        customer_ids: n ids, sorted as text.
        weeks: Week numbers, shape (T,), int64, consecutive.
        baskets: Number of distinct baskets.
        spend: Paid at shelf prices [currency of the source].
        promo_spend: Part of spend on lines with a shelf discount [currency].
        saving: Coupon discounts [currency].
        redeemed: Number of redemptions.
        contacted: 1 where a campaign of the customer starts in the week, else 0; a campaign that was already
            running counts in the first week.
        exposure: Share of the lines bought in strictly earlier weeks whose product is on display or in the mailer
            of its store this week, 0..1.
        category_spend: Part of spend per category [currency], shape (n, T, K); the last category is "other".
        category_names: K names, by falling spend of the customers and weeks they were chosen on.
        category_departments: K departments, "" where unknown.
    """

    customer_ids: tuple[str, ...]
    weeks: NDArray[np.int64]
    baskets: Floats
    spend: Floats
    promo_spend: Floats
    saving: Floats
    redeemed: Floats
    contacted: Floats
    exposure: Floats
    category_spend: Floats
    category_names: tuple[str, ...]
    category_departments: tuple[str, ...]

    def __post_init__(self) -> None:
        shape = (len(self.customer_ids), len(self.weeks))
        for name in ARRAYS:
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected {shape}")
        if self.category_spend.shape != (*shape, len(self.category_names)):
            raise ValueError(f"category_spend has shape {self.category_spend.shape}, expected {shape} and categories")

    @property
    def n(self) -> int:
        return len(self.customer_ids)

    def save(self, folder: Path) -> None:
        """Write weekly.safetensors and weekly.json into `folder`."""
        arrays = {name: getattr(self, name) for name in (*ARRAYS, "category_spend", "weeks")}
        write_tensors(folder / "weekly.safetensors", {name: torch.from_numpy(a) for name, a in arrays.items()})
        names = ("customer_ids", "category_names", "category_departments")
        write_json(folder / "weekly.json", {name: getattr(self, name) for name in names})


def load_events(folder: Path) -> WeeklyEvents:
    """Read what `WeeklyEvents.save` wrote.

    Raises:
        InputError: A file is missing, unreadable or not of the other's making.
    """
    arrays: dict[str, Any] = {
        name: tensor.numpy() for name, tensor in read_tensors(folder / "weekly.safetensors").items()
    }
    names: Mapping[str, Any] = read_json(folder / "weekly.json")
    try:
        texts: dict[str, Any] = {name: tuple(values) for name, values in names.items()}
        return WeeklyEvents(**arrays, **texts)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{folder / 'weekly.json'}: does not fit weekly.safetensors beside it ({error}); run prepare again"
        ) from None
