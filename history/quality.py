"""What the intake found: rows kept and set aside, and what missing tables and columns cost."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from history.calendar import Calendar


@dataclass(frozen=True)
class TableQuality:
    """What became of one table's rows: kept + rejected = read.

    Attributes:
        file: Name of its file, without folders.
        sha256: Hash of the file.
        read: Rows in the file.
        kept: Rows that passed.
        rejected: Rows set aside.
        reasons: Number of rows set aside for each reason.
        missing_columns: What the absence of a column costs, by column.
    """

    file: str
    sha256: str
    read: int
    kept: int
    rejected: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    missing_columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kept + self.rejected != self.read or sum(self.reasons.values()) != self.rejected:
            raise ValueError(f"{self.file}: {self.read} rows read, {self.kept} kept, {self.rejected} rejected")

    @property
    def rejected_share(self) -> float:
        return self.rejected / max(self.read, 1)


@dataclass(frozen=True)
class CouponValues:
    """Estimate of what logged coupons were worth, from what was saved on their products on the day of redemption.

    Attributes:
        redemptions: Logged redemptions.
        matched: Redemptions with at least one line of a product of the coupon, with a coupon discount, that day.
        lines: Such lines.
        quartiles: Quartiles of the coupon discount per unit over these lines [currency]; () without lines.
    """

    redemptions: int
    matched: int
    lines: int
    quartiles: tuple[float, ...]


@dataclass(frozen=True)
class Quality:
    """What a report says about the data.

    Attributes:
        tables: Found tables by name.
        missing_tables: What the absence of a table costs, by table.
        notes: Oddities that were kept, in words.
        currency: What one unit of money is.
        week_origin: First day of week 1, ISO.
        first_week: Number of the first week.
        last_week: Number of the last week.
        totals: customers, baskets, lines, spend [currency], targetings, redemptions.
        coupon_values: What logged coupons were worth.
    """

    tables: Mapping[str, TableQuality]
    missing_tables: Mapping[str, str]
    notes: tuple[str, ...]
    currency: str
    week_origin: str
    first_week: int
    last_week: int
    totals: Mapping[str, float]
    coupon_values: CouponValues

    @property
    def calendar(self) -> Calendar:
        return Calendar(date.fromisoformat(self.week_origin), self.first_week, self.last_week)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def quality_from_dict(value: Mapping[str, Any]) -> Quality:
    """Return what `Quality.to_dict` was made of."""
    tables = {name: TableQuality(**table) for name, table in value["tables"].items()}
    coupons = {**value["coupon_values"], "quartiles": tuple(value["coupon_values"]["quartiles"])}
    made = {"tables": tables, "notes": tuple(value["notes"]), "coupon_values": CouponValues(**coupons)}
    return Quality(**{**value, **made})
