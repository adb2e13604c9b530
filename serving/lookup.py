"""The policy table as an SQLite file that is only ever read: one decision by one customer's id.

It is written once, closed, and opened `mode=ro&immutable=1`: no lock, no journal, no other process can change what is
read. Never open a published file in any other way; publish a new one instead.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import apsw

from campaigns.errors import InputError

if TYPE_CHECKING:  # whoever reads the file alone need not wait a second for pandas
    import pandas as pd

LOOKUP: Final = "policy.sqlite"
TABLE: Final = "decisions"
PAGE_BYTES: Final = 4096
APPLICATION: Final = 0x0FF35317
"""Marks the file as one of these, in its header."""
_TYPES: Final = {"f": "REAL", "i": "INTEGER", "M": "TEXT"}


def write_lookup(path: Path, rows: pd.DataFrame, version: int) -> None:
    """Write the rows of `policy_by_customer`, sorted by customer_id, to a new SQLite file.

    Args:
        path: An empty file, or none.
        rows: Text, float64, int64 and dates; dates become text as in 2018-01-01.
        version: Of the schema, kept as the file's `user_version`.
    """
    connection = apsw.Connection(str(path))
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {int(version)}")
        types = {name: _TYPES.get(rows[name].dtype.kind, "TEXT") for name in rows.columns}
        keys = ", ".join(
            f"{_quoted(name)} {kind} NOT NULL{' PRIMARY KEY' if name == 'customer_id' else ''}"
            for name, kind in types.items()
        )
        with connection:
            connection.execute(f"CREATE TABLE {TABLE} ({keys}) STRICT, WITHOUT ROWID")
            marks = ", ".join("?" * len(types))
            connection.executemany(f"INSERT INTO {TABLE} VALUES ({marks})", _plain(rows))
    finally:
        connection.close()


class Lookup:
    """Finds the decision for a customer; may be shared between threads."""

    def __init__(self, path: Path) -> None:
        """Open a file of `write_lookup`.

        Raises:
            InputError: There is no such file, or it is none of these.
        """
        if not path.is_file():
            raise InputError(f"{path}: no such file; publish the policy first")
        address = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
        self._connection = apsw.Connection(address, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        try:
            size = path.stat().st_size  # mapped whole: a page is read without a system call
            self._connection.execute(f"PRAGMA mmap_size = {size}")
            found = self._connection.execute("PRAGMA application_id").fetchone()
            self._columns = [row[1] for row in self._connection.execute(f"PRAGMA table_info({TABLE})")]
        except apsw.Error as error:
            raise InputError(f"{path}: not readable as SQLite ({error}); publish the policy again") from None
        if found is None or found[0] != APPLICATION or not self._columns:
            raise InputError(f"{path}: not a look-up file of a policy table; publish the policy again")

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Open the file of a published folder, once its bytes are those of the manifest.

        Raises:
            InputError: The manifest or the file is missing, or the file was changed.
        """
        try:
            expected = json.loads((folder / "manifest.json").read_text("utf-8"))["files"][LOOKUP]
            with (folder / LOOKUP).open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{folder}: no published policy with a look-up file ({error}); export it again") from None
        if found != expected:
            raise InputError(f"{folder / LOOKUP}: its bytes are not those that were published; export the policy again")
        return cls(folder / LOOKUP)

    def lookup(self, customer_id: str) -> dict[str, Any] | None:
        """Return the customer's row by column, or None if the table does not know them."""
        query = f"SELECT * FROM {TABLE} WHERE customer_id = ?"
        row = self._connection.execute(query, (customer_id,)).fetchone()
        return None if row is None else dict(zip(self._columns, row, strict=True))

    def beginning(self, start: str, most: int) -> list[str]:
        """Return the first customers in order whose ids begin so, at most so many."""
        query = f"SELECT customer_id FROM {TABLE} WHERE customer_id >= ? AND customer_id < ? ORDER BY 1 LIMIT ?"
        return [str(row[0]) for row in self._connection.execute(query, (start, start + chr(0x10FFFF), most))]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield every row, customers in ascending order."""
        for row in self._connection.execute(f"SELECT * FROM {TABLE} ORDER BY customer_id"):
            yield dict(zip(self._columns, row, strict=True))

    def holds(self, rows: pd.DataFrame) -> bool:
        """Say whether the file has these rows of `policy_by_customer`, sorted by customer_id, and no others."""
        if list(rows.columns) != self._columns:
            return False
        found = self._connection.execute(f"SELECT * FROM {TABLE} ORDER BY customer_id")
        try:
            return all(one == other for one, other in zip(found, _plain(rows), strict=True))
        except ValueError:  # not as many
            return False

    def close(self) -> None:
        self._connection.close()


def _plain(rows: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    dates = {name: rows[name].dt.strftime("%Y-%m-%d") for name in rows.columns if rows[name].dtype.kind == "M"}
    return zip(*(rows.assign(**dates)[name].tolist() for name in rows.columns), strict=True)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
