"""Where the rows of a policy table lie: in one Parquet file, or in parts whose customers do not run into each other."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final

from campaigns.errors import InputError

CUSTOMERS_PARQUET: Final = "policy_by_customer.parquet"
"""The one part of a table whose manifest lists none."""
PART: Final = "policy_by_customer-"
"""How the files of other parts begin, so that `policy_by_customer*.parquet` are all rows of any table."""


@dataclass(frozen=True)
class Part:
    """One file of a table in parts.

    Attributes:
        file: Its name.
        rows: Customers in it, at least one.
        first, last: The lowest and the highest id.
    """

    file: str
    rows: int
    first: str
    last: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def table_files(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the files that hold a table's rows, in the order of their customers.

    Raises:
        InputError: The manifest does not say it as it should.
    """
    parts = parts_of(manifest)
    return (CUSTOMERS_PARQUET,) if parts is None else tuple(part.file for part in parts)


def parts_of(manifest: Mapping[str, Any]) -> tuple[Part, ...] | None:
    """Return the parts of a table, or None where it is one file.

    Raises:
        InputError: They are not as they should be, or not those of so many customers.
    """
    if "parts" not in manifest:
        return None
    try:
        parts = tuple(Part(**one) for one in manifest["parts"])
        for part in parts:
            _check(part)
        total, files = sum(part.rows for part in parts), {part.file for part in parts}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"policy manifest: 'parts' are not readable ({error}); score the customers again") from None
    if not parts or len(files) != len(parts) or total != manifest["customers"]:
        raise InputError(
            f"policy manifest: {len(files)} files of {total} rows in 'parts'; expected those of "
            f"{manifest['customers']} customers, each once"
        )
    for before, after in pairwise(parts):
        if before.last >= after.first:
            raise InputError(
                f"policy manifest: {after.file} begins with customer {after.first!r}, and {before.file} ends with "
                f"{before.last!r}; expected parts in the order of their customers"
            )
    return parts


def _check(part: Part) -> None:
    named = part.file.startswith(PART) and part.file.endswith(".parquet")
    if not named or type(part.rows) is not int or part.rows < 1 or not "" < part.first <= part.last:
        raise InputError(
            f"policy manifest: a part is {asdict(part)}; expected a file {PART}*.parquet with rows, its first and its "
            "last customer"
        )
