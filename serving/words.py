"""Numbers, money and conditions on features in words that a marketer reads."""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Phrase:
    """How a condition on one feature is said; {low} and {high} stand for the limits.

    Attributes:
        at_least: The feature is `low` or more.
        below: The feature is less than `high`.
        between: Both.
        percent: The feature is a share, said in per cent.
        money: The feature is an amount; its column ends in the currency's code in lower case.
    """

    at_least: str
    below: str
    between: str
    percent: bool = False
    money: bool = False


def _share(of: str) -> Phrase:
    return Phrase(
        f"at least {{low}} % of {of}",
        f"less than {{high}} % of {of}",
        f"{{low}} to under {{high}} % of {of}",
        percent=True,
    )


def _count(what: str) -> Phrase:
    return Phrase(f"at least {{low}} {what}", f"fewer than {{high}} {what}", f"{{low}} to under {{high}} {what}")


def _money(what: str) -> Phrase:
    return Phrase(
        f"{what} of at least {{low}}", f"{what} under {{high}}", f"{what} of {{low}} to under {{high}}", money=True
    )


PHRASES: Final = {
    "weeks_since_visit": Phrase(
        "no visit for at least {low} weeks",
        "a visit less than {high} weeks ago",
        "last visit {low} to under {high} weeks ago",
    ),
    "weeks_since_contact": Phrase(
        "no contact for at least {low} weeks",
        "a contact less than {high} weeks ago",
        "last contact {low} to under {high} weeks ago",
    ),
    "weeks_since_redemption": Phrase(
        "no redemption for at least {low} weeks",
        "a redemption less than {high} weeks ago",
        "last redemption {low} to under {high} weeks ago",
    ),
    "weeks_seen": Phrase(
        "customer for at least {low} weeks",
        "customer for less than {high} weeks",
        "customer for {low} to under {high} weeks",
    ),
    "visits_per_week": _count("visits per week"),
    "redemptions_per_week": _count("redemptions per week"),
    "contacts_8w": _count("contacts in 8 weeks"),
    "spend_per_week": _money("weekly spend"),
    "spend_per_active_week": _money("spend in a week with a visit"),
    "basket": _money("usual basket"),
    "promo_share": _share("spend on promotion"),
    "saving_share": _share("spend saved by coupons"),
    "promoted_share": _share("the basket in the promoted category"),
    "margin_share": _share("the basket kept as margin"),
}
"""Features that have words of their own; money by its name without the currency. Any other is said by its name."""

_MONEY: Final = re.compile(r"(?P<stem>\w+)_(?P<currency>[a-z]{3})")
_ONE: Final = re.compile(r"(?<![\d.,])1 (week|visit|contact|redemption)s\b")


def condition_in_words(feature: str, at_least: float | None, below: float | None) -> str:
    """Say the condition `at_least <= feature < below`; None is no limit on that side."""
    phrase, currency = _phrase_of(feature)
    low, high = (None if limit is None else _limit(limit, phrase, currency) for limit in (at_least, below))
    if at_least is None:
        text = phrase.below.format(high=high)
    elif below is None:
        text = phrase.at_least.format(low=low)
    else:
        text = phrase.between.format(low=low, high=high)
    return _ONE.sub(r"1 \1", text).replace("fewer than 1 contact ", "no contact ")


def _phrase_of(feature: str) -> tuple[Phrase, str]:
    """Return the phrase of a feature, and the currency of one that is money."""
    found = _MONEY.fullmatch(feature)
    if found and PHRASES.get(found["stem"], Phrase("", "", "")).money:
        return PHRASES[found["stem"]], found["currency"].upper()
    name = feature.replace("_", " ").replace("{", "{{").replace("}", "}}")
    return PHRASES.get(feature, _count_like(name)), ""


def _count_like(name: str) -> Phrase:
    return Phrase(f"{name} at least {{low}}", f"{name} under {{high}}", f"{name} {{low}} to under {{high}}")


def _limit(value: float, phrase: Phrase, currency: str) -> str:
    text = f"{100 * value if phrase.percent else value:.10g}"
    return f"{text} {currency}" if phrase.money else text


def money(value: float, currency: str, digits: int = 2) -> str:
    """Return an amount such as "1,234.50 USD"; a negative amount has a true minus sign."""
    return f"{decimal(value, digits)} {currency}"


def signed_money(value: float, currency: str, digits: int = 2) -> str:
    """Return a gain or loss such as "+1,234.50 USD"."""
    text = money(value, currency, digits)
    return f"+{text}" if not text.startswith("−") else text


def decimal(value: float, digits: int) -> str:
    """Return a number with `digits` decimals and thousands set apart; what rounds to zero has no sign."""
    text = f"{abs(value):,.{digits}f}"
    return f"−{text}" if value < 0 and float(text.replace(",", "")) != 0 else text


def percent(share: float, digits: int = 0) -> str:
    return f"{decimal(100 * share, digits)} %"
