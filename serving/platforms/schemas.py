"""Checks payloads against the documented fields of their platforms, written down as JSON schemas in `schemas/`.

The schemas are closed: a field that is not in them is refused. Each names its source and version.
"""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from campaigns.errors import InputError
from serving.platforms.campaign import Payload
from serving.platforms.codes import hide

FOLDER: Final = Path(__file__).with_name("schemas")


def check_payloads(platform: str, payloads: Iterable[tuple[str, Payload]]) -> None:
    """Check what goes to a platform, each with a name for messages.

    Raises:
        InputError: A payload breaks the schema.
    """
    validator = _validator(platform)
    for name, payload in payloads:
        error = best_match(validator.iter_errors(payload))
        if error is not None:
            place = "/".join(map(str, error.absolute_path)) or "the whole"
            raise InputError(
                f"{platform}: {name} breaks the platform's documented fields at {place}: {hide(error.message)[:300]}; "
                "correct the catalog or the mapping"
            )


@cache
def _validator(platform: str) -> Any:
    schema = json.loads((FOLDER / f"{platform}.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)
