"""What changes between two versions, in the reader's language: numbers as numbers, sentences where they are known."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from serving.pages.language import Language
from serving.pages.overview import labels_of
from serving.pages.phrases import say_rule
from serving.rules import Rule, Segments

MOST_MOVES: Final = 15
_FIGURES: Final = {
    "Customers with an offer": "offers",
    "Expected cost of these offers": "cost",
    "Expected uplift of these offers, net of their cost": "uplift",
    "What they may cost at worst": "worst",
}
_SETTING: Final = re.compile(r"(?P<name>.+?) is (?P<after>.*) instead of (?P<before>.*)")
_TERM: Final = re.compile(r"(?P<offer>'[^']*') has (?P<name>\w+) (?P<after>.*) instead of (?P<before>.*)")
_OFFER: Final = re.compile(r"(?P<offer>'[^']*' \(.*\)) is (?P<what>gone|new)")
_NUMBER: Final = re.compile(r"-?\d+\.\d+(e-?\d+)?")


@dataclass(frozen=True)
class MoveRow:
    """So many customers change from one offer to another; `part` is their share of the largest such number."""

    before: str
    after: str
    customers: int
    part: float
    same: bool


@dataclass(frozen=True)
class FigureRow:
    """A number in both versions, and its change; "" where there is none."""

    name: str
    before: str
    after: str
    change: str


@dataclass(frozen=True)
class Comparison:
    """What changes."""

    before: int
    after: int
    customers: int
    changed: int
    share: float
    added: int
    removed: int
    promoted: int
    moves: tuple[MoveRow, ...]
    others: int
    figures: tuple[FigureRow, ...]
    rules_added: tuple[str, ...]
    rules_removed: tuple[str, ...]
    sentences: tuple[str, ...]


def comparison(plain: Mapping[str, Any], words: Language) -> Comparison:
    """Return what a comparison of the office says.

    Args:
        plain: `Diff.to_dict`, with `catalogs` and `rules` of both manifests.
        words: The reader's language.
    """
    labels = [labels_of(one) for one in plain["catalogs"]]
    moves = plain["moves"]
    most = max((move["customers"] for move in moves), default=1)
    absent = words("compare.absent")
    return Comparison(
        **{name: plain[name] for name in ("before", "after", "customers", "changed", "share")},
        **{name: plain[name] for name in ("added", "removed", "promoted")},
        moves=tuple(
            MoveRow(
                labels[0].get(move["before"], move["before"] or absent),
                labels[1].get(move["after"], move["after"] or absent),
                move["customers"],
                move["customers"] / most,
                move["before"] == move["after"],
            )
            for move in moves[:MOST_MOVES]
        ),
        others=sum(move["customers"] for move in moves[MOST_MOVES:]),
        figures=tuple(_figure(one, plain["currency"], words) for one in plain["figures"]),
        rules_added=_rules(plain["rules_added"], plain["rules"][1], words),
        rules_removed=_rules(plain["rules_removed"], plain["rules"][0], words),
        sentences=(
            *(_catalog(sentence, words) for sentence in plain["catalog"]),
            *(_setting(sentence, words) for sentence in plain["settings"]),
        ),
    )


def _figure(plain: Mapping[str, Any], currency: str, words: Language) -> FigureRow:
    name, money, _ = plain["name"].partition(" [")
    arm = name.removeprefix("Budget of arm ")
    said = (
        words("figure.budget", arm=words.of("arm", arm))
        if arm != name
        else words.of("figure", _FIGURES.get(name, name))
    )

    def written(value: float | None) -> str:
        if value is None:
            return words("compare.nothing")
        return words.money(value, currency, 0) if money else words.number(value)

    before, after = plain["before"], plain["after"]
    if before is None or after is None:
        return FigureRow(said, written(before), written(after), "")
    change = after - before
    if not change:
        return FigureRow(said, written(before), written(after), words("compare.as_before"))
    share = f" ({words.share(change / before, 1)})" if before else ""
    sign = "+" if change > 0 else ""
    return FigureRow(said, written(before), written(after), f"{sign}{words.number(change)}{share}")


def _rules(texts: list[str], plain: Mapping[str, Any], words: Language) -> tuple[str, ...]:
    rules: dict[str, Rule] = {f"{rule.text}: {rule.offer_label}": rule for rule in Segments.from_dict(plain).rules}
    return tuple(
        text
        if text not in rules
        else words("compare.rule", rule=say_rule(rules[text], words), label=rules[text].offer_label)
        for text in texts
    )


def _setting(sentence: str, words: Language) -> str:
    found = _SETTING.fullmatch(sentence)
    if found is None:
        return sentence
    arm = found["name"].removeprefix("parts of arm ")
    name = (
        words("setting.parts", arm=words.of("arm", arm)) if arm != found["name"] else words.of("setting", found["name"])
    )
    return words("compare.setting", name=name, **_both(found, words))


def _catalog(sentence: str, words: Language) -> str:
    if found := _OFFER.fullmatch(sentence):
        return words(f"compare.offer_{found['what']}", offer=found["offer"])
    if found := _TERM.fullmatch(sentence):
        return words("compare.term", offer=found["offer"], name=words.of("term", found["name"]), **_both(found, words))
    return _setting(sentence, words)


def _both(found: re.Match[str], words: Language) -> dict[str, str]:
    return {side: _value(found[side], words) for side in ("before", "after")}


def _value(text: str, words: Language) -> str:
    if text == "nothing":
        return words("compare.nothing")
    return f"{float(text):.4g}" if _NUMBER.fullmatch(text) else words.day(text)
