"""Events, redemptions and the kill switch over HTTP: acknowledged once they are on the disk."""

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, HTTPException, Path, Request, Response

from campaigns.errors import InputError
from serving.http.answers import answer
from serving.http.guard import guarded, opens
from serving.http.models import Commit, Events, Kept, Redeemed, Reserve, Switched, SwitchTo
from serving.online.api_keys import Scope
from serving.online.commits import StorageError
from serving.online.decider import RULED
from serving.online.events import Event
from serving.online.ledger import Redemption, Wanted
from serving.online.service import Service

IdempotencyKey = Annotated[
    str,
    Header(pattern="^[A-Za-z0-9_-]{8,64}$", description="Chosen by the caller, once per write; sent again on a retry."),
]
RedemptionId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


_ENDINGS: Final = {
    name: {"operationId": name, "parameters": {"redemption_id": "$response.body#/redemption_id"}}
    for name in ("commit", "release", "read_redemption")
}


async def keep_events(request: Request, sent: Events) -> Response:
    """Keep what happened, all of it or nothing; the answer comes once it is durable. The same event is kept once."""
    service = _service(request)
    found = []
    for one in sent.events:
        number = None
        if one.decision_id is not None:
            number = service.names.number(one.decision_id, one.customer)
            if number is None:
                raise HTTPException(409, "an event names a decision that was not made here for its customer")
        found.append(Event(one.event_id, one.kind, one.customer, number, one.time, one.amount_cents))
    kept = await asyncio.wrap_future(service.events.keep(found))
    return answer(kept._asdict())


async def reserve(request: Request, asked: Reserve, idempotency_key: IdempotencyKey) -> Response:
    """Hold money and a piece for an offer that a customer redeems, before the till takes it off the bill."""
    service = _service(request)
    number = service.names.number(asked.decision_id, asked.customer)
    made = None if number is None else service.log.find(number)
    if number is None or made is None or made.customer != asked.customer:
        raise HTTPException(404, "this decision was not made here for this customer; ask for a new one")
    cap = service.cap_cents(made.offer)
    if not cap:
        raise HTTPException(409, "the decision is no offer, or one of a table that is gone")
    if made.valid_to is not None and service.clock.today() > made.valid_to:
        raise HTTPException(409, "the offer is past its last day")
    cents = cap if asked.amount_cents is None else asked.amount_cents
    if cents > cap:
        raise HTTPException(409, f"one redemption of this offer may cost at most {cap} cents")
    wanted = Wanted(number, made.customer, made.period, made.arm or RULED, made.offer, cents)
    held = await asyncio.wrap_future(service.ledger.reserve(wanted, _key(request, idempotency_key)))
    return answer(_plain(held), 201)


async def commit(
    request: Request, redemption_id: RedemptionId, asked: Commit, idempotency_key: IdempotencyKey
) -> Response:
    """Spend what the redemption did cost; the rest of the reservation comes back."""
    ledger = _service(request).ledger
    ended = ledger.commit(redemption_id, asked.amount_cents, _key(request, idempotency_key))
    return answer(_plain(await asyncio.wrap_future(ended)))


async def release(request: Request, redemption_id: RedemptionId, idempotency_key: IdempotencyKey) -> Response:
    """Give a reservation back."""
    ended = _service(request).ledger.release(redemption_id, _key(request, idempotency_key))
    return answer(_plain(await asyncio.wrap_future(ended)))


async def read_redemption(request: Request, redemption_id: RedemptionId) -> Response:
    """Return a redemption as it stands."""
    return answer(_plain(await asyncio.wrap_future(_service(request).ledger.find(redemption_id))))


async def read_switch(request: Request) -> Response:
    """Return whether everybody gets "no offer"."""
    return answer({"killed": _service(request).switch.killed, "lasting": True})


async def turn_switch(request: Request, to: SwitchTo) -> Response:
    """Let everybody get "no offer" at once, or release that again, for which a reason is needed."""
    switch, who = _service(request).switch, request.scope["key"].id
    if to.killed:
        return answer({"killed": True, "lasting": switch.pull(who, to.reason)})
    try:
        switch.release(who, to.reason)
    except InputError as error:
        raise HTTPException(409, str(error)) from None
    except OSError as error:
        raise StorageError(str(error)) from None
    return answer({"killed": switch.killed, "lasting": True})


def write_routes() -> APIRouter:
    """Return the routes."""
    router = guarded("writes")
    redeem = opens(Scope.REDEEM, 404, 409, 413, 503, 507)
    router.add_api_route(
        "/v1/events", keep_events, methods=["POST"], response_model=Kept, **opens(Scope.REDEEM, 409, 413, 503, 507)
    )
    held = {**redeem, "responses": {**redeem["responses"], 201: {"links": _ENDINGS}}}
    router.add_api_route("/v1/redemptions", reserve, methods=["POST"], status_code=201, response_model=Redeemed, **held)
    one = "/v1/redemptions/{redemption_id}"
    router.add_api_route(one, read_redemption, response_model=Redeemed, **opens(Scope.REDEEM, 404, 503, 507))
    for verb, ending in (("commit", commit), ("release", release)):
        router.add_api_route(f"{one}/{verb}", ending, methods=["POST"], response_model=Redeemed, **redeem)
    router.add_api_route("/v1/switch", read_switch, response_model=Switched, **opens(Scope.DECIDE))
    router.add_api_route(
        "/v1/switch", turn_switch, methods=["PUT"], response_model=Switched, **opens(Scope.ADMIN, 409, 413, 503, 507)
    )
    return router


def _plain(redemption: Redemption) -> dict[str, Any]:
    return {
        "redemption_id": redemption.id,
        "state": redemption.state,
        "customer": redemption.customer,
        "offer": redemption.offer,
        "arm": redemption.arm,
        "amount_cents": redemption.cents,
        "expires": redemption.expires,
    }


def _key(request: Request, given: str) -> str:
    """Return the idempotency key, which is the caller's own."""
    return f"{request.scope['key'].id}/{given}"


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
