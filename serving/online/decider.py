"""Decides for one customer: the row of the table, a rule, or the safe default "no offer"; an error only for
features that a new customer cannot have.

Embedded, without a server:

    decider = Decider.of(Path("runs/demo/policy"))
    decider.decide("1003").offer
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import apsw
import numpy as np

from campaigns.offers import Offer, OfferKind
from serving.arms import Arm, draw
from serving.by_rule import weigh
from serving.online.answers import Decision, Reason
from serving.online.clock import Clock
from serving.online.identity import Names
from serving.online.tables import Row, Table, read_manifest

ANYBODY: Final = ""
"""Customer of a decision that names nobody."""
RULED: Final = Arm.OPTIMISED.value
"""Arm that pays for what the rules give: they say in short what the policy does there."""
PERSONALISED: Final = "personalised"
PERSONALISED_PRICE: Final = "personalised; personalised_price"
"""What customers may have to be told of a rule's offer; words of `serving.reasons.Disclosure`."""


_MATCH: Final = Reason.MATCH.value  # an enum takes as long to tell its value as a dictionary a key


class Note(NamedTuple):
    """What is written down of a decision.

    Attributes:
        number: Of its id.
        time: Seconds since 1970.
        period: Of the table; "" where there is none.
        decision: What was answered.
    """

    number: int
    time: float
    period: str
    decision: Decision


@dataclass(frozen=True, eq=False)
class Loaded:
    """The tables that count now.

    Attributes:
        table: The newest.
        percent: Share of the customers who get it.
        before: What the others get.
        part: A customer's place in the rollout, 0 to 99.
    """

    table: Table
    percent: int = 100
    before: Table | None = None
    part: Callable[[str], int] | None = None

    def of(self, customer: str) -> Table:
        if self.before is None or self.part is None or self.part(customer) < self.percent:
            return self.table
        return self.before


class Decider:
    """Answers by what is loaded, killed and left at this moment. Not for several threads at the same time."""

    def __init__(
        self,
        names: Names,
        clock: Clock,
        note: Callable[[Note], bool] | None = None,
        killed: Callable[[], bool] | None = None,
        used_up: Callable[[], Collection[tuple[str, str, str]]] | None = None,
    ) -> None:
        """Begin without a table.

        Args:
            names: Makes decision ids.
            clock: What day it is.
            note: Takes what is written down; False: it cannot be, so no offer may be made.
            killed: Whether the kill switch is pulled.
            used_up: Period, arm and offer of what no more of may be promised.
        """
        self.loaded: Loaded | None = None
        self.counts: Counter[str] = Counter()
        """Decisions by reason."""
        self._names = names
        self._clock = clock
        self._note = note or (lambda note: True)
        self._killed = killed or (lambda: False)
        self._used_up = used_up or frozenset

    @classmethod
    def of(cls, folder: Path, clock: Clock | None = None) -> "Decider":
        """Open a policy folder to decide with in this process, without a log or a ledger.

        Raises:
            InputError: There is no policy, or a file was changed.
        """
        decider = cls(Names(b"\0" * 32), clock or Clock())
        decider.loaded = Loaded(Table.open(folder, read_manifest(folder)))
        return decider

    def decide(self, customer: str) -> Decision:
        """Return the decision for a customer by id."""
        return self._answer(customer, None)

    def decide_new(self, features: Mapping[str, float], customer: str = ANYBODY) -> Decision:
        """Return the decision for a customer whom the table need not know, by the rules.

        Args:
            features: Some of those that the rules ask for.
            customer: Their id, if they have one; whom the table knows gets their row, and whoever asks again with
                the same features gets the same.

        Raises:
            InputError: A feature is none of the table's or outside its range.
        """
        return self._answer(customer, features)

    def _answer(self, customer: str, features: Mapping[str, float] | None) -> Decision:
        number, name = self._names.make(customer)
        loaded = self.loaded
        table = None if loaded is None else loaded.of(customer)
        if self._killed():
            decision = _nothing(name, customer, table, Reason.KILLED)
        elif table is None:
            decision = _nothing(name, customer, None, Reason.DEFAULT)
        else:
            try:
                decision = self._by_table(name, customer, table, features)
            except (apsw.Error, UnicodeError):  # a page can no longer be read, or that is no text
                decision = _nothing(name, customer, table, Reason.DEFAULT)
        period = "" if table is None else table.period
        if not self._note(Note(number, self._clock.now(), period, decision)) and decision.reason != Reason.KILLED.value:
            decision = _nothing(name, customer, table, Reason.DEFAULT)
        self.counts[decision.reason] += 1
        return decision

    def _by_table(self, name: str, customer: str, table: Table, features: Mapping[str, float] | None) -> Decision:
        today = self._clock.today()
        if today > table.not_after:
            return _nothing(name, customer, table, Reason.STALE)
        if today < table.valid_from:
            return _nothing(name, customer, table, Reason.DEFAULT)
        row = table.row(customer) if customer != ANYBODY else None
        if row is not None:
            return self._match(name, customer, table, row, today)
        if features is not None:
            return self._rule(name, customer, table, features)
        return _nothing(name, customer, table, Reason.DEFAULT)

    def _match(self, name: str, customer: str, table: Table, row: Row, today: str) -> Decision:
        offer, category, items, first, last, arm, pscore, told = row
        if today < first:
            return _nothing(name, customer, table, Reason.DEFAULT)
        if today > last:
            return _nothing(name, customer, table, Reason.STALE)
        if not table.sound(offer, arm, pscore):
            return _nothing(name, customer, table, Reason.DEFAULT)
        used_up = self._used_up()
        if used_up and (table.period, arm, offer) in used_up:
            return self._given_up(name, customer, table, row)
        label = table.labels[offer]
        return Decision._make(
            (name, customer, table.version, _MATCH, offer, label, category, items, first, last, arm, pscore, told)
        )

    def _given_up(self, name: str, customer: str, table: Table, row: Row) -> Decision:
        """Answer "no offer" in place of one that is used up: its chance is that of all that is, and of "no offer"."""
        none = table.nothing
        weights = table.weights(customer)
        spent = sum(w for offer, w in weights.items() if (table.period, row.arm, offer) in self._used_up())
        chance = min(weights[none.name] + spent, 1.0)
        return Decision(
            name, customer, table.version, Reason.DEFAULT.value, none.name, none.label, valid_from=row.valid_from,
            valid_to=row.valid_to, arm=row.arm, pscore=chance,
        )  # fmt: skip

    def _rule(self, name: str, customer: str, table: Table, features: Mapping[str, float]) -> Decision:
        used_up = self._used_up()
        forbidden = [offer for offer in table.offers if (table.period, RULED, offer) in used_up]
        weights = weigh(table.segments, table.catalog, features, forbidden).weights
        luck = self._names.luck(table.period, customer or name)
        drawn = draw(np.array([[*weights.values()]]), np.array([luck]))
        offer = table.catalog.offers[int(drawn[0])]
        chance = weights[offer.name]
        if offer is table.nothing:
            return Decision(name, customer, table.version, Reason.RULE.value, offer.name, offer.label, pscore=chance)
        told = PERSONALISED if offer.kind is OfferKind.GIFT else PERSONALISED_PRICE
        return Decision(
            name, customer, table.version, Reason.RULE.value, offer.name, offer.label, valid_from=table.valid_from,
            valid_to=_last_day(table, offer), pscore=chance, disclosure=told,
        )  # fmt: skip


def _nothing(name: str, customer: str, table: Table | None, reason: Reason) -> Decision:
    if table is None:
        return Decision(name, customer, 0, reason.value)
    none = table.nothing
    return Decision(name, customer, table.version, reason.value, none.name, none.label)


def _last_day(table: Table, offer: Offer) -> str:
    """Return the last day of an offer that begins with the table, as its rows have it."""
    return (date.fromisoformat(table.valid_from) + timedelta(days=7 * offer.weeks - 1)).isoformat()
