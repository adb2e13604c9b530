"""Rules and reasons in the reader's language; in English the table's own words stand."""

import re
from collections.abc import Mapping
from typing import Any, Final

from serving.pages.language import Language
from serving.rules import Condition, Rule, Segments

_MONEY: Final = re.compile(r"(?P<stem>\w+)_(?P<currency>[a-z]{3})")
_AWAY: Final = re.compile(r"away for (\d+) weeks")
_DRAWN: Final = ("explored", "drawn_evenly")
"""Reason codes that say how the lot came in."""
SHARES: Final = ("promo_share", "saving_share", "promoted_share", "margin_share")
"""Features that are shares of 1."""


def say_rule(rule: Rule, words: Language) -> str:
    """Return a rule's conditions in words."""
    if words.code == "en":
        return rule.text
    if not rule.conditions:
        return words("rule.everyone_else" if rule.number > 1 else "rule.everyone")
    return words("rule.and").join(say_condition(one, words) for one in rule.conditions)


def say_feature(name: str, words: Language) -> str:
    """Return what a feature is called, or its name where it has no words."""
    found = _MONEY.fullmatch(name)
    if found and words.has(f"feature.{found['stem']}"):
        return words(f"feature.{found['stem']}")
    return words.of("feature", name)


def say_reason(row: Mapping[str, Any], segments: Segments, currency: str, words: Language) -> str:
    """Return a customer's reason in words.

    Args:
        row: Of the table.
        segments: Its rules.
        currency: Its currency.
        words: The reader's language.
    """
    if words.code == "en":
        return str(row["reason"])
    who = words("who.and").join(_who(part, words) for part in str(row["reason"]).partition("; ")[0].split(", "))
    if row["bound"] != "nothing":
        return words("reason.none", who=who, why=words.of("bound", row["bound"]))
    code = currency.lower()
    figures = [float(row[f"expected_uplift{limit}_{code}"]) for limit in ("", "_lo", "_hi")]
    codes = str(row["reason_codes"]).split("; ")
    number = int(row["segment"])
    rule = segments.rule(number)
    key = "reason.as_rule" if "as_rule" in codes else "reason.unlike_rule"
    chance = [words(f"reason.{code}") for code in _DRAWN if code in codes]
    return words(
        "reason.given",
        who=who,
        label=row["offer_label"],
        gain=words.money(figures[0], currency),
        range=words.range(figures[1], figures[2], currency),
        rule=words(key, number=number, label="" if rule is None else rule.offer_label),
        chance="".join(chance),
    )


def _who(part: str, words: Language) -> str:
    away = _AWAY.fullmatch(part)
    return words("who.away", n=away[1]) if away else words.of("who", part)


def say_condition(condition: Condition, words: Language) -> str:
    """Return a condition in words of another language than English."""
    low, high = (_limit(condition.feature, limit, words) for limit in (condition.at_least, condition.below))
    kind = "at_least" if condition.below is None else "below" if condition.at_least is None else "between"
    return words(f"condition.{kind}", name=say_feature(condition.feature, words), low=low, high=high)


def _limit(feature: str, value: float | None, words: Language) -> str:
    if value is None:
        return ""
    if feature in SHARES:
        return words.share(value, 0 if round(100 * value, 6) == round(100 * value) else 1)
    digits = 0 if value == int(value) else len(f"{value:.10g}".partition(".")[2])
    found = _MONEY.fullmatch(feature)
    if found and words.has(f"feature.{found['stem']}"):
        return words.money(value, found["currency"].upper(), digits)
    return words.number(value, digits)
