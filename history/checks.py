"""Row checks as SQL: what a column's values become, and the first reason to set a row aside."""

from collections.abc import Mapping as Dict
from dataclasses import dataclass
from typing import Final

from history.files import ROW
from history.mapping import Mapping, TableFile
from history.sql import literal, quoted
from history.tables import TABLES, Column, Kind

_INTEGERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_SQL_TYPES: Final = {Kind.NUMBER: "DOUBLE", Kind.WHOLE: "BIGINT", Kind.DATE: "TIMESTAMP", Kind.FLAG: "BOOLEAN"}
_OFF: Final = "('0', 'false', 'no', '')"  # not the letters f and n: shops use letters for places of display

_MOST: Final = 1e12  # larger numbers would not fit sums of whole cents

FileTypes = Dict[str, Dict[str, str]]
"""SQL type of each file column, by table."""


@dataclass(frozen=True)
class RowChecks:
    """Writes the SQL that types and checks the rows of one table.

    Attributes:
        source: Where the table is.
        mapping: The mapping it belongs to, for the plausible dates.
        id_types: SQL type of each id column, as `id_types` returns it.
        file_types: SQL type of each column of the file.
    """

    source: TableFile
    mapping: Mapping
    id_types: Dict[str, str]
    file_types: Dict[str, str]

    def select(self) -> str:
        """Return a query of row, every canonical column, and reason: NULL where the row is good."""
        values = (f"{self._value(c)} AS {quoted(c.name)}" for c in self.source.table.columns)
        cases = " ".join(f"WHEN {when} THEN {literal(reason)}" for when, reason in self._reasons())
        reason = f"CASE {cases} END" if cases else "NULL"
        name = self.source.table.name
        return f'SELECT "{ROW}" AS "row", {", ".join(values)}, {reason} AS reason FROM raw_{name}'

    def _value(self, column: Column) -> str:
        kind = sql_type(column, self.id_types)
        if column.name not in self.source.columns:
            return f"CAST({column.default} AS {kind})"
        read = self._read(column)
        if column.kind in (Kind.NUMBER, Kind.WHOLE):
            read = f"TRY_CAST({read} AS {kind})"
        elif column.kind is Kind.DATE:
            read = self._local(column, read)
        return read if column.default == "NULL" or column.kind is Kind.ID else f"coalesce({read}, {column.default})"

    def _read(self, column: Column) -> str:
        """Return the typed value of a mapped column, NULL where it has none or cannot be read."""
        raw = quoted(self.source.columns[column.name])
        match column.kind:
            case Kind.ID if self.id_types[column.name] == "BIGINT":
                return f"CAST({raw} AS BIGINT)"
            case Kind.NUMBER | Kind.WHOLE:
                return raw if self._is_integer(column) else f"TRY_CAST({raw} AS DOUBLE)"
            case Kind.DATE if self._is_text(column) and self.source.date_format:
                return f"try_strptime(trim({raw}), {literal(self.source.date_format)})"
            case Kind.DATE:
                return f"TRY_CAST({raw} AS TIMESTAMP)"
            case Kind.FLAG:
                return f"lower(trim(CAST({raw} AS VARCHAR))) NOT IN {_OFF}"
            case _:
                return f"nullif(trim(CAST({raw} AS VARCHAR)), '')"

    def _local(self, column: Column, read: str) -> str:
        """Return the date on the shop's clock; a day without a time belongs to no zone and stays."""
        if not self.source.time_zone or self._file_type(column) == "DATE":
            return read
        return f"(({read} AT TIME ZONE 'UTC') AT TIME ZONE {literal(self.source.time_zone)})"

    def _reasons(self) -> list[tuple[str, str]]:
        mapped = [column for column in self.source.table.columns if column.name in self.source.columns]
        reasons = [reason for column in mapped for reason in self._column_reasons(column)]
        names = {column.name: self._read(column) for column in mapped if column.kind is Kind.DATE}
        if {"start_date", "end_date"} <= set(names):
            reasons.append((f"{names['end_date']} < {names['start_date']}", "end_date is before start_date"))
        return reasons

    def _column_reasons(self, column: Column) -> list[tuple[str, str]]:
        name, kind, value = column.name, column.kind, self._read(column)
        raw = quoted(self.source.columns[name])
        absent = f"({raw} IS NULL OR trim(CAST({raw} AS VARCHAR)) = '')" if self._is_text(column) else f"{raw} IS NULL"
        reasons = [(absent, f"{name} is missing")] if column.strict else []
        measured = kind in (Kind.NUMBER, Kind.WHOLE) and not self._is_integer(column)
        if measured or kind is Kind.DATE:
            article = "a date" if kind is Kind.DATE else "a number"
            reasons.append((f"NOT {absent} AND {value} IS NULL", f"{name} is not {article}"))
        if measured:
            reasons.append((f"NOT isfinite({value})", f"{name} is not finite"))
        if kind in (Kind.NUMBER, Kind.WHOLE):
            reasons.append((f"abs({value}) > {_MOST:g}", f"{name} is above {_MOST:g}"))
        if column.least is not None:
            below = "negative" if column.least == 0 else f"below {column.least:g}"
            reasons.append((f"{value} < {column.least}", f"{name} is {below}"))
        if measured and kind is Kind.WHOLE:
            reasons.append((f"{value} <> floor({value})", f"{name} is not a whole number"))
        if kind is Kind.DATE:
            first, last = self.mapping.first_date, self.mapping.last_date
            outside = f"CAST({value} AS DATE) NOT BETWEEN DATE '{first}' AND DATE '{last}'"
            reasons.append((outside, f"{name} is outside {first}..{last}"))
        return reasons

    def _is_text(self, column: Column) -> bool:
        return self._file_type(column) == "VARCHAR"

    def _is_integer(self, column: Column) -> bool:
        return self._file_type(column) in _INTEGERS

    def _file_type(self, column: Column) -> str:
        return self.file_types[self.source.columns[column.name]]


def sql_type(column: Column, ids: Dict[str, str]) -> str:
    """Return the SQL type of a canonical column."""
    return ids[column.name] if column.kind is Kind.ID else _SQL_TYPES.get(column.kind, "VARCHAR")


def id_types(mapping: Mapping, file_types: FileTypes) -> dict[str, str]:
    """Choose one SQL type per id column, so that ids compare alike in every table.

    Ids are text; where every table stores them as integers, they are compared as integers, which is faster.
    """
    types: dict[str, str] = {}
    for column in {c.name: c for table in TABLES.values() for c in table.columns if c.kind is Kind.ID}.values():
        holders = [source for source in mapping.tables.values() if column.name in source.table.names]
        stored = {file_types[s.table.name].get(s.columns.get(column.name, ""), "") for s in holders}
        types[column.name] = "BIGINT" if holders and stored <= set(_INTEGERS) else "VARCHAR"
    return types
