"""Answers as JSON, and errors that repeat nothing of what was sent."""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Route

from serving.online.commits import StorageError
from serving.online.events import ConflictError
from serving.online.ledger import RefusedError, UnknownError


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


def handle_errors(app: FastAPI) -> None:
    """Let every error of the application end as a `Problem`."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StarletteHTTPException, answer_error)
    app.add_exception_handler(StorageError, _storage)
    app.add_exception_handler(UnknownError, lambda request, error: _problem(404, str(error)))
    for refused in (ConflictError, RefusedError):
        app.add_exception_handler(refused, lambda request, error: _problem(409, str(error)))
    app.add_exception_handler(Exception, lambda request, error: _problem(500, "internal error"))


def _problem(status: int, words: str, detail: list[dict[str, Any]] | None = None, **headers: str) -> Response:
    return answer(
        {"error": words, "detail": detail or []}, status, {k.replace("_", "-"): v for k, v in headers.items()}
    )


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    detail = [
        {"loc": [_short(part) for part in one["loc"]], "msg": _message(one), "type": one["type"]}
        for one in error.errors()[:20]
    ]
    return _problem(422, "the request is not as described", detail)


def _short(part: object) -> str | int:
    return part if isinstance(part, int) else "".join(c for c in str(part)[:40] if c.isalnum() or c in "_-")


def _message(one: Mapping[str, Any]) -> str:
    told = one.get("ctx", {}).get("error") if one["type"] == "json_invalid" else None
    return str(told or one["msg"])


def answer_error(request: Request, error: Exception) -> Response:
    """Return the answer to an error that has a status."""
    assert isinstance(error, StarletteHTTPException)
    response = _problem(error.status_code, str(error.detail))
    response.headers.update(error.headers or {})
    if error.status_code == 405:
        response.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return response


def _methods(request: Request) -> set[str]:
    """Return what a path can be asked for, by all of its routes."""
    path = request.scope["path"]
    found = [route for route in request.app.routes if isinstance(route, Route) and route.path_regex.match(path)]
    return {method for route in found for method in route.methods or ()}


def _storage(request: Request, error: Exception) -> Response:
    full = "full" in str(error).lower()
    words = "the disk is full; nothing was kept" if full else "not writable now; nothing was kept"
    return _problem(507 if full else 503, words, Retry_After="5")
