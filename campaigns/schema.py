"""Reading records from a user's mapping: a closed schema, refused with one line that names the place."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from enum import Enum
from reprlib import repr as brief
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_type_hints

from campaigns.errors import InputError

Record = TypeVar("Record")

_WORDS = {str: "text (in quotes)", int: "a whole number", float: "a number", NoneType: "nothing (null)"}


def read_record(cls: type[Record], mapping: object, place: str) -> Record:
    """Build the dataclass `cls` from a mapping whose keys are its fields.

    Args:
        cls: A dataclass of plain fields: text, numbers, enums (by value) and unions with None.
        mapping: What the user wrote.
        place: Words for error messages, as in "offer 'c5'".

    Raises:
        InputError: `mapping` is no mapping, a key is unknown or missing, or a value has the wrong type.
    """
    given = check_keys(mapping, required_keys(cls), tuple(f.name for f in fields(cls)), place)  # type: ignore[arg-type]
    types = get_type_hints(cls)
    return cls(**{key: read_value(types[key], value, f"{place} has {key}") for key, value in given.items()})


def required_keys(cls: Any) -> tuple[str, ...]:
    """Return the fields of a dataclass that have no default."""
    return tuple(f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING)


def check_keys(mapping: object, required: tuple[str, ...], known: tuple[str, ...], place: str) -> Mapping[str, Any]:
    """Return `mapping` once it is a mapping with every required key and none but the known ones."""
    if not isinstance(mapping, Mapping):
        raise InputError(f"{place} is {brief(mapping)}; expected a mapping with the keys {', '.join(required)}")
    for key in mapping:
        if key not in known:
            raise InputError(f"{place} has an unknown key {key!r}; remove it or use one of {', '.join(known)}")
    for key in required:
        if key not in mapping:
            raise InputError(f"{place} has no {key}; add the key {key!r}")
    return mapping


def read_value(kind: Any, value: object, place: str) -> Any:
    """Return `value` as `kind`; a whole number may stand for a number, but true and false are not numbers."""
    members = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    for member in members:
        if isinstance(member, type) and issubclass(member, Enum):
            return _read_enum(member, value, place)
        if type(value) is member:
            return value
        if member is float and type(value) is int:
            return float(value)
    expected = " or ".join(_WORDS[member] for member in members)
    raise InputError(f"{place} {brief(value)}; expected {expected}")


def _read_enum(kind: type[Enum], value: object, place: str) -> Enum:
    for member in kind:
        if member.value == value:
            return member
    raise InputError(f"{place} {brief(value)}; expected one of {', '.join(str(member.value) for member in kind)}")
