"""One published version, opened to decide with: rows by customer, rules, limits and dates."""

import json
import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import apsw

from campaigns.errors import InputError
from campaigns.offers import Catalog, Offer
from serving.arms import Arm
from serving.lookup import LOOKUP, NO_MAP, TABLE, Lookup
from serving.rules import Segments

CACHE_KIB: Final = 8_192


class Row(NamedTuple):
    """What the service reads of a customer's row; the names are the columns of the table."""

    offer: str
    promoted_category: str
    promoted_items: str
    valid_from: str
    valid_to: str
    arm: str
    pscore: float
    disclosure: str


@dataclass(frozen=True)
class Account:
    """What one arm may spend on what begins on one day.

    Attributes:
        budget_cents: Most that all redemptions may cost.
        stock: Most redemptions, by offer; an offer that is not named has no limit.
    """

    budget_cents: int
    stock: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Table:
    """A version that is ready to answer.

    Attributes:
        version: Its number.
        period: Campaign and first day: versions of the same period share one budget.
        campaign, valid_from, not_after: As in the manifest.
        offers, labels: By name; the first is "no offer".
        catalog: The offers in order.
        segments: The rules.
        accounts: By name of the arm.
        lookup: All columns of every row.
    """

    version: int
    period: str
    campaign: str
    valid_from: str
    not_after: str
    offers: Mapping[str, Offer]
    labels: Mapping[str, str]
    catalog: Catalog
    segments: Segments
    accounts: Mapping[str, Account]
    lookup: Lookup
    _rows: apsw.Cursor
    _file: "Held"
    _possible: frozenset[tuple[str, str]]

    @classmethod
    def open(cls, folder: Path, manifest: Mapping[str, Any], verified: bool = False) -> "Table":
        """Open the files of a folder once their bytes are those of the manifest.

        Args:
            folder: Of the version.
            manifest: What it says of itself.
            verified: The bytes were held against the manifest already.

        Raises:
            InputError: A file is missing or changed, or the manifest does not say what is needed.
        """
        held = Held(folder / LOOKUP)
        lookup = Lookup(folder / LOOKUP) if verified else _verified(folder, manifest)
        try:
            catalog = Catalog.from_dict(manifest["catalog"])
            accounts = {arm["name"]: _account(arm) for arm in manifest["arms"]["arms"]}
            return cls(
                version=int(manifest["table_version"]),
                period=period_of(manifest),
                campaign=str(manifest["arms"]["campaign"]),
                valid_from=str(manifest["valid_from"]),
                not_after=str(manifest["not_after"]),
                offers={offer.name: offer for offer in catalog.offers},
                labels={offer.name: offer.label for offer in catalog.offers},
                catalog=catalog,
                segments=_segments(manifest["rules"], catalog),
                accounts=accounts,
                lookup=lookup,
                _rows=_open(folder / LOOKUP),
                _file=held,
                _possible=_possible(catalog, accounts),
            )
        except (KeyError, TypeError, ValueError, AttributeError, apsw.Error) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{folder}: not a table to decide with ({error!r}); export it again") from None

    def row(self, customer: str) -> Row | None:
        """Return what the table has for a customer."""
        found = self._rows.execute(_ROW, (customer,)).fetchone()
        return None if found is None else Row._make(found)

    def weights(self, customer: str) -> dict[str, float]:
        """Return the chance of every offer for a customer whom the table knows."""
        row = self.lookup.lookup(customer) or {}
        return {name: float(row[f"weight_{name}"]) for name in self.offers}

    def sound(self, offer: str, arm: str, pscore: float) -> bool:
        """Return whether a row may be used: what was published wrongly must not be given even so."""
        return (offer, arm) in self._possible and 0 < pscore <= 1  # which a NaN is not

    @property
    def nothing(self) -> Offer:
        return self.catalog.offers[0]

    @property
    def touched(self) -> bool:
        """Whether the look-up file was written to since it was opened: then nothing in it counts any more."""
        return self._file.touched

    def close(self) -> None:
        self._rows.connection.close()
        self.lookup.close()
        self._file.close()


class Held:
    """A file held open, wherever it is moved to, to see whether somebody writes to it where it lies."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            InputError: It is not there.
        """
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); publish the policy again") from None
        self._close = weakref.finalize(self, os.close, self._handle)
        self._seen = self._look()

    @property
    def touched(self) -> bool:
        return self._look() != self._seen

    def close(self) -> None:
        self._close()

    def _look(self) -> tuple[int, int]:
        found = os.fstat(self._handle)
        return found.st_size, found.st_mtime_ns


def period_of(manifest: Mapping[str, Any]) -> str:
    """Return what versions share one budget by: campaign and first day."""
    return f"{manifest['arms']['campaign']}/{manifest['valid_from']}"


_ROW: Final = f"SELECT {', '.join(Row._fields)} FROM {TABLE} WHERE customer_id = ?"


def _verified(folder: Path, manifest: Mapping[str, Any]) -> Lookup:
    """Open the look-up file of a folder that an export may replace at any moment."""
    lookup = Lookup.of(folder)
    if read_manifest(folder) != manifest:
        raise InputError(f"{folder}: was replaced while it was read; it is read again")
    return lookup


def read_manifest(folder: Path) -> Any:
    """Return the manifest of a policy folder.

    Raises:
        InputError: There is none.
    """
    try:
        return json.loads((folder / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: no published policy ({error}); export it first") from None


def _open(path: Path) -> apsw.Cursor:
    """Open the rows for one thread at a time, without the locks that several would need."""
    address = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_NOMUTEX
    connection = apsw.Connection(address, flags=flags)
    connection.execute(NO_MAP)
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    cursor = connection.cursor()
    cursor.execute(_ROW, ("",)).fetchall()  # a column that is missing shows now
    return cursor


def _possible(catalog: Catalog, accounts: Mapping[str, Account]) -> frozenset[tuple[str, str]]:
    """Return every offer with every arm that may give it: the holdout gets none."""
    nothing = catalog.names[0]
    return frozenset(
        (offer, arm) for offer in catalog.names for arm in accounts if arm != Arm.HOLDOUT.value or offer == nothing
    )


def _segments(plain: Mapping[str, Any], catalog: Catalog) -> Segments:
    segments = Segments.from_dict(plain)
    for rule in segments.rules:
        if set(rule.weights) != set(catalog.names):
            raise InputError(f"policy manifest: rule {rule.number} has weights of other offers than the catalog's")
    return segments


def _account(arm: Mapping[str, Any]) -> Account:
    cents = floor(float(arm["budget"]) * 100 + 1e-6)
    return Account(cents, {str(name): int(pieces) for name, pieces in arm["stock"].items()})
