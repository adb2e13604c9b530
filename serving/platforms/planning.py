"""Which lots of a table go to a platform, in which terms: what all platforms do before they write anything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from campaigns.offers import Catalog
from serving.platforms.campaign import Payload, Sample
from serving.platforms.lots import Lot, read_lots
from serving.platforms.mapping import Caps
from serving.platforms.notes import Coverage, Note, Standing, coverage
from serving.platforms.terms import Abilities, Expression, Terms, express, split_stock
from serving.table import PolicyTable


@dataclass(frozen=True, eq=False)
class Plan:
    """Lots to write, each with its terms; what became of each offer; what has to be said."""

    catalog: Catalog
    entries: tuple[tuple[Lot, Terms], ...]
    coverage: tuple[Coverage, ...]
    notes: tuple[Note, ...]

    def samples(self, payloads: Mapping[str, Payload]) -> tuple[Sample, ...]:
        """Return the first lot of each offer with its payload, from the payloads by the key of the lot."""
        first = {lot.offer.name: lot for lot, _ in reversed(self.entries)}
        return tuple(Sample(lot, payloads[lot.key]) for lot in reversed(first.values()))


def plan(
    table: PolicyTable,
    abilities: Abilities,
    caps: Caps,
    platform: str,
    refuse: Callable[[Lot], Note | None] = lambda _: None,
) -> Plan:
    """Say every offer of a table in a platform's terms.

    Args:
        table: The policy table.
        abilities: What the platform knows.
        caps: What to do where it knows no cap.
        platform: Its name, for the notes.
        refuse: Why a lot is left out for reasons of its own, if it is.
    """
    catalog, lots = table.catalog, read_lots(table)
    entries: list[tuple[Lot, Terms]] = []
    notes: list[Note] = []
    standing: dict[str, Standing] = {}
    for offer in catalog.offers:
        own = tuple(lot for lot in lots if lot.offer is offer or lot.offer.name == offer.name)
        if not own:
            continue
        said = express(offer, catalog, abilities, caps, platform)
        kept, dropped = _kept(own, said, refuse)
        entries += kept
        notes += (*said.notes, *dropped) if kept or said.terms is None else dropped
        standing[offer.name] = said.standing if kept else Standing.LEFT_OUT
    return Plan(catalog, tuple(entries), coverage(catalog, lots, standing), tuple(notes))


def _kept(
    lots: tuple[Lot, ...], said: Expression, refuse: Callable[[Lot], Note | None]
) -> tuple[list[tuple[Lot, Terms]], list[Note]]:
    if said.terms is None:
        return [], []
    refused = {lot.key: refuse(lot) for lot in lots}
    allowed = tuple(lot for lot in lots if refused[lot.key] is None)
    notes = list(dict.fromkeys(note for note in refused.values() if note is not None))
    if said.terms.uses is None:
        return [(lot, said.terms) for lot in allowed], notes
    parts = split_stock(said.terms.uses, allowed) if allowed else {}
    for lot in allowed:
        if not parts[lot.key]:
            text = f"{lot.title}: stock for other categories alone; its {len(lot.customers)} customers are left out"
            notes.append(Note(lot.offer.name, "stock", text))
    return [(lot, replace(said.terms, uses=parts[lot.key])) for lot in allowed if parts[lot.key]], notes
