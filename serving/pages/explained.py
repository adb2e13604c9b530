"""Why the policy decides so for one customer, and what would change it, in the reader's language."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from campaigns.errors import InputError
from serving.explanations import EXPLANATIONS, Change, Driver, Explanation, read_one
from serving.pages.language import Language
from serving.pages.overview import labels_of
from serving.pages.person import Person
from serving.pages.phrases import SHARES, say_condition, say_feature
from serving.release import Release
from serving.rules import Condition
from serving.words import condition_in_words

_AVERAGED: Final = re.compile(r"(?P<stem>visit_rate|spend)_(?P<weeks>\d+)w")
_MONEY: Final = ("spend", "spend_per_active_week")
_PARTS: Final = (*SHARES, "visit_rate", "exposure")
"""Numbers that are shares of 1."""
_ENDING: Final = ("contact_cap", "not_eligible")
"""What may leave a customer without an offer and is known to end."""
_BINDING: Final = (*_ENDING, "unreachable", "live_offer", "margin_floor", "stock")
"""What may leave a customer without an offer before any is chosen."""
_FIXED: Final = ("promoted_share",)
"""What does not change within a campaign."""
_SLOW: Final = re.compile(
    r"visits_per_week|basket_rate|redemption_rate|promo_share|saving_share|spend_per_active_week"
    r"|spend_per_week_\w+|basket_\w{3}|(visit_rate|spend)_(13|52)w"
)
"""Averages with a half-life of a quarter or more."""


@dataclass(frozen=True)
class Moved:
    """A group that moves the chance of the favoured offer, up or down; `part` is 1 for the one that moves it most."""

    name: str
    points: str
    part: float
    down: bool


@dataclass(frozen=True)
class Explained:
    """What is told of a customer, in sentences.

    Attributes:
        why: What the policy favours, and with which chance.
        moved: What moves that chance, the largest first.
        changes: What would change the offer.
        problem: Why nothing is told, or "".
    """

    why: str = ""
    moved: tuple[Moved, ...] = ()
    changes: tuple[str, ...] = ()
    problem: str = ""


def explained(
    release: Release | None, person: Person, customer: str, verified: Callable[[Release, str], Path], words: Language
) -> Explained:
    """Return what is told of a customer whom the table knows.

    Args:
        release: What counts.
        person: What the table says of them.
        customer: Their id.
        verified: Returns where a file of a release lies, once its bytes are those that were published.
        words: The reader's language.
    """
    mine = None if release is None else release.for_customer(customer)
    if mine is None or mine.version != person.version or EXPLANATIONS not in mine.manifest["files"]:
        return Explained(problem=words("explained.not_computed"))
    try:
        found = read_one(verified(mine, EXPLANATIONS), customer)
    except (InputError, OSError):
        return Explained(problem=words("explained.refused"))
    if found is None:
        return Explained(problem=words("explained.not_computed"))
    return _told(found, person, mine.manifest, words)


def _told(found: Explanation, person: Person, manifest: Mapping[str, Any], words: Language) -> Explained:
    labels = labels_of(manifest["catalog"])
    why = words(
        "explained.favoured",
        label=labels[found.favoured],
        chance=words.share(found.chance),
        typical=words.share(found.typical),
    )
    return Explained(why, _moved(found.drivers, words), tuple(_changes(found, person, manifest, labels, words)))


def _moved(drivers: tuple[Driver, ...], words: Language) -> tuple[Moved, ...]:
    most = max((abs(one.part) for one in drivers), default=1.0)
    return tuple(
        Moved(
            words.of("driver", one.name),
            words("explained.points", points=_signed(100 * one.part, words), error=words.number(196 * one.error)),
            abs(one.part) / most,
            one.part < 0,
        )
        for one in drivers
    )


def _signed(points: float, words: Language) -> str:
    return ("+" if points > 0 else "") + words.number(points)


def _changes(
    found: Explanation, person: Person, manifest: Mapping[str, Any], labels: Mapping[str, str], words: Language
) -> list[str]:
    told = []
    if person.arm != "optimised":
        told.append(words("explained.arm", arm=words.of("arm", person.arm)))
    elif person.bound == "draw":
        told.append(words("explained.draw"))
    if found.ends_in_weeks is not None and person.bound in _ENDING:
        told.append(words.count(f"explained.ends.{person.bound}", found.ends_in_weeks))
    elif person.bound in _BINDING:
        told.append(words("explained.bound", why=words.of("bound", person.bound)))
    if person.arm == "optimised":
        told.append(_budget(found, person, manifest, labels, words))
    told.append(_by_rules(found.by_rules, labels, words))
    told.append(_by_policy(found.by_policy, labels, person.currency, words))
    return told


def _budget(
    found: Explanation, person: Person, manifest: Mapping[str, Any], labels: Mapping[str, str], words: Language
) -> str:
    if found.budget is None:
        return words("explained.budget.more" if person.bound != "nothing" else "explained.budget.less")
    step, offer = found.budget
    amount = manifest["budgets"][step]["per_customer_week"]
    return words("explained.budget", label=labels[offer], amount=words.money(amount, person.currency, 3))


def _by_rules(change: Change | None, labels: Mapping[str, str], words: Language) -> str:
    if change is None:
        return words("explained.rules.none")
    if words.code == "en":
        condition = condition_in_words(change.feature, change.at_least, change.below)
    else:
        condition = say_condition(Condition(change.feature, change.at_least, change.below), words)
    told = words("explained.rules", condition=condition, label=labels[change.offer])
    return told + _pace(change.feature, words)


def _by_policy(change: Change | None, labels: Mapping[str, str], currency: str, words: Language) -> str:
    if change is None or change.at_least is None:
        return words("explained.policy.none")
    name, value = number_in_words(change.feature, change.at_least, currency, words)
    return words("explained.policy", name=name, value=value, label=labels[change.offer]) + _pace(change.feature, words)


def number_in_words(feature: str, value: float, currency: str, words: Language) -> tuple[str, str]:
    """Return what a number of the policy is called, and its value."""
    averaged = _AVERAGED.fullmatch(feature)
    stem = averaged["stem"] if averaged else feature
    name = words.count(f"feature.averaged.{stem}", int(averaged["weeks"])) if averaged else say_feature(feature, words)
    digits = 0 if value == int(value) else len(f"{value:.10g}".partition(".")[2])
    if stem in _PARTS:
        return name, words.share(value, max(digits - 2, 0))
    return name, words.money(value, currency, digits) if stem in _MONEY else words.number(value, digits)


def _pace(feature: str, words: Language) -> str:
    if feature in _FIXED:
        return words("explained.fixed")
    return words("explained.slow") if _SLOW.fullmatch(feature) else ""
