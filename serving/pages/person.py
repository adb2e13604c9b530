"""Who gets what, and why: one customer's decision as the look-up would answer now, which is not written down as one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from campaigns.errors import InputError
from serving.by_rule import ByRule, weigh
from serving.online.answers import Decision
from serving.online.decider import Decider
from serving.online.identity import Names
from serving.online.service import Service
from serving.online.tables import Table
from serving.pages.language import Language
from serving.pages.overview import Interval
from serving.pages.phrases import say_reason, say_rule

LISTED: Final = 20
"""Customers that a search lists."""
NOTHING: Final = "nothing"


@dataclass(frozen=True)
class Chance:
    """With which chance an offer was drawn; `part` is 1 for the largest."""

    label: str
    chance: float
    part: float


@dataclass(frozen=True)
class Person:
    """A customer whom the table knows.

    Attributes:
        decision: What the look-up would answer now.
        version: Of the table that counts for them.
        label: What the table gives, whether or not it is given now.
        category, items: What it promotes, or "".
        currency: Of what follows.
        uplift, cost: What is expected of it.
        valid_from, valid_to: Dates.
        arm, arm_share, pscore: How it was drawn.
        bound: What left them without an offer, or "nothing".
        rule, rule_text: Their rule.
        reason: Why, in words.
        codes, disclosures: Of the closed vocabularies.
        chances: Of every offer that was allowed, the largest first.
    """

    decision: Decision
    version: int
    label: str
    category: str
    items: str
    currency: str
    uplift: Interval
    cost: Interval
    valid_from: str
    valid_to: str
    arm: str
    arm_share: float
    pscore: float
    bound: str
    rule: int
    rule_text: str
    reason: str
    codes: tuple[str, ...]
    disclosures: tuple[str, ...]
    chances: tuple[Chance, ...]


@dataclass(frozen=True)
class ForRule:
    """What a customer gets whom the table does not know: their rule, and the chance of each offer."""

    number: int
    text: str
    label: str
    chances: tuple[Chance, ...]


class Desk:
    """Answers as the service does, without writing down that somebody was decided for. In the event loop's thread."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._decider = Decider(
            Names(b"\0" * 32), service.clock, None, lambda: service.switch.killed, lambda: service.ledger.used_up
        )

    def find(self, customer: str, words: Language) -> tuple[Person | None, Decision]:
        """Return a customer of the table, and what the look-up would answer."""
        self._decider.loaded = loaded = self._service.decider.loaded
        decision = self._decider.decide(customer)
        if loaded is None:
            return None, decision
        table = loaded.of(customer)
        row = table.lookup.lookup(customer)
        return (None if row is None else _person(decision, table, row, words)), decision

    def beginning(self, start: str) -> tuple[str, ...]:
        """Return customers whose ids begin so, at most `LISTED` and one."""
        loaded = self._service.decider.loaded
        return () if loaded is None else tuple(loaded.table.lookup.beginning(start, LISTED + 1))

    def features(self) -> tuple[str, ...]:
        """Return what may be told of a customer whom the table does not know."""
        loaded = self._service.decider.loaded
        return () if loaded is None else tuple(one.name for one in loaded.table.segments.features)

    def by_rule(self, features: Mapping[str, float], words: Language) -> ForRule:
        """Return what the rules give.

        Raises:
            InputError: There is no table, or a feature is none of its or outside its range.
        """
        loaded = self._service.decider.loaded
        if loaded is None:
            raise InputError("there is no table")
        table = loaded.table
        found: ByRule = weigh(table.segments, table.catalog, features)
        rule = table.segments.rule(found.segment)
        assert rule is not None
        return ForRule(
            rule.number, say_rule(rule, words), table.offers[found.offer].label, _chances(found.weights, table)
        )


def _person(decision: Decision, table: Table, row: Mapping[str, Any], words: Language) -> Person:
    code = table.catalog.currency.lower()

    def interval(what: str) -> Interval:
        return Interval(*(float(row[f"expected_{what}{limit}_{code}"]) for limit in ("", "_lo", "_hi")))

    rule = table.segments.rule(int(row["segment"]))
    weights = {name: float(row[f"weight_{name}"]) for name in table.offers}
    return Person(
        decision=decision,
        version=table.version,
        label=str(row["offer_label"]),
        category=str(row["promoted_category"]),
        items=str(row["promoted_items"]),
        currency=table.catalog.currency,
        uplift=interval("uplift"),
        cost=interval("cost"),
        valid_from=str(row["valid_from"]),
        valid_to=str(row["valid_to"]),
        arm=str(row["arm"]),
        arm_share=float(row["arm_share"]),
        pscore=float(row["pscore"]),
        bound=str(row["bound"]),
        rule=int(row["segment"]),
        rule_text="" if rule is None else say_rule(rule, words),
        reason=say_reason(row, table.segments, table.catalog.currency, words),
        codes=_codes(row["reason_codes"]),
        disclosures=_codes(row["disclosure"]),
        chances=_chances(weights, table),
    )


def _codes(text: object) -> tuple[str, ...]:
    return tuple(code for code in str(text).split("; ") if code)


def _chances(weights: Mapping[str, float], table: Table) -> tuple[Chance, ...]:
    most = max(*weights.values(), 1e-12)
    found = [Chance(table.offers[name].label, one, one / most) for name, one in weights.items() if one > 0]
    return tuple(sorted(found, key=lambda one: -one.chance))
