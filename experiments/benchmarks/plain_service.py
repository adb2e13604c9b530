"""A service that looks nothing up: one route with an answer of the same size, as a yardstick for a machine's speed.

python -m experiments.benchmarks.plain_service starlette|fastapi
"""

import sys
from typing import Any, Final

import orjson
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.online.answers import Decision, Reason

PATH: Final = "/v1/decisions/{customer}"
ANSWER: Final = Decision("0" * 32, "", 1, Reason.MATCH.value, "coupon_2", "2 USD coupon", "SOFT DRINKS", "COLA").plain()


async def answer(request: Request) -> Response:
    """Answer by Starlette alone, with orjson."""
    body = orjson.dumps({**ANSWER, "customer": request.path_params["customer"]})
    return Response(body, media_type="application/json")


async def answer_by_default(customer: str) -> dict[str, Any]:
    """Answer as FastAPI does where nothing is told."""
    return {**ANSWER, "customer": customer}


def build(kind: str) -> Starlette:
    if kind == "starlette":
        return Starlette(routes=[Route(PATH, answer)])
    app = FastAPI()
    app.get(PATH)(answer_by_default)
    return app


if __name__ == "__main__":
    config = uvicorn.Config(build(sys.argv[1]), port=0, access_log=False, log_level="info")
    uvicorn.Server(config).run()
