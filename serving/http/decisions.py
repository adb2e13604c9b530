"""Decisions over HTTP: one customer, many, a new one; and the policy that they come from."""

import re
from typing import Any, Final

import orjson
from fastapi import APIRouter, HTTPException, Request, Response

from campaigns.errors import InputError
from serving.http.answers import answer
from serving.http.guard import guarded, opens
from serving.http.models import CUSTOMER, Decided, DecidedMany, Known, New, Policy
from serving.online.answers import NO_OFFER
from serving.online.api_keys import Scope
from serving.online.decider import ANYBODY
from serving.online.ledger import MONEY
from serving.online.service import Service

ONE: Final = "/v1/decisions/"
_CUSTOMER: Final = re.compile(CUSTOMER)
_FEATURES: Final = "a feature is none of this table's or outside its range; GET /v1/policy says what they are"
_PARAMETER: Final = {
    "name": "customer",
    "in": "path",
    "required": True,
    "description": "Id of the customer, as in the table.",
    "schema": {"type": "string", "pattern": CUSTOMER, "minLength": 1, "maxLength": 128},
}


_REDEEM: Final = {
    "redeem": {
        "operationId": "reserve",
        "requestBody": {"decision_id": "$response.body#/decision_id", "customer": "$response.body#/customer"},
    }
}


def answer_one(service: Service, customer: str) -> bytes | None:
    """Return one customer's decision as JSON; None where that can be no customer's id."""
    return orjson.dumps(service.decider.decide(customer).plain()) if _CUSTOMER.fullmatch(customer) else None


async def read_decision(request: Request) -> Response:
    """Return the decision for a customer by id."""
    body = answer_one(_service(request), request.path_params["customer"])
    if body is None:
        raise HTTPException(422, "a customer's id has 1 to 128 characters, none of them a control character")
    return Response(body, media_type="application/json")


async def decide(request: Request, asked: Known | New) -> Response:
    """Return the decisions for up to 1,000 customers by id, all of one version, or for a new customer by features."""
    decider = _service(request).decider
    if isinstance(asked, Known):
        return answer({"decisions": [decider.decide(customer).plain() for customer in asked.customers]})
    try:
        made = decider.decide_new(asked.features, asked.customer or ANYBODY)
    except InputError:
        raise HTTPException(409, _FEATURES) from None
    return answer({"decisions": [made.plain()]})


async def read_policy(request: Request) -> Response:
    """Return which table counts, its offers, what its rules ask of a new customer, and what is left of the budgets."""
    service = _service(request)
    loaded = service.decider.loaded
    if loaded is None:
        nothing = {
            "version": 0, "percent": 100, "previous_version": None, "campaign": "", "valid_from": None,
            "not_after": None, "currency": "", "offers": [{"name": NO_OFFER}], "features": [], "accounts": [],
        }  # fmt: skip
        return answer({"state": service.state, **nothing})
    table = loaded.table
    plain = table.catalog.to_dict()
    return answer(
        {
            "state": service.state,
            "version": table.version,
            "percent": loaded.percent,
            "previous_version": None if loaded.before is None else loaded.before.version,
            "campaign": table.campaign,
            "valid_from": table.valid_from,
            "not_after": table.not_after,
            "currency": plain["currency"],
            "offers": plain["offers"],
            "features": [vars(one) for one in table.segments.features],
            "accounts": _accounts(service, table.period),
        }
    )


def decision_routes() -> APIRouter:
    """Return the routes, the one that is asked most first."""
    router = guarded("decisions")
    one = opens(Scope.DECIDE, 404)  # where the id has a line end
    one["openapi_extra"] = {**one["openapi_extra"], "parameters": [_PARAMETER]}
    one["responses"] = {**one["responses"], 200: {"links": _REDEEM}}
    router.add_api_route(ONE + "{customer:path}", read_decision, response_model=Decided, **one)
    router.add_api_route(
        "/v1/decisions", decide, methods=["POST"], response_model=DecidedMany, **opens(Scope.DECIDE, 409, 413)
    )
    router.add_api_route("/v1/policy", read_policy, response_model=Policy, **opens(Scope.DECIDE))
    return router


def _accounts(service: Service, period: str) -> list[dict[str, Any]]:
    mine = [one for one in service.ledger.left if one.period == period]
    return [
        {
            "arm": money.arm,
            "budget_cents": money.most,
            "held_cents": money.held,
            "spent_cents": money.spent,
            "stock_left": {
                one.offer: max(one.most - one.held - one.spent, 0)
                for one in mine
                if one.arm == money.arm and one.offer != MONEY
            },
        }
        for money in mine
        if money.offer == MONEY
    ]


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
