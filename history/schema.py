"""What pandera checks: the first rows of a file as it comes, and the accepted tables as they leave the intake."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import pandas as pd
import pandera.pandas as pa
import pyarrow as arrow  # type: ignore[import-untyped]
from pandera.errors import SchemaErrors

from campaigns.errors import InputError
from history.mapping import TableFile
from history.tables import Column, Kind

OPENING_ROWS: Final = 1_000
"""First rows of a file whose types are checked."""
ACCEPTED_ROWS: Final = 100_000
"""First accepted rows of a table that are checked; smaller tables are checked whole."""

_NUMBER: Final = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*|\s*[-+]?(nan|inf|infinity)\s*", re.IGNORECASE)
_DATE: Final = re.compile(r"\s*\d{4}-\d\d?-\d\d?.*")
_ANYTHING: Final = re.compile(r".*", re.DOTALL)
_TEXTS: Final[Mapping[Kind, re.Pattern[str]]] = {Kind.NUMBER: _NUMBER, Kind.WHOLE: _NUMBER, Kind.DATE: _DATE}

_types: Any = arrow.types
_INTEGERS: Final = (_types.is_integer,)
_NUMBERS: Final = (_types.is_integer, _types.is_floating, _types.is_decimal)
_STRINGS: Final = (_types.is_string, _types.is_large_string)
_ARROW_TYPES: Final[Mapping[Kind, tuple[Callable[[Any], bool], ...]]] = {
    Kind.ID: (*_INTEGERS, *_STRINGS),
    Kind.NUMBER: _NUMBERS,
    Kind.WHOLE: _NUMBERS,
    Kind.DATE: (_types.is_date, _types.is_timestamp, *_STRINGS),
    Kind.FLAG: (*_INTEGERS, *_STRINGS, _types.is_boolean),
    Kind.TEXT: (lambda _: True,),
}
_ACCEPTED: Final = {Kind.NUMBER: "float64", Kind.WHOLE: "int64", Kind.DATE: "datetime64[us]", Kind.FLAG: "bool"}


def check_opening(source: TableFile, opening: pd.DataFrame) -> None:
    """Check that a file has the mapped columns and that their types can be right.

    A CSV column passes if one of its values reads as its kind: single bad values are the row checks' business.

    Args:
        source: The mapped file.
        opening: Its first rows, Arrow-backed, columns as in the file.

    Raises:
        InputError: A column is missing, or of a type that cannot be meant.
    """
    columns = {c.name: c for c in source.table.columns if c.name in source.columns}
    text = source.path.suffix.lower() == ".csv"
    for ours, theirs in source.columns.items():
        kind = columns[ours].kind
        if kind is Kind.DATE and source.date_format:
            kind = Kind.TEXT  # the format decides row by row
        check = pa.Check(_reads(kind, text))
        schema = pa.DataFrameSchema({theirs: pa.Column(None, check, nullable=True)})
        try:
            schema.validate(opening, lazy=True)
        except SchemaErrors as error:
            raise InputError(_complaint(source, columns[ours], opening, error)) from None


def _reads(kind: Kind, text: bool) -> Callable[[pd.Series], bool]:
    def in_text(values: "pd.Series[Any]") -> bool:
        present = values.dropna().astype(str)
        present = present[present.str.strip() != ""]
        return present.empty or bool(present.str.fullmatch(_TEXTS.get(kind, _ANYTHING)).any())

    def in_arrow(values: "pd.Series[Any]") -> bool:
        stored: Any = values.dtype.pyarrow_dtype  # type: ignore[union-attr]
        right = any(is_type(stored) for is_type in _ARROW_TYPES[kind])
        return right and (kind is not Kind.DATE or not _is_text(stored) or in_text(values))

    return in_text if text else in_arrow


def _is_text(stored: Any) -> bool:
    return any(is_type(stored) for is_type in _STRINGS)


def _complaint(source: TableFile, column: Column, opening: pd.DataFrame, error: SchemaErrors) -> str:
    theirs = source.columns[column.name]
    place = f"{source.path}: table '{source.table.name}'"
    if "column_in_dataframe" in set(error.failure_cases["check"]):
        found = ", ".join(map(str, opening.columns))
        hint = "; if fields are separated otherwise, set `delimiter:`" if len(opening.columns) == 1 else ""
        return f"{place} has no column '{theirs}', mapped to {column.name}; found {found}{hint}"
    values = opening[theirs].dropna()
    found = f"such as {str(values.iloc[0])[:40]!r}" if len(values) else ""
    stored = str(opening[theirs].dtype).replace("[pyarrow]", "")
    return (
        f"{place}, column '{theirs}', mapped to {column.name}, holds {stored} {found}; expected {column.kind.value}:"
        " map another column or mend the file"
    )


def check_accepted(source: TableFile, rows: pd.DataFrame) -> None:
    """Check types, missing values, bounds and keys of rows that passed the row checks.

    Raises:
        RuntimeError: A row is there that the row checks should have set aside.
    """
    table = source.table
    columns = {column.name: _accepted_column(column, column.name in source.columns) for column in table.columns}
    unique = list(table.key) if table.key else None
    try:
        pa.DataFrameSchema(columns, strict=True, unique=unique).validate(rows, lazy=True)
    except SchemaErrors as error:
        raise RuntimeError(f"table '{table.name}' was accepted against its schema: {error.failure_cases}") from None


def _accepted_column(column: Column, mapped: bool) -> pa.Column:
    checks = [] if column.least is None else [pa.Check.ge(column.least)]
    missing = column.default == "NULL" and not (column.strict and mapped)
    return pa.Column(_ACCEPTED.get(column.kind), checks, nullable=missing)
