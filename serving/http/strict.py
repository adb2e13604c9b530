"""Bodies as strict JSON; what is wrong with one is told without repeating it."""

import json
from typing import Any

from fastapi import Request

from serving import strict_json


class StrictRequest(Request):
    """A request whose JSON body is refused with a JSONDecodeError where others guess."""

    async def json(self) -> Any:
        return loads(await self.body())


def loads(body: bytes) -> Any:
    """Parse JSON.

    Raises:
        json.JSONDecodeError: It is none, a key occurs twice, a number is not finite, or it is too deep.
    """
    try:
        return strict_json.loads(body.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise json.JSONDecodeError(error.msg, "", 0) from None
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise json.JSONDecodeError(_words(error), "", 0) from None


def _words(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the body is not UTF-8"
    if isinstance(error, RecursionError):
        return "the body is nested too deeply"
    return str(error) if "Exceeds the limit" not in str(error) else "a number has too many digits"
