"""Who gets which code: the file for the mailing, which the platforms do not keep."""

import csv
from typing import Final

import pandas as pd

from serving.platforms.codes import Codes
from serving.platforms.lots import Lot
from serving.platforms.terms import Terms
from serving.spreadsheet import escape

FILE: Final = "codes.csv"
COLUMNS: Final = ("customer_id", "code", "offer", "offer_label", "category", "valid_from", "valid_to")


def code_table(entries: tuple[tuple[Lot, Terms], ...], codes: Codes) -> str:
    """Return the text of `codes.csv`: one row per customer, in the order of the lots."""
    frames = [
        pd.DataFrame(
            {
                "customer_id": lot.customers,
                "code": codes.for_customers(lot) if terms.uses is None else codes.for_all(lot),
                "offer": lot.offer.name,
                "offer_label": lot.offer.label,
                "category": lot.category,
                "valid_from": lot.valid_from.isoformat(),
                "valid_to": lot.valid_to.isoformat(),
            }
        )
        for lot, terms in entries
    ]
    return write_csv(pd.concat([pd.DataFrame(columns=list(COLUMNS), dtype="str"), *frames], ignore_index=True))


def write_csv(rows: pd.DataFrame) -> str:
    """Return text columns as CSV that a spreadsheet opens and does not run."""
    safe = rows.astype("str").apply(escape)
    return "\ufeff" + safe.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
