"""The YAML file that says which file and column of a shop is which table and column of ours."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from campaigns.errors import InputError
from history.tables import TABLES, Column, Kind, Table

_SCALARS: Final = ("currency", "week_origin", "first_date", "last_date")
_TABLE_KEYS: Final = ("file", "columns", "time_zone", "delimiter", "date_format")
_RESERVED: Final = ("row", "reason", "customer")
_SUFFIXES: Final = (".parquet", ".csv")


@dataclass(frozen=True)
class TableFile:
    """Where one table is and what its columns are called there.

    Attributes:
        table: The table, with the description columns that are mapped beside its own.
        path: Parquet or CSV file.
        columns: The file's column for each of ours that is mapped.
        time_zone: Zone whose clock the shop keeps, where the file's timestamps are UTC; "" where they are local.
        delimiter: What separates fields of a CSV file; "" to find out.
        date_format: How dates that are text are written, for instance %d.%m.%Y; "" for YYYY-MM-DD.
    """

    table: Table
    path: Path
    columns: dict[str, str]
    time_zone: str = ""
    delimiter: str = ""
    date_format: str = ""


@dataclass(frozen=True)
class Mapping:
    """A shop's tables in our words.

    Attributes:
        path: The YAML file, for messages.
        tables: The mapped tables by name, in the order of `TABLES`.
        currency: What one unit of money is.
        week_origin: Day on which week 1 begins; None to derive it from the transactions.
        first_date: Earliest plausible date.
        last_date: Latest plausible date.
    """

    path: Path
    tables: dict[str, TableFile]
    currency: str = "USD"
    week_origin: date | None = None
    first_date: date = date(1990, 1, 1)
    last_date: date = date(2099, 12, 31)


def read_mapping(path: Path, folder: Path | None = None) -> Mapping:
    """Read a mapping file.

    Args:
        path: YAML file.
        folder: What `file:` entries are relative to; the folder of `path` if None.

    Raises:
        InputError: The file is missing, is no YAML, or says something that it may not.
    """
    content = _read_yaml(path)
    _refuse_unknown(path, content, (*_SCALARS, *TABLES), "a table or one of")
    entries = {name: content[name] for name in TABLES if name in content}
    for table in TABLES.values():
        if table.needed and table.name not in entries:
            raise InputError(f"{path}: table '{table.name}' is not mapped; add it with `file:` and `columns:`")
    tables = {name: _table_file(path, folder or path.parent, TABLES[name], entry) for name, entry in entries.items()}
    mapping = Mapping(path=path, tables=tables, **_scalars(path, content))
    _check_campaigns(mapping)
    return mapping


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a YAML column mapping") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not readable as YAML ({_one_line(error)}); expected a column mapping") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds {type(content).__name__}, expected tables with `file:` and `columns:`")
    return content


def _table_file(path: Path, folder: Path, table: Table, entry: Any) -> TableFile:
    place = f"{path}: table '{table.name}'"
    if not isinstance(entry, dict) or "file" not in entry or "columns" not in entry:
        raise InputError(f"{place} is {entry!r}; expected keys `file` and `columns`")
    _refuse_unknown(place, entry, _TABLE_KEYS, "one of")
    texts = {key: entry[key] for key in _TABLE_KEYS if key in entry and key != "columns"}
    for key, value in texts.items():
        if not isinstance(value, str) or not value:
            raise InputError(f"{place} has {key} {value!r}; expected text")
    file = folder / texts.pop("file")
    if file.suffix.lower() not in _SUFFIXES:
        raise InputError(f"{place} has file '{file.name}'; expected a name that ends in {' or '.join(_SUFFIXES)}")
    columns = _columns(place, table, entry["columns"])
    return TableFile(_with_description(table, columns), file, columns, **texts)


def _columns(place: str, table: Table, columns: Any) -> dict[str, str]:
    if not isinstance(columns, dict) or not all(isinstance(v, str) and v for v in columns.values()):
        raise InputError(f"{place} has columns {columns!r}; expected `our name: their name`, one per line")
    if not table.described:
        _refuse_unknown(f"{place}, columns", columns, table.names, "one of")
    for name in columns:
        if not isinstance(name, str) or name.lower() in _RESERVED:
            raise InputError(f"{place}, columns has {name!r}; expected a name other than {', '.join(_RESERVED)}")
    for column in table.columns:
        if column.needed and column.name not in columns:
            raise InputError(f"{place} maps no column '{column.name}'; expected {column.kind.value}: add it")
    for group in table.any_of:
        if not set(group) & set(columns):
            raise InputError(f"{place} maps none of {', '.join(group)}; expected at least one: add it")
    return dict(columns)


def _with_description(table: Table, columns: Iterable[str]) -> Table:
    extra = tuple(Column(name, Kind.TEXT) for name in columns if name not in table.names)
    return replace(table, columns=table.columns + extra)


def _scalars(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    scalars: dict[str, Any] = {name: content[name] for name in _SCALARS if name in content}
    for name, value in scalars.items():
        if name == "currency":
            if not isinstance(value, str) or len(value) != 3 or not value.isupper():
                raise InputError(f"{path}: currency is {value!r}; expected three capitals such as USD")
        elif not isinstance(value, date) or isinstance(value, datetime):
            raise InputError(f"{path}: {name} is {value!r}; expected a date such as 2017-01-02")
    return scalars


def _check_campaigns(mapping: Mapping) -> None:
    """Refuse campaigns without dates and campaign descriptions without campaigns."""
    campaigns = mapping.tables.get("campaigns")
    described = "campaign_descriptions" in mapping.tables
    if described and campaigns is None:
        raise InputError(f"{mapping.path}: table 'campaign_descriptions' is mapped without 'campaigns'; add that too")
    dated = {"start_date", "end_date"} & set(campaigns.columns) if campaigns else set()
    if campaigns and not described and len(dated) < 2:
        raise InputError(
            f"{mapping.path}: table 'campaigns' lacks start_date or end_date; map both, or the table that holds them"
            " as 'campaign_descriptions'"
        )
    if described and campaigns and ({"campaign_type"} & set(campaigns.columns) or dated):
        raise InputError(
            f"{mapping.path}: table 'campaigns' maps dates or a type that 'campaign_descriptions' holds too;"
            " map them once"
        )
    for name in ("redemptions", "decisions"):
        if name in mapping.tables and campaigns is None:
            raise InputError(f"{mapping.path}: table '{name}' is mapped without 'campaigns'; add that too")


def _refuse_unknown(place: object, found: Iterable[Any], known: Iterable[str], among: str) -> None:
    known = tuple(known)
    for key in found:
        if key not in known:
            raise InputError(f"{place} has the unknown key {key!r}; expected {among} {', '.join(known)}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
