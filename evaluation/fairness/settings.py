"""What fairness is judged by."""

from dataclasses import dataclass, field

from campaigns.errors import InputError


@dataclass
class FairnessConfig:
    """Attributes that decisions are held against, and how far groups may be apart."""

    protected: list[str] = field(default_factory=list)  # columns of the table of customers; all that it has if empty
    limit: float = 0.8  # least ratio of the worst-off group to the best-off one: four fifths, 29 CFR 1607.4(D)
    forbidden: list[str] = field(default_factory=list)  # features of the policy that must not move a decision

    def __post_init__(self) -> None:
        if not 0 < self.limit <= 1:
            raise InputError(f"export.fairness.limit is {self.limit:g}; expected a ratio above 0 and at most 1")
