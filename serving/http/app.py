"""The application: routes, errors, description; the campaign page is part of it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serving.http.answers import handle_errors
from serving.http.decisions import decision_routes
from serving.http.front import Front
from serving.http.guard import FAILURES_PER_SECOND, SCHEME
from serving.http.health import Metrics, health_routes
from serving.http.meter import Meter
from serving.http.models import Problem
from serving.http.writes import write_routes
from serving.online.rates import Rates
from serving.online.service import Service
from serving.pages.routes import Pages

BODY_BYTES: Final = 2**20
TITLE: Final = "Offersmith look-up"


def build_app(service: Service) -> Front:
    """Return what is to be served; its `app` is the FastAPI application, to which more routes may be added.

    `app.state.service` is the service; a route of class `serving.http.guard.GuardedRoute` made with
    `serving.http.guard.opens` needs a key.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(service.watch())
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        service.close()

    app = FastAPI(
        title=TITLE, version="1", docs_url=None, redoc_url=None, lifespan=lifespan, max_body_size=BODY_BYTES,
        redirect_slashes=False,
    )  # fmt: skip
    meter = Meter()
    app.state.service = service
    app.state.rates = Rates(service.settings.requests_per_second, time.monotonic)
    app.state.failures = Rates(FAILURES_PER_SECOND, time.monotonic)
    app.state.metrics = Metrics(service, meter)
    handle_errors(app)
    for router in (decision_routes(), write_routes(), health_routes()):
        app.router.routes.extend(router.routes)
    app.router.routes.extend(Pages(service, app.state.failures).routes())
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign]
    return Front(app, meter)


def _describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description, with the key that most routes need."""
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, routes=app.routes)
        found["components"]["securitySchemes"] = {SCHEME: {"type": "http", "scheme": "bearer"}}
        for operations in found["paths"].values():
            for operation in operations.values():
                invalid = operation["responses"].get("422")
                if invalid is not None:
                    invalid["content"] = {"application/json": {"schema": {"$ref": f"#/components/schemas/{_PROBLEM}"}}}
        app.openapi_schema = found
    return app.openapi_schema


_PROBLEM: Final = Problem.__name__
