"""The tables that a history is made of: their columns, what may be missing, and what that costs."""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Kind(Enum):
    """What the values of a column are."""

    ID = "an id (whole number or text)"
    TEXT = "text"
    NUMBER = "a number"
    WHOLE = "a whole number"
    DATE = "a date (YYYY-MM-DD, with or without a time)"
    FLAG = "a flag (0, false, no or empty is off)"


@dataclass(frozen=True)
class Column:
    """One column under its name in Offersmith.

    Attributes:
        name: Canonical name.
        kind: What its values are.
        needed: Whether the table is refused without it.
        strict: Whether a row without a value is set aside, where the column is mapped.
        default: SQL literal that stands in where the column or a value is missing.
        cost: What is lost without the column; "" where nothing is.
        least: Least legal value; None for no bound.
    """

    name: str
    kind: Kind
    needed: bool = False
    strict: bool = False
    default: str = "NULL"
    cost: str = ""
    least: float | None = None


@dataclass(frozen=True)
class Table:
    """One table under its name in Offersmith.

    Attributes:
        name: Canonical name.
        columns: Its columns, in order.
        key: Columns that no two rows share; () where a repeated row says nothing new.
        any_of: Groups of columns of which at least one must be mapped.
        described: Whether further columns may be mapped, under any name, as description.
        needed: Whether a history is refused without the table.
        cost: What is lost without the table.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    any_of: tuple[tuple[str, ...], ...] = ()
    described: bool = False
    needed: bool = False
    cost: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


def _id(name: str) -> Column:
    return Column(name, Kind.ID, needed=True, strict=True)


_STORE: Final = Column("store_id", Kind.ID, default="''", cost="promotions are matched by product alone, in any store")

_TRANSACTIONS: Final = Table(
    name="transactions",
    needed=True,
    key=("customer_id", "basket_id", "product_id", "line_id"),
    any_of=(("date", "week"),),
    columns=(
        _id("customer_id"),
        _id("basket_id"),
        _id("product_id"),
        Column("line_id", Kind.ID, default="''"),
        _STORE,
        Column("date", Kind.DATE, strict=True, cost="logged coupons cannot be matched with what was bought that day"),
        Column("week", Kind.WHOLE, strict=True, least=0),
        Column("quantity", Kind.NUMBER, default="1", cost="coupon values are per line, not per unit", least=0),
        Column("spend", Kind.NUMBER, needed=True, strict=True, least=0),
        Column("retail_discount", Kind.NUMBER, default="0", cost="nobody has a promotion habit", least=0),
        Column(
            "coupon_discount",
            Kind.NUMBER,
            default="0",
            cost="coupon savings are 0 for everyone and the value of logged coupons is unknown",
            least=0,
        ),
    ),
)
_PRODUCTS: Final = Table(
    name="products",
    key=("product_id",),
    cost="every product falls into the category 'other': no taste, no promoted category",
    columns=(
        _id("product_id"),
        Column("department", Kind.TEXT, cost="margins cannot differ between departments"),
        Column("category", Kind.TEXT, cost="every product falls into the category 'other'"),
        Column("brand", Kind.TEXT),
        Column("name", Kind.TEXT),
        Column("package", Kind.TEXT),
    ),
)
_CUSTOMERS: Final = Table(
    name="customers",
    key=("customer_id",),
    described=True,
    cost="no demographics to describe customers by; no model uses them",
    columns=(_id("customer_id"),),
)
_TYPE: Final = Column("campaign_type", Kind.TEXT, default="''", cost="campaigns of different types are not told apart")
_OFFER: Final = Column(
    "offer",
    Kind.TEXT,
    default="''",
    cost="what one offer does cannot be learned from the log, only what a bundle of coupons did",
)
_CAMPAIGNS: Final = Table(
    name="campaigns",
    key=("campaign_id", "customer_id"),
    cost="nobody was contacted: the effect of an offer cannot be learned, only assumed",
    columns=(
        _id("campaign_id"),
        _id("customer_id"),
        Column("start_date", Kind.DATE, strict=True),
        Column("end_date", Kind.DATE, strict=True),
        _TYPE,
        _OFFER,
    ),
)
_CAMPAIGN_DESCRIPTIONS: Final = Table(
    name="campaign_descriptions",
    key=("campaign_id",),
    columns=(
        _id("campaign_id"),
        Column("start_date", Kind.DATE, needed=True, strict=True),
        Column("end_date", Kind.DATE, needed=True, strict=True),
        _TYPE,
        _OFFER,
    ),
)
_COUPONS: Final = Table(
    name="coupons",
    cost="the value of logged coupons is unknown",
    columns=(_id("coupon_id"), _id("product_id"), _id("campaign_id")),
)
_REDEMPTIONS: Final = Table(
    name="redemptions",
    key=("customer_id", "coupon_id", "campaign_id", "date"),
    cost="redemptions are 0 for everyone: how offers are redeemed cannot be learned, only assumed",
    columns=(
        _id("customer_id"),
        _id("coupon_id"),
        _id("campaign_id"),
        Column("date", Kind.DATE, needed=True, strict=True),
    ),
)
_PROMOTIONS: Final = Table(
    name="promotions",
    any_of=(("week", "date"), ("display", "mailer")),
    cost="exposure to shelf promotions is 0 for everyone",
    columns=(
        _id("product_id"),
        _STORE,
        Column("week", Kind.WHOLE, strict=True, least=0),
        Column("date", Kind.DATE, strict=True),
        Column("display", Kind.FLAG, default="false"),
        Column("mailer", Kind.FLAG, default="false"),
    ),
)

_DECISIONS: Final = Table(
    name="decisions",
    any_of=(("date", "week"),),
    cost="bandits learn from their own decisions alone, and begin from none that were logged",
    columns=(
        _id("customer_id"),
        Column("date", Kind.DATE, strict=True),
        Column("week", Kind.WHOLE, strict=True, least=0),
        Column("offer", Kind.TEXT, needed=True, strict=True),
        Column("pscore", Kind.NUMBER, cost="what was decided cannot speak for all customers: no bandit begins from it"),
    ),
)

TABLES: Final = {
    table.name: table
    for table in (
        _TRANSACTIONS,
        _PRODUCTS,
        _CUSTOMERS,
        _CAMPAIGN_DESCRIPTIONS,
        _CAMPAIGNS,
        _COUPONS,
        _REDEMPTIONS,
        _PROMOTIONS,
        _DECISIONS,
    )
}
"""Every table by name, in the order in which they are read."""
