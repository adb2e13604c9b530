"""The decision for a customer whom the table does not know, from what is known of them, by its rules."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from campaigns.errors import InputError
from campaigns.offers import Catalog
from serving.arms import give_up
from serving.rules import Segments


@dataclass(frozen=True)
class ByRule:
    """What a rule gives a customer.

    Attributes:
        segment: Number of the rule.
        offer: What it favours, or none where that is forbidden.
        weights: Chance of every offer, in the order of the catalog; they sum to exactly 1.
    """

    segment: int
    offer: str
    weights: Mapping[str, float]


def weigh(
    segments: Segments, catalog: Catalog, features: Mapping[str, float | None], forbidden: Collection[str] = ()
) -> ByRule:
    """Return the weights that the first fitting rule gives a customer.

    Draw with them as for a customer of the table: `serving.arms.draw` with the luck of `CampaignKey.fractions`.

    Args:
        segments: Rules of a published table.
        catalog: Its offers.
        features: Values by name, as `segments.features` lists them. One that is left out or None is unknown: no
            condition on it holds, so that at last the catch-all does.
        forbidden: Names of offers that the customer must not get (caps, stock, margin); their weight goes to "no
            offer". So does that of offers for customers away for longer than this one is, or than is known.

    Raises:
        InputError: A feature is none of the table's, no finite number or outside its range; an offer is unknown.
    """
    known = {one.name: one for one in segments.features}
    for name in features:
        if name not in known:
            raise InputError(f"feature {name!r} is none of this table's; expected some of {', '.join(known)}")
    for name in forbidden:
        if name not in catalog.names:
            raise InputError(
                f"forbidden offer {name!r} is not in the catalog; expected some of {', '.join(catalog.names)}"
            )
    values = {name: known[name].check(value) for name, value in features.items() if value is not None}
    rule = next(rule for rule in segments.rules if all(one.holds(values.get(one.feature)) for one in rule.conditions))
    away = values.get("weeks_since_visit", 0.0)
    allowed = [o.name not in forbidden and o.min_weeks_since_visit <= away for o in catalog.offers]
    given = np.array([[rule.weights[name] for name in catalog.names]])
    weights = give_up(given, np.array([[True, *allowed[1:]]]))[0]
    offer = rule.offer if allowed[catalog.index(rule.offer)] else catalog.names[0]
    return ByRule(rule.number, offer, dict(zip(catalog.names, weights.tolist(), strict=True)))
