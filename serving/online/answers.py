"""What the look-up service answers for a customer, and why."""

from enum import Enum
from typing import Any, Final, NamedTuple


class Reason(Enum):
    """Why this is the answer; the values are a closed vocabulary."""

    MATCH = "match"  # the customer's row in the table
    RULE = "rule"  # unknown to the table: the first rule that the given features fit
    DEFAULT = "default"  # nothing is known or nothing can be given: the safe default
    STALE = "stale"  # the table or the offer is past its last day
    KILLED = "killed"  # somebody pulled the kill switch


NO_OFFER: Final = "none"
"""Name of "no offer" where there is no catalog to ask."""
NO_OFFER_LABEL: Final = "no offer"


class Decision(NamedTuple):
    """One decision; text as in the table's columns.

    Attributes:
        decision_id: Names the decision in events and redemptions.
        customer: Whom it is for; "" for a new customer without an id.
        version: Of the table; 0 where there is none.
        reason: Value of `Reason`.
        offer, offer_label: What to offer.
        promoted_category, promoted_items: What it promotes; "" for nothing.
        valid_from, valid_to: Dates, both included, as in 2018-01-01; None for no offer that is not in the table.
        arm: How the offer was chosen; "" where the customer is in none.
        pscore: Chance with which this offer was drawn for this customer, everything else being given.
        disclosure: What the customer may have to be told.
    """

    decision_id: str
    customer: str
    version: int
    reason: str
    offer: str = NO_OFFER
    offer_label: str = NO_OFFER_LABEL
    promoted_category: str = ""
    promoted_items: str = ""
    valid_from: str | None = None
    valid_to: str | None = None
    arm: str = ""
    pscore: float = 1.0
    disclosure: str = ""

    def plain(self) -> dict[str, Any]:
        """Return the fields by name, in order."""
        return dict(zip(_FIELDS, self, strict=True))


_FIELDS: Final = Decision._fields
