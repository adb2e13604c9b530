"""The way in: every request is counted, and one for a single decision is answered without the application."""

import time
from collections.abc import Iterable
from typing import Final

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from serving.http.decisions import ONE, answer_one
from serving.http.guard import known
from serving.http.meter import Meter
from serving.online.api_keys import Scope as KeyScope

ROUTE: Final = ONE + "{customer}"


class Front:
    """An application in front of the application.

    Attributes:
        app: The application.
    """

    def __init__(self, app: FastAPI, meter: Meter) -> None:
        self.app = app
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path_format", "other")
            self._meter.add(route, status, time.perf_counter() - begun)

    def quick(self, customer: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
        """Return a customer's decision as JSON; None where the application has to say why not."""
        begun = time.perf_counter()
        state = self.app.state
        key = known(headers, state.service.keys)
        if key is None or KeyScope.DECIDE.value not in key.scopes or state.rates.wait(key.id) > 0:
            return None
        body = answer_one(state.service, customer)
        if body is not None:
            self._meter.add(ROUTE, 200, time.perf_counter() - begun)
        return body
