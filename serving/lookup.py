"""The policy table as an SQLite file that is only ever read: one decision by one customer's id.

It is written once, closed, and opened `mode=ro&immutable=1`: no lock, no journal, no other process can change what is
read. Never open a published file in any other way; publish a new one instead.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
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
NO_MAP: Final = "PRAGMA mmap_size = 0"
"""A file that is cut off where it lies would end a process that has mapped it (SIGBUS); reading takes 0.3 us more."""
AT_A_TIME: Final = 4_096
"""Rows that are compared at a time, so that they stay in the cache."""
APPLICATION: Final = 0x0FF35317
"""Marks the file as one of these, in its header."""
_TYPES: Final = {"f": "REAL", "i": "INTEGER", "M": "TEXT"}


def write_lookup(path: Path, rows: Iterable[pd.DataFrame], version: int) -> None:
    """Write the rows of `policy_by_customer`, sorted by customer_id, to a new SQLite file.

    The same rows give the same bytes, however they are cut.

    Args:
        path: An empty file, or none.
        rows: At least one piece of them; text, float64, int64 and dates, which become text as in 2018-01-01.
        version: Of the schema, kept as the file's `user_version`.
    """
    pieces = iter(rows)
    first = next(pieces)
    connection = apsw.Connection(str(path))
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = OFF")  # a file that was not finished is thrown away
        connection.execute("PRAGMA synchronous = OFF")  # who calls flushes it
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {int(version)}")
        types = {name: _TYPES.get(first[name].dtype.kind, "TEXT") for name in first.columns}
        keys = ", ".join(
            f"{_quoted(name)} {kind} NOT NULL{' PRIMARY KEY' if name == 'customer_id' else ''}"
            for name, kind in types.items()
        )
        with connection:
            connection.execute(f"CREATE TABLE {TABLE} ({keys}) STRICT, WITHOUT ROWID")
            insert = f"INSERT INTO {TABLE} VALUES ({', '.join('?' * len(types))})"
            for piece in chain([first], pieces):
                connection.executemany(insert, zip(*_columns(piece), strict=True))
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
            self._connection.execute(NO_MAP)
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

    def holds(self, rows: Iterable[pd.DataFrame]) -> bool:
        """Say whether the file has these rows of `policy_by_customer`, sorted by customer_id, and no others.

        Args:
            rows: In pieces, one of which is held in memory at a time.
        """
        found = iter(self._connection.execute(f"SELECT * FROM {TABLE} ORDER BY customer_id"))
        for piece in rows:
            if list(piece.columns) != self._columns:
                return False
            columns = [*_columns(piece)]
            for start in range(0, len(piece), AT_A_TIME):
                wanted = [column[start : start + AT_A_TIME] for column in columns]
                mine = list(islice(found, len(wanted[0])))
                if len(mine) != len(wanted[0]) or any(
                    list(one) != other for one, other in zip(zip(*mine, strict=True), wanted, strict=True)
                ):
                    return False
        return next(found, None) is None

    def close(self) -> None:
        self._connection.close()


def _columns(rows: pd.DataFrame) -> Iterator[list[Any]]:
    """Yield the cells of each column as SQLite has them."""
    for name in rows.columns:
        values = rows[name]
        if values.dtype.kind == "M":
            yield values.to_numpy().astype("datetime64[D]").astype("str").tolist()
        elif values.dtype.kind in "fi":
            yield values.to_numpy().tolist()
        else:
            yield values.astype("object").tolist()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
