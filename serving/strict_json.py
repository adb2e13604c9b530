"""JSON as it should be: each key once, finite numbers."""

import json
from typing import Any, NoReturn


def loads(data: bytes | str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: It is none, a key is written twice, or a number is not finite.
        RecursionError: It is nested too deeply.
    """
    return json.loads(data, object_pairs_hook=_once, parse_constant=_no_number)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is written twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
