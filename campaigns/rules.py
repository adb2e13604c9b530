"""What is allowed: contact cap, one live offer, eligibility, margin floor, stock and budget as one mask.

Arrays are numpy or torch; only operators and broadcasting are used, so the mask costs no host round trip.
"""

from dataclasses import dataclass
from typing import Any

from campaigns.arithmetic import every_promo_cents
from campaigns.errors import InputError
from campaigns.offers import BASIS_POINTS, OfferColumns


@dataclass
class Rules:
    """The marketer's rules; that a customer has at most one live offer is always one of them."""

    contact_cap: int = 3
    """Most contacts of one customer within the window, at least 0."""
    contact_window_weeks: int = 8
    """Weeks in which contacts count towards the cap, 1 to 8: the customer's state remembers no more."""
    margin_floor: float = 0.0
    """Least share of the typical basket that the margin must keep once the offer is paid, in [-1, 1]."""

    def __post_init__(self) -> None:
        if self.contact_cap < 0:
            raise InputError(f"rules: contact_cap is {self.contact_cap}; expected 0 or more contacts")
        if not 1 <= self.contact_window_weeks <= 8:
            raise InputError(f"rules: contact_window_weeks is {self.contact_window_weeks}; expected 1 to 8 weeks")
        if not -1 <= self.margin_floor <= 1:
            raise InputError(f"rules: margin_floor is {self.margin_floor}; expected a share of the basket in [-1, 1]")


@dataclass(frozen=True, eq=False)
class Facts:
    """What the rules look at, for n customers of one cohort; shape (n,) unless said otherwise.

    Whole numbers where money is concerned; the counts of contacts and weeks may be floats, as the state holds them.
    """

    basket: Any  # typical basket at shelf prices [cents], int64
    category_eligible: Any  # typical part of it in the promoted category [cents], int64
    margin_bp: Any  # gross margin [basis points of the basket], int64
    recent_contacts: Any  # contacts within the window of the rules
    live: Any  # an earlier offer is still outstanding, bool
    weeks_since_visit: Any
    reachable: Any  # bool
    budget_left: Any  # neither spent nor reserved [cents], int64, shape (), (1,) or (n,)
    stock_left: Any  # redemptions left this week, int64, shape (n_offers,); negative is no limit


def allowed(columns: OfferColumns, rules: Rules, facts: Facts) -> Any:
    """Return True where a customer may get an offer, shape (n, n_offers), bool; column 0 is always True."""
    offers = (slice(None), None)  # offer by offer over all customers, as memory has it
    free = facts.reachable & ~facts.live & (facts.recent_contacts < rules.contact_cap)
    eligible = facts.weeks_since_visit >= columns.min_weeks_since_visit[offers]
    affordable = (columns.cap + columns.contact)[offers] <= facts.budget_left
    spare = (facts.margin_bp - round(rules.margin_floor * BASIS_POINTS)) * facts.basket // BASIS_POINTS
    earning = spare >= every_promo_cents(columns, facts.basket, facts.category_eligible).cost.T
    return ((free & eligible & affordable & (facts.stock_left != 0)[offers] & earning) | (columns.kind == 0)[offers]).T
