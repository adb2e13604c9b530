"""A campaign as one platform takes it: requests in order, what each offer became, and what had to be said."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from serving.platforms.checkout.cart import Cart
from serving.platforms.codes import Codes
from serving.platforms.lots import Lot
from serving.platforms.mapping import ShopMapping
from serving.platforms.notes import Coverage, Note
from serving.table import PolicyTable

Payload = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Request:
    """One thing to send.

    Attributes:
        key: Name that tells it from all others of the campaign; no secret.
        path: Where it goes, below the shop's address.
        body: What is sent, JSON.
        awaits: Key of the request whose id has to be put in first; "" for none.
        slot: Where in the body that id goes, key by key.
        finds: By what the platform finds it again, where the platform itself would take it twice; "" where it would
            not.
    """

    key: str
    path: str
    body: Payload
    awaits: str = ""
    slot: tuple[str, ...] = ()
    finds: str = ""


@dataclass(frozen=True, eq=False)
class Sample:
    """The discount of one offer as it was handed over, to be priced."""

    lot: Lot
    payload: Payload


@dataclass(frozen=True, eq=False)
class Campaign:
    """What a platform gets.

    Attributes:
        requests: In the order in which they are sent; none for a platform that takes a file.
        tables: Texts of further files, by name.
        coverage: One per offer of the table, in the order of the catalog.
        notes: What had to be said, the whole campaign first.
        samples: One per offer that is not left out.
    """

    requests: tuple[Request, ...]
    tables: Mapping[str, str]
    coverage: tuple[Coverage, ...]
    notes: tuple[Note, ...]
    samples: tuple[Sample, ...]


class Platform(Protocol):
    """A shop platform: how a campaign is written for it, and what its checkout then takes off a cart."""

    @property
    def name(self) -> str:
        """Name of the platform, in lower case."""

    @property
    def rounding(self) -> str:
        """How the platform's checkout rounds, with its source."""

    def campaign(self, table: PolicyTable, codes: Codes, mapping: ShopMapping) -> Campaign:
        """Write the campaign.

        Raises:
            InputError: The mapping lacks something that the campaign needs.
        """

    def categories(self, mapping: ShopMapping) -> Mapping[str, tuple[str, ...]]:
        """Return the ids that the platform knows each category by."""

    def discount(self, payload: Payload, cart: Cart, ids: Mapping[str, Collection[str]], currency: str) -> Fraction:
        """Return what the checkout takes off the cart by the payload of one discount [cents]."""

    def tolerance(self, cart: Cart, currency: str) -> Fraction:
        """Return the most that the documented rounding may be away from exact arithmetic [cents]."""
