"""What may be offered: the kinds of offers, one offer's terms, the catalog and its columns."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from re import fullmatch
from reprlib import repr as brief
from typing import Any, Final, Self

import numpy as np

from campaigns.errors import InputError
from campaigns.schema import check_keys, read_record, read_value, required_keys

BASIS_POINTS: Final = 10_000
"""Basis points in a whole: every share of money is a whole number of them."""
MOST_CENTS: Final = 10**9
"""Ceiling of every amount in a catalog, so that products with basis points stay far inside int64."""
MOST_WEEKS: Final = 52
"""Ceiling of every number of weeks in a catalog."""


class OfferKind(Enum):
    """What an offer is; the order is the code in `OfferColumns.kind`."""

    NONE = "none"
    DISCOUNT = "discount"
    COUPON = "coupon"
    THRESHOLD = "threshold"
    GIFT = "gift"
    FLASH_SALE = "flash_sale"


class Scope(Enum):
    """What an offer's eligible base is; the order is the code in `OfferColumns.scope`."""

    BASKET = "basket"
    CATEGORY = "category"


_TERMS: Final = {
    "depth": "a depth is a share of the price in (0, 1)",
    "value_cents": f"a value is a whole number of cents in [1, {MOST_CENTS}]",
    "threshold_cents": f"a threshold is a whole number of cents in [1, {MOST_CENTS}]",
    "gift_cost_cents": f"a gift's cost is a whole number of cents in [1, {MOST_CENTS}]",
    "cap_cents": f"a cap, the most that one redemption may cost, is a whole number of cents in [1, {MOST_CENTS}]",
}
_NEEDS: Final = {
    OfferKind.NONE: frozenset[str](),
    OfferKind.DISCOUNT: frozenset({"depth", "cap_cents"}),
    OfferKind.COUPON: frozenset({"value_cents", "cap_cents"}),
    OfferKind.THRESHOLD: frozenset({"value_cents", "threshold_cents", "cap_cents"}),
    OfferKind.GIFT: frozenset({"gift_cost_cents", "threshold_cents", "cap_cents"}),
    OfferKind.FLASH_SALE: frozenset({"depth", "cap_cents"}),
}


@dataclass(frozen=True)
class Offer:
    """One offer and its terms, checked when made; a term that the kind does not use stays at its default.

    Attributes:
        name: Key of the offer: lower-case letters, digits and underscores.
        kind: What the offer is.
        label: What a marketer calls it, as in "2 USD coupon".
        scope: Base of the offer: the whole basket or the promoted category.
        depth: Share of the eligible price that is saved, in (0, 1) (discount, flash sale).
        value_cents: What is saved (coupon, threshold).
        threshold_cents: Least eligible spend (threshold, gift).
        gift_cost_cents: What the gift costs the shop.
        cap_cents: Most that one redemption may cost the shop, the worst-case liability.
        weeks: Weeks that the offer lives.
        stock: Redemptions that the whole cohort may have in one week; None is no limit.
        contact_cents: Cost of telling the customer.
        min_weeks_since_visit: Weeks that the customer must have stayed away.

    Raises:
        InputError: A term is missing, out of range, or of no use to the kind.
    """

    name: str
    kind: OfferKind
    label: str
    scope: Scope = Scope.BASKET
    depth: float = 0.0
    value_cents: int = 0
    threshold_cents: int = 0
    gift_cost_cents: int = 0
    cap_cents: int = 0
    weeks: int = 1
    stock: int | None = None
    contact_cents: int = 0
    min_weeks_since_visit: int = 0

    def __post_init__(self) -> None:
        self._check_text()
        self._check_terms()
        self._check_limits()

    @property
    def worst_cents(self) -> int:
        """What it may cost at worst: one redemption and the contact [cents]."""
        return self.cap_cents + self.contact_cents

    def _check_text(self) -> None:
        if not fullmatch("[a-z][a-z0-9_]*", self.name):
            self._refuse("name", "a name is lower-case letters, digits and underscores, and starts with a letter")
        if not self.label.strip() or not self.label.isprintable():
            self._refuse("label", "a label is one line of text that a marketer reads")

    def _check_terms(self) -> None:
        for term, sentence in _TERMS.items():
            value = getattr(self, term)
            needed = term in _NEEDS[self.kind]
            inside = 0 < value < 1 if term == "depth" else 0 < value <= MOST_CENTS
            if not inside and (needed or value != 0):
                self._refuse(term, sentence)
            if value != 0 and not needed:
                self._refuse(term, f"kind {self.kind.value} takes no {term}: remove it")
        if not _in_basis_points(self.depth):
            self._refuse("depth", "a depth has at most four decimals")
        if self.kind is OfferKind.THRESHOLD and self.value_cents > self.threshold_cents:
            self._refuse("value_cents", f"what is saved is at most threshold_cents {self.threshold_cents}")
        for term in ("value_cents", "gift_cost_cents"):
            if getattr(self, term) > self.cap_cents:
                self._refuse("cap_cents", f"raise it to {term} {getattr(self, term)} or more")

    def _check_limits(self) -> None:
        if not 1 <= self.weeks <= MOST_WEEKS:
            self._refuse("weeks", f"an offer lives for 1 to {MOST_WEEKS} weeks")
        if not 0 <= self.contact_cents <= MOST_CENTS:
            self._refuse("contact_cents", f"a contact costs a whole number of cents in [0, {MOST_CENTS}]")
        if not 0 <= self.min_weeks_since_visit <= MOST_WEEKS:
            self._refuse("min_weeks_since_visit", f"expected 0 to {MOST_WEEKS} weeks")
        if self.stock is not None and not 1 <= self.stock <= MOST_CENTS:
            self._refuse("stock", f"a stock is 1 to {MOST_CENTS} redemptions a week; remove it for no limit")
        if self.kind is OfferKind.FLASH_SALE and self.stock is None:
            self._refuse("stock", "a flash sale needs one: the redemptions that the cohort may have in one week")
        if self.kind is OfferKind.NONE:
            self._check_nothing()

    def _check_nothing(self) -> None:
        for f in fields(self):
            if f.name not in ("name", "kind", "label") and getattr(self, f.name) != f.default:
                self._refuse(f.name, f"kind none takes no {f.name}: remove it")

    def _refuse(self, term: str, sentence: str) -> None:
        value = getattr(self, term)
        raise InputError(
            f"offer {self.name!r} has {term} {value.value if isinstance(value, Enum) else value!r}; {sentence}"
        )


@dataclass(frozen=True)
class Catalog:
    """The offers of a campaign; offer 0 is "no offer".

    Attributes:
        currency: Three letters, as in "USD"; a cent is its hundredth part.
        max_total_discount: Share of the basket that all discounts together may reach, in (0, 1].
        offers: At least the offer of kind none, which stands first and only there.

    Raises:
        InputError: A value is out of range, a name occurs twice, or "no offer" is missing, late or repeated.
    """

    currency: str
    max_total_discount: float
    offers: tuple[Offer, ...]

    def __post_init__(self) -> None:
        if not fullmatch("[A-Z]{3}", self.currency):
            raise InputError(f"currency is {self.currency!r}; expected three capital letters, as in USD")
        if not 0 < self.max_total_discount <= 1 or not _in_basis_points(self.max_total_discount):
            raise InputError(
                f"max_total_discount is {self.max_total_discount!r}; "
                "expected a share of the basket in (0, 1] with at most four decimals"
            )
        if not self.offers or self.offers[0].kind is not OfferKind.NONE:
            found = f"{self.offers[0].name!r} of kind {self.offers[0].kind.value}" if self.offers else "missing"
            raise InputError(f"the first offer is {found}; expected an offer of kind none, put it first")
        if len(self.offers) == 1:
            raise InputError(f"the catalog is empty: it has {self.offers[0].name!r} alone; add an offer to choose")
        self._check_repeats()

    def _check_repeats(self) -> None:
        for i, offer in enumerate(self.offers):
            if offer.name in self.names[:i]:
                raise InputError(f"offer {offer.name!r} occurs twice; names are unique, rename one")
            if i and offer.kind is OfferKind.NONE:
                raise InputError(f"offer {offer.name!r} has kind none; only the first offer is of that kind, remove it")

    @property
    def n(self) -> int:
        return len(self.offers)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(offer.name for offer in self.offers)

    def index(self, name: str) -> int:
        """Return the place of the offer called `name`.

        Raises:
            InputError: No offer has that name.
        """
        if name not in self.names:
            raise InputError(f"the catalog has no offer {name!r}; expected one of {', '.join(self.names)}")
        return self.names.index(name)

    def columns(self) -> "OfferColumns":
        """Return the terms as one int64 numpy array each, shape (n,)."""

        def column(*values: int) -> Any:
            return np.array(values, dtype=np.int64)

        offers = self.offers
        return OfferColumns(
            kind=column(*(list(OfferKind).index(o.kind) for o in offers)),
            scope=column(*(list(Scope).index(o.scope) for o in offers)),
            depth_bp=column(*(round(o.depth * BASIS_POINTS) for o in offers)),
            value=column(*(o.value_cents for o in offers)),
            threshold=column(*(o.threshold_cents for o in offers)),
            gift_cost=column(*(o.gift_cost_cents for o in offers)),
            cap=column(*(o.cap_cents for o in offers)),
            weeks=column(*(o.weeks for o in offers)),
            stock=column(*(-1 if o.stock is None else o.stock for o in offers)),
            contact=column(*(o.contact_cents for o in offers)),
            min_weeks_since_visit=column(*(o.min_weeks_since_visit for o in offers)),
            max_total_bp=round(self.max_total_discount * BASIS_POINTS),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that YAML and JSON hold and `from_dict` reads back."""
        offers = [asdict(offer) | {"kind": offer.kind.value, "scope": offer.scope.value} for offer in self.offers]
        return {"currency": self.currency, "max_total_discount": self.max_total_discount, "offers": offers}

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> Self:
        """Build a catalog from plain data with a closed schema.

        Raises:
            InputError: A key is unknown or missing, a value has the wrong type or is out of range.
        """
        keys = required_keys(cls)
        given = check_keys(mapping, keys, keys, "the catalog")
        if not isinstance(given["offers"], list | tuple):
            raise InputError(f"the catalog has offers {brief(given['offers'])}; expected a list of offers")
        return cls(
            currency=read_value(str, given["currency"], "the catalog has currency"),
            max_total_discount=read_value(float, given["max_total_discount"], "the catalog has max_total_discount"),
            offers=tuple(read_record(Offer, o, _place(i, o)) for i, o in enumerate(given["offers"])),
        )


@dataclass(frozen=True, eq=False)
class OfferColumns:
    """A catalog as columns, one entry per offer: int64 arrays (numpy or torch), shape (n_offers,); money in cents."""

    kind: Any  # place in OfferKind
    scope: Any  # 0 basket, 1 category
    depth_bp: Any  # basis points
    value: Any
    threshold: Any
    gift_cost: Any
    cap: Any
    weeks: Any
    stock: Any  # redemptions a week, -1 is no limit
    contact: Any
    min_weeks_since_visit: Any
    max_total_bp: int  # share of the basket that all discounts together may reach [basis points]

    def to(self, convert: Callable[[Any], Any]) -> Self:
        """Return the columns with `convert`, such as `torch.from_numpy`, applied to every array."""
        arrays = {f.name: convert(getattr(self, f.name)) for f in fields(self) if f.name != "max_total_bp"}
        return replace(self, **arrays)


def _in_basis_points(share: float) -> bool:
    return abs(share * BASIS_POINTS - round(share * BASIS_POINTS)) < 1e-6


def _place(i: int, offer: object) -> str:
    name = offer.get("name") if isinstance(offer, Mapping) else None
    return f"offer {name!r}" if isinstance(name, str) else f"offer number {i + 1}"
