"""Who may call what, and how often."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from serving.http.models import Problem
from serving.http.strict import StrictRequest
from serving.online.api_keys import Key, Keys, Scope

SCHEME: Final = "key"
"""Name of the security scheme in the OpenAPI description."""
FAILURES_PER_SECOND: Final = 20.0
_WORDS: Final = {
    401: "No valid API key.",
    403: "The API key does not open this.",
    404: "Not found.",
    409: "It contradicts what is there.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not JSON.",
    422: "The request is not as described.",
    429: "Too many requests; wait as long as Retry-After says.",
    503: "Not now; nothing was kept.",
    507: "The disk is full; nothing was kept.",
}


class GuardedRoute(APIRoute):
    """A route that opens to keys with the scope that `opens` gave it, and that reads strict JSON."""

    async def handle(self, scope: Connection, receive: Receive, send: Send) -> None:
        if self.openapi_extra and scope["method"] in (self.methods or ()):
            admit(scope, self.openapi_extra["x-scope"])
        await super().handle(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await inner(StrictRequest(request.scope, request.receive))

        return handler


def guarded(tag: str) -> APIRouter:
    """Return a router for such routes; a function's name names its operation, so that links can."""
    return APIRouter(route_class=GuardedRoute, tags=[tag], generate_unique_id_function=lambda route: route.name)


def opens(scope: Scope, *statuses: int) -> dict[str, Any]:
    """Return the arguments of a route that needs a scope and may also answer with these statuses."""
    every = (401, 403, 422, 429, *statuses)
    responses = {status: {"model": Problem, "description": _WORDS[status]} for status in sorted({*every})}
    return {"openapi_extra": {"security": [{SCHEME: []}], "x-scope": scope.value}, "responses": responses}


def admit(connection: Connection, scope: str) -> Key:
    """Return the key of a request once it opens the scope.

    Raises:
        HTTPException: 401, 403, or 429 with Retry-After.
    """
    state = connection["app"].state
    key = known(connection["headers"], state.service.keys)
    if key is None:
        client = connection.get("client")
        _wait(state.failures.wait(client[0] if client else ""))
        raise HTTPException(401, _WORDS[401], {"WWW-Authenticate": "Bearer"})
    _wait(state.rates.wait(key.id))
    if scope not in key.scopes:
        raise HTTPException(403, _WORDS[403])
    connection["key"] = key
    return key


def known(headers: Iterable[tuple[bytes, bytes]], keys: Keys) -> Key | None:
    """Return the key that a request carries, if it is a valid one."""
    for name, value in headers:
        if name == b"authorization":
            return keys.find(value[7:]) if value[:7].lower() == b"bearer " else None
    return None


def _wait(seconds: float) -> None:
    if seconds > 0:
        raise HTTPException(429, _WORDS[429], retry_after(seconds))


def retry_after(seconds: float) -> dict[str, str]:
    """Return the header that says when to come again."""
    return {"Retry-After": str(max(1, round(seconds)))}
