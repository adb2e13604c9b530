"""Where every number of a market comes from: learned from history, or assumed with a source."""

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Origin(Enum):
    LEARNED = "learned"
    COMBINED = "estimate+prior"
    ASSUMED = "assumed"


@dataclass(frozen=True)
class Parameter:
    """One number of a market and its pedigree.

    Attributes:
        name: Dotted name, for instance `visit_lift.coupon`.
        value: Its mean, in `unit`.
        error: Standard error if learned, standard deviation of the prior or posterior if not, in `unit`.
        unit: What one of it is.
        origin: Learned, assumed, or an estimate met by a prior.
        source: The data and estimator, or the citation and the step from it to this value.
    """

    name: str
    value: float
    error: float
    unit: str
    origin: Origin
    source: str

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "origin": self.origin.value}
