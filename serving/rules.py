"""Segment rules: ordered conditions on customers; the first that matches wins, a catch-all ends them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from campaigns.errors import InputError
from campaigns.held_out import HeldOut
from serving.rule_features import Feature
from serving.words import condition_in_words

if TYPE_CHECKING:  # whoever looks a customer up need not wait a second for pandas
    import pandas as pd

DIGITS: Final = 4
"""Decimals of money and shares in files: a hundredth of a cent."""


@dataclass(frozen=True)
class Condition:
    """`at_least <= feature < below`; None is no limit on that side. An unknown (NaN) value never matches."""

    feature: str
    at_least: float | None
    below: float | None

    def matches(self, features: pd.DataFrame) -> NDArray[np.bool_]:
        """Return True for the customers that meet the condition, shape (n,)."""
        value = features[self.feature].to_numpy(dtype=np.float64, na_value=np.nan)
        low = -np.inf if self.at_least is None else self.at_least
        high = np.inf if self.below is None else self.below
        matched: NDArray[np.bool_] = (value >= low) & (value < high)
        return matched

    def holds(self, value: float | None) -> bool:
        """Return whether one customer meets the condition; None is unknown."""
        if value is None:
            return False
        return (self.at_least is None or value >= self.at_least) and (self.below is None or value < self.below)

    def formula(self) -> str:
        """Return the condition for a program, as in `weeks_since_visit >= 4`."""
        low = [] if self.at_least is None else [f"{self.feature} >= {self.at_least:.10g}"]
        high = [] if self.below is None else [f"{self.feature} < {self.below:.10g}"]
        return " and ".join(low + high)

    def words(self) -> str:
        return condition_in_words(self.feature, self.at_least, self.below)


@dataclass(frozen=True)
class Rule:
    """One segment and its offer; money is per customer and decision.

    Attributes:
        number: Place in the table, from 1.
        conditions: All must hold; none for the catch-all.
        customers: Customers of the data that the rule catches.
        share: Their share of all customers.
        reached: Those of them who may get the offer at present.
        offer: Name of the offer.
        offer_label: What a marketer calls it.
        weights: Chance of every offer of the catalog by name, for a customer whom the table does not know: exploration
            included, multiples of 1/`GRAIN` that sum to 1; the offer's is the largest.
        by_majority: The offer is what the policy gives most of the segment; otherwise it earns more there.
        agreement: Share of them to whom the policy gives the same.
        uplift, uplift_lo, uplift_hi: Mean expected net uplift with its 95 % interval over customers [currency].
        cost: Mean expected cost [currency].
    """

    number: int
    conditions: tuple[Condition, ...]
    customers: int
    share: float
    reached: int
    offer: str
    offer_label: str
    weights: Mapping[str, float]
    by_majority: bool
    agreement: float
    uplift: float
    uplift_lo: float
    uplift_hi: float
    cost: float

    @property
    def text(self) -> str:
        """The rule's conditions in words."""
        if self.conditions:
            return " and ".join(condition.words() for condition in self.conditions)
        return "everyone else" if self.number > 1 else "everyone"

    @property
    def formula(self) -> str:
        """The rule's conditions for a program; empty for the catch-all."""
        return " and ".join(condition.formula() for condition in self.conditions)


@dataclass(frozen=True)
class Segments:
    """The rules of a policy and how well they stand for it.

    Attributes:
        rules: In order; the last and only the last has no conditions.
        agreement: Share of customers to whom rules and policy give the same.
        uplift_kept: The rules' expected uplift over the policy's; None if the policy's is not clearly above 0.
        enough: The rules keep the share of the uplift that was asked of them, on the held-out market if there is one.
        cost, policy_cost: Mean expected cost per customer under the rules and under the policy [currency].
        features: What they may ask of a customer.
        least_customers: Customers that a rule catches at least; fewer only where one rule is for everybody.
        held_out: What they keep on the held-out market; None if they were not tried there.

    Raises:
        InputError: The catch-all is missing, not the last or repeated, the numbers are not 1, 2, 3, ..., a condition is
            on no feature of these, a rule catches too few, or weights are not chances of which the offer's is largest.
    """

    rules: tuple[Rule, ...]
    agreement: float
    uplift_kept: float | None
    enough: bool
    cost: float
    policy_cost: float
    features: tuple[Feature, ...]
    least_customers: int
    held_out: HeldOut | None = None

    def __post_init__(self) -> None:
        catch_all = [i for i, rule in enumerate(self.rules) if not rule.conditions]
        if catch_all != [len(self.rules) - 1]:
            raise InputError(f"segment rules: catch-all at {catch_all}; expected exactly one, as the last rule")
        if [rule.number for rule in self.rules] != list(range(1, len(self.rules) + 1)):
            raise InputError("segment rules: numbers are not 1, 2, 3, ...; number them in order")
        for rule in self.rules:
            self._check(rule)

    def _check(self, rule: Rule) -> None:
        unknown = {condition.feature for condition in rule.conditions} - {one.name for one in self.features}
        if unknown:
            raise InputError(
                f"segment rules: rule {rule.number} asks for {', '.join(unknown)}; describe it among the features"
            )
        if rule.customers < self.least_customers and len(self.rules) > 1:
            raise InputError(
                f"segment rules: rule {rule.number} catches {rule.customers} customers; expected "
                f"{self.least_customers} or more, merge it with another"
            )
        chances = rule.weights.values()
        if sum(chances) != 1.0 or min(chances) < 0 or rule.weights.get(rule.offer) != max(chances):
            raise InputError(
                f"segment rules: weights of rule {rule.number} are {dict(rule.weights)}; expected 0 or more, exactly 1 "
                f"in all, and most for {rule.offer}"
            )

    def frame(self, currency: str) -> pd.DataFrame:
        """Return one row per rule, as in `policy_by_segment.csv`, with shares and money to four decimals."""
        import pandas as pd

        code, held = currency.lower(), self.held_out
        share, low, high = (None, None, None) if held is None else (held.uplift_kept, held.lo, held.hi)
        rows = [
            {
                "segment": rule.number,
                "rule": rule.text,
                "condition": rule.formula,
                "customers": rule.customers,
                "share": rule.share,
                "reached": rule.reached,
                "offer": rule.offer,
                "offer_label": rule.offer_label,
                f"expected_uplift_{code}": rule.uplift,
                f"expected_uplift_lo_{code}": rule.uplift_lo,
                f"expected_uplift_hi_{code}": rule.uplift_hi,
                f"expected_cost_{code}": rule.cost,
                "agreement": rule.agreement,
                "table_agreement": self.agreement,
                "table_uplift_kept": np.nan if self.uplift_kept is None else self.uplift_kept,
                "held_out_agreement": np.nan if held is None else held.agreement,
                "held_out_uplift_kept": np.nan if share is None else share,
                "held_out_uplift_kept_lo": np.nan if low is None else low,
                "held_out_uplift_kept_hi": np.nan if high is None else high,
            }
            for rule in self.rules
        ]
        return pd.DataFrame(rows).round(DIGITS)

    def rule(self, number: int) -> Rule | None:
        """Return the rule of a number; None where there is none."""
        return next((rule for rule in self.rules if rule.number == number), None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON holds and `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned.

        Raises:
            InputError: A key is missing or unknown, or the rules contradict each other.
        """
        try:
            rules = tuple(
                Rule(**{**rule, "conditions": tuple(Condition(**c) for c in rule["conditions"])})
                for rule in plain["rules"]
            )
            features = tuple(Feature(**one) for one in plain["features"])
            held_out = None if plain["held_out"] is None else HeldOut(**plain["held_out"])
            return cls(**{**plain, "rules": rules, "features": features, "held_out": held_out})
        except (KeyError, TypeError) as error:
            raise InputError(
                f"segment rules: a key is missing, unknown or no record ({error}); this version reads what it wrote, "
                "export the policy again"
            ) from None


def apply_rules(segments: Segments, features: pd.DataFrame) -> NDArray[np.int64]:
    """Return the place of each customer's rule in `segments.rules`, shape (n,).

    Args:
        segments: The rules.
        features: A column for every feature that the rules name, n rows.
    """
    matches = [_matches(rule, features) for rule in segments.rules]
    first: NDArray[np.int64] = np.stack(matches).argmax(axis=0)  # argmax returns the first of equals
    return first


def _matches(rule: Rule, features: pd.DataFrame) -> NDArray[np.bool_]:
    matched = np.ones(len(features), dtype=np.bool_)
    for condition in rule.conditions:
        matched &= condition.matches(features)
    return matched
