"""What only the shop knows: addresses, ids of its categories and customers, its clock. A typed YAML file.

time_zone: Europe/Berlin         # whose midnights begin and end a day
caps: leave_out                  # or exceed: percentages without their most
customers: customers.csv         # customer_id, shopify_id, email; only where targeting asks for it
shopify:
  url: https://my-shop.myshopify.com
  categories: {SOFT DRINKS: [gid://shopify/Collection/1]}
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pandas as pd

from campaigns.catalog import read_yaml
from campaigns.errors import InputError
from campaigns.schema import check_keys, read_value

Categories = Mapping[str, tuple[str, ...]]


class Caps(Enum):
    """What is done where a platform knows no most for a percentage."""

    LEAVE_OUT = "leave_out"
    EXCEED = "exceed"


class Targeting(Enum):
    """How a platform is told who may use a code."""

    CODE = "code"  # not at all: whoever has the code; no customer leaves our system
    CUSTOMER = "customer"  # by the platform's id or the e-mail address


@dataclass(frozen=True)
class ShopifyShop:
    """A Shopify shop; the categories are ids of collections."""

    url: str
    categories: Categories = field(default_factory=dict)
    api_version: str = "2026-10"
    targeting: Targeting = Targeting.CODE


@dataclass(frozen=True)
class WooCommerceShop:
    """A WooCommerce shop; the categories are ids of product categories."""

    url: str
    categories: Categories = field(default_factory=dict)
    targeting: Targeting = Targeting.CODE


@dataclass(frozen=True)
class MagentoShop:
    """An Adobe Commerce or Magento Open Source shop; the categories are ids of categories."""

    url: str
    website_ids: tuple[str, ...]
    customer_group_ids: tuple[str, ...]
    categories: Categories = field(default_factory=dict)


@dataclass(frozen=True)
class GoogleAccount:
    """A Merchant Center account; the categories are product types as in the product data."""

    account: str
    data_source: str
    content_language: str
    target_country: str
    categories: Categories = field(default_factory=dict)
    url: str = "https://merchantapi.googleapis.com"


@dataclass(frozen=True, eq=False)
class ShopMapping:
    """All of it, checked when read.

    Attributes:
        path: The file, for messages; empty where there is none.
        zone: Whose midnights begin and end a day.
        caps: What to do where a platform knows no cap.
        customers: customer_id, and shopify_id or email; empty where no file is named.
    """

    path: Path = Path()
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    caps: Caps = Caps.LEAVE_OUT
    customers: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"customer_id": pd.Series(dtype="str")}))
    shopify: ShopifyShop | None = None
    woocommerce: WooCommerceShop | None = None
    magento: MagentoShop | None = None
    google: GoogleAccount | None = None

    def begins(self, day: date) -> datetime:
        """Return the first moment of a day in the shop's zone, as UTC."""
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def ends(self, day: date) -> datetime:
        """Return the first moment after a day in the shop's zone, as UTC."""
        return self.begins(day + timedelta(days=1))

    def ids(self, categories: Categories, category: str, platform: str) -> tuple[str, ...]:
        """Return the platform's ids of a category.

        Raises:
            InputError: The file has none.
        """
        if not categories.get(category):
            raise InputError(
                f"{self.path}: {platform} has no categories for {category!r}; add {category!r}: [id, ...] under "
                f"{platform}.categories"
            )
        return categories[category]

    def shop(self, name: str) -> Any:
        """Return the part of the file on one platform.

        Raises:
            InputError: The file has none.
        """
        found = getattr(self, name)
        if found is None:
            where = self.path if self.path.name else "hand_over.mapping is not given"
            raise InputError(
                f"{where}: nothing on {name}; name a mapping with a part {name!r}, as docs/platforms.md shows"
            )
        return found

    def identities(self, customers: tuple[str, ...], column: str) -> tuple[str, ...]:
        """Return what the platform knows customers by.

        Raises:
            InputError: A customer has none.
        """
        if column not in self.customers:
            raise InputError(f"{self.path}: customers names no file with the columns customer_id and {column}; add it")
        known = dict(zip(self.customers["customer_id"], self.customers[column], strict=True))
        missing = [customer for customer in customers if not known.get(customer)]
        if missing:
            raise InputError(
                f"{self.path}: its file of customers has no {column} for {missing[0]!r} and {len(missing) - 1} more; "
                "add them, or use targeting: code"
            )
        return tuple(known[customer] for customer in customers)


_KINDS: Final[Mapping[str, Any]] = {
    "shopify": ShopifyShop,
    "woocommerce": WooCommerceShop,
    "magento": MagentoShop,
    "google": GoogleAccount,
}


def load_mapping(path: Path) -> ShopMapping:
    """Read a mapping.

    Raises:
        InputError: The file cannot be read, a key is unknown or missing, or a value is wrong.
    """
    try:
        return _read_mapping(path, read_yaml(path, "a mapping of a shop's platforms"))
    except InputError as error:
        raise error if str(error).startswith(str(path)) else InputError(f"{path}: {error}") from None


def _read_mapping(path: Path, content: object) -> ShopMapping:
    given = check_keys(content, (), ("time_zone", "caps", "customers", *_KINDS), "the mapping")
    shops: dict[str, Any] = {name: _read_shop(name, given[name]) for name in _KINDS if name in given}
    if "customers" in given:
        shops["customers"] = _read_customers(path, given["customers"])
    return ShopMapping(
        path=path,
        zone=_zone(read_value(str, given.get("time_zone", "UTC"), "the mapping has time_zone")),
        caps=read_value(Caps, given.get("caps", Caps.LEAVE_OUT.value), "the mapping has caps"),
        **shops,
    )


def _read_shop(name: str, content: object) -> Any:
    kind = _KINDS[name]
    needed = tuple(f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING)
    given = check_keys(content, needed, tuple(f.name for f in fields(kind)), name)
    values: dict[str, Any] = {}
    for key, value in given.items():
        place = f"{name} has {key}"
        if key == "categories":
            values[key] = _categories(value, name)
        elif key.endswith("_ids"):
            values[key] = _texts(value, place)
        else:
            values[key] = read_value(Targeting if key == "targeting" else str, value, place)
    return kind(**{**values, **({"url": _address(values["url"], name)} if "url" in values else {})})


def _categories(value: object, name: str) -> Categories:
    if not isinstance(value, Mapping):
        raise InputError(f"{name} has categories {value!r}; expected our category: [its id, ...]")
    return {str(key): _texts(ids, f"{name}.categories has {key}") for key, ids in value.items()}


def _texts(value: object, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(type(entry) in (str, int) for entry in value):
        raise InputError(f"{place} {value!r}; expected a list of ids, at least one")
    return tuple(str(entry) for entry in value)


def _address(url: str, name: str) -> str:
    local = url.startswith(("http://127.0.0.1", "http://localhost"))
    if not url.startswith("https://") and not local:
        raise InputError(f"{name} has url {url!r}; expected an address that begins with https://")
    return url.rstrip("/")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InputError(f"time_zone is {name!r}; expected a name as in Europe/Berlin") from None


def _read_customers(path: Path, name: object) -> pd.DataFrame:
    file = path.parent / read_value(str, name, "the mapping has customers")
    try:
        rows = pd.read_csv(file, dtype="str", keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: not readable as CSV ({error}); expected customer_id, shopify_id, email") from None
    if "customer_id" not in rows or rows["customer_id"].duplicated().any():
        raise InputError(f"{file}: expected a column customer_id with each customer once")
    return rows
