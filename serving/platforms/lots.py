"""A policy table as lots: the customers who get the same offer on the same category in the same weeks."""

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import cast

import pandas as pd

from campaigns.offers import Offer, OfferKind
from serving.table import PolicyTable


@dataclass(frozen=True, eq=False)
class Lot:
    """Customers who get one and the same.

    Attributes:
        offer: What they get.
        category: What it is on; "" for the whole basket.
        valid_from: First day.
        valid_to: Last day, included.
        customers: Their ids, sorted, at least one.
        everyone: Whether these are all customers of the table.
    """

    offer: Offer
    category: str
    valid_from: date
    valid_to: date
    customers: tuple[str, ...]
    everyone: bool

    @property
    def key(self) -> str:
        """Short name that tells the lot from the others of its table, of letters, digits and dashes."""
        text = f"{self.category}|{self.valid_from}|{self.valid_to}"
        return f"{self.offer.name.replace('_', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def title(self) -> str:
        """What a marketer calls it."""
        return f"{self.offer.label} ({self.category})" if self.category else self.offer.label


def read_lots(table: PolicyTable) -> tuple[Lot, ...]:
    """Return the lots of a table in the order of its catalog, then by category and dates; "no offer" makes none."""
    rows, catalog = table.customers, table.catalog
    lots = []
    columns = ["offer", "promoted_category", "valid_from", "valid_to"]
    for key, members in rows.groupby(columns, sort=True)["customer_id"]:
        name, category, first, last = cast(tuple[str, str, pd.Timestamp, pd.Timestamp], key)
        offer = catalog.offers[catalog.index(name)]
        if offer.kind is not OfferKind.NONE:
            customers = tuple(sorted(members))
            lots.append(Lot(offer, category, first.date(), last.date(), customers, len(customers) == len(rows)))
    return tuple(sorted(lots, key=lambda lot: catalog.index(lot.offer.name)))
