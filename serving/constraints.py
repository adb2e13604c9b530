"""What no decision may break: the limits that a manifest sets, and one decision checked against them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from math import isfinite
from typing import Any, Self

import numpy as np

from campaigns.arithmetic import every_promo_cents
from campaigns.errors import InputError
from campaigns.offers import BASIS_POINTS, Catalog
from serving.arms import PARTS, Arm


@dataclass(frozen=True)
class ArmTerms:
    """What an arm of the manifest has: its share, how many customers and offers, money and pieces."""

    parts: int
    customers: int
    offers: int
    budget: float  # of the campaign [currency]
    stock: Mapping[str, int]  # by offer; an offer without an entry has no limit

    @classmethod
    def of(cls, entry: Mapping[str, Any], catalog: Catalog) -> Self:
        terms = cls(entry["parts"], entry["customers"], entry["offers"], float(entry["budget"]), dict(entry["stock"]))
        limited = {offer.name for offer in catalog.offers if offer.stock is not None}
        whole = [terms.parts, terms.customers, terms.offers, *terms.stock.values()]
        if any(type(count) is not int or count < 0 for count in whole) or not 0 <= terms.budget < float("inf"):
            raise InputError(f"policy manifest: arm {entry['name']!r} has {entry}; expected numbers of 0 or more")
        if set(terms.stock) != limited:
            raise InputError(
                f"policy manifest: arm {entry['name']!r} has stock of {', '.join(terms.stock) or 'nothing'}; expected "
                f"of {', '.join(sorted(limited)) or 'nothing'}, as the catalog limits"
            )
        return terms


@dataclass(frozen=True)
class Basket:
    """What a customer typically buys [cents], what of it lies in the promoted category, and the gross margin."""

    cents: int
    category_cents: int
    margin_bp: int  # basis points of the basket


@dataclass(frozen=True)
class Circumstances:
    """What is known when a decision is made; what is not known is not checked."""

    day: date
    stock_left: Mapping[str, int] = field(default_factory=dict)  # by offer, of the customer's arm
    budget_left_cents: int | None = None  # neither spent nor reserved, of the customer's arm
    recent_contacts: int | None = None  # within the window of the rules
    basket: Basket | None = None


@dataclass(frozen=True)
class Constraints:
    """The limits that a manifest sets.

    Attributes:
        catalog: The offers.
        arms: By name.
        hard: The budget is a limit on what all offers may cost at worst; else on what they are expected to cost.
        first, last, not_after: First and last day of any offer, and the last on which one may begin.
        contact_cap, margin_floor: The marketer's rules; None where the manifest does not say.
    """

    catalog: Catalog
    arms: Mapping[str, ArmTerms]
    hard: bool
    first: date
    last: date
    not_after: date
    contact_cap: int | None
    margin_floor: float | None

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Self:
        """Read them from a manifest.

        Raises:
            InputError: It does not give them, or they contradict each other.
        """
        try:
            return cls._read(manifest)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"policy manifest: limits are missing or unreadable ({error!r}); export it again"
            ) from None

    @classmethod
    def _read(cls, manifest: Mapping[str, Any]) -> Self:
        catalog, mode = Catalog.from_dict(manifest["catalog"]), manifest["budget"]["mode"]
        if mode not in ("hard", "risk"):
            raise InputError(f"policy manifest: budget.mode is {mode!r}; expected hard or risk")
        rules = manifest["config"].get("values", {}).get("rules", {})
        arms = {entry["name"]: ArmTerms.of(entry, catalog) for entry in manifest["arms"]["arms"]}
        first, last, until = (date.fromisoformat(manifest[key]) for key in ("valid_from", "valid_to", "not_after"))
        caps = rules.get("contact_cap"), rules.get("margin_floor")
        found = cls(catalog, arms, mode == "hard", first, last, until, *caps)
        found._check(manifest["customers"])
        return found

    def _check(self, customers: int) -> None:
        if list(self.arms) != [arm.value for arm in Arm] or sum(arm.parts for arm in self.arms.values()) != PARTS:
            raise InputError(f"policy manifest: arms are {', '.join(self.arms)}; expected each once, of {PARTS} parts")
        if sum(arm.customers for arm in self.arms.values()) != customers:
            raise InputError(f"policy manifest: the arms' customers do not add up to the table's {customers}")
        for offer in self.catalog.offers:
            pieces = sum(arm.stock.get(offer.name, 0) for arm in self.arms.values())
            if offer.stock is not None and pieces > offer.stock:
                raise InputError(
                    f"policy manifest: the arms have {pieces} pieces of {offer.name!r}, the catalog {offer.stock}"
                )
        if not self.first <= self.not_after <= self.last:
            raise InputError(
                f"policy manifest: not_after {self.not_after} lies outside of {self.first} to {self.last}, when the "
                "offers are valid"
            )

    @cached_property
    def _offers(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.catalog.names)}

    def refuse(self, decision: Mapping[str, Any], now: Circumstances) -> str | None:
        """Return which limit a decision breaks here and now, in words, or None.

        "No offer" breaks none. Microseconds; some 0.2 ms with a basket.

        Args:
            decision: A row of the table; dates as dates or as text.
            now: What is known.
        """
        if self._offers.get(str(decision.get("offer"))) == 0:
            return None
        for check in (self._refuse_offer, self._refuse_day, self._refuse_limits):
            found = check(decision, now)
            if found is not None:
                return found
        return None

    def _refuse_offer(self, decision: Mapping[str, Any], now: Circumstances) -> str | None:
        name, arm = decision.get("offer"), self.arms.get(str(decision.get("arm")))
        if name not in self._offers:
            return f"offer {name!r} is not in the catalog"
        if arm is None or arm.parts == 0 or decision["arm"] == Arm.HOLDOUT.value:
            return f"arm {decision.get('arm')!r} gives no offers"
        weight, pscore = decision.get(f"weight_{name}"), decision.get("pscore")
        if not isinstance(weight, float) or not isfinite(weight) or not 0 < weight <= 1 or pscore != weight:
            return f"weight {weight!r} and pscore {pscore!r} are not one chance above 0"
        if arm.stock.get(str(name)) == 0 or now.stock_left.get(str(name), 1) <= 0:
            return f"no piece of {name!r} is left"
        return None

    def _refuse_day(self, decision: Mapping[str, Any], now: Circumstances) -> str | None:
        if now.day > self.not_after:
            return f"the table's last day was {self.not_after}"
        first, last = str(decision.get("valid_from"))[:10], str(decision.get("valid_to"))[:10]
        if not first <= str(now.day) <= last:
            return f"the offer is valid from {first} to {last}"
        return None

    def _refuse_limits(self, decision: Mapping[str, Any], now: Circumstances) -> str | None:
        index = self._offers[str(decision["offer"])]
        worst = self.catalog.offers[index].worst_cents
        if now.budget_left_cents is not None and worst > now.budget_left_cents:
            return f"it may cost {worst} cents, and {now.budget_left_cents} are left of the budget"
        if now.recent_contacts is not None and self.contact_cap is not None and now.recent_contacts >= self.contact_cap:
            return f"the customer had {now.recent_contacts} contacts; the cap is {self.contact_cap}"
        if now.basket is not None and self.margin_floor is not None:
            basket, category = np.array([now.basket.cents]), np.array([now.basket.category_cents])
            cost = int(every_promo_cents(self.catalog.columns(), basket, category).cost[0, index])
            spare = (now.basket.margin_bp - round(self.margin_floor * BASIS_POINTS)) * now.basket.cents // BASIS_POINTS
            if cost > spare:
                return f"it costs {cost} cents of a basket that can spare {spare} above the margin floor"
        return None
