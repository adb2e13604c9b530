"""Sends a campaign: each request once, in order, going on where an earlier try stopped."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from campaigns.errors import InputError
from history.artifacts import hash_value
from serving.platforms.campaign import Request
from serving.platforms.lots import Lot
from serving.platforms.mapping import ShopMapping
from serving.platforms.sending.errors import DeliveryError, UnsureError
from serving.platforms.sending.journal import Journal
from serving.platforms.sending.transport import ATTEMPTS, Transport, backoff

NO_FIRST_DAY: Final = ("woocommerce",)
"""Platforms whose codes work as soon as they are there."""


class Endpoint(Protocol):
    """A platform that takes requests."""

    transport: Transport

    def deliver(self, request: Request, body: Mapping[str, Any]) -> str:
        """Send a request and return what the platform calls the result.

        Raises:
            UnsureError: It may have been done.
            DeliveryError: It was not done.
        """

    def find(self, request: Request, body: Mapping[str, Any]) -> str | None:
        """Return what the platform calls the result of a request that may have been done; None where it was not."""


@dataclass(frozen=True)
class Sent:
    """How many requests were sent now, and how many had been sent before."""

    now: int
    before: int


def check_dates(lots: Iterable[Lot], mapping: ShopMapping, platform: str, now: datetime) -> None:
    """Refuse to send what is over, or what would begin too early.

    Raises:
        InputError: A lot has ended, or has not begun on a platform that knows no first day.
    """
    for lot in lots:
        if mapping.ends(lot.valid_to) <= now:
            raise InputError(f"{lot.title!r} ended on {lot.valid_to}; export a new table, nothing is sent")
        if platform in NO_FIRST_DAY and mapping.begins(lot.valid_from) > now:
            raise InputError(
                f"{lot.title!r} begins on {lot.valid_from}, and {platform} knows no first day; send it then, not now"
            )


def deliver(requests: Iterable[Request], endpoint: Endpoint, journal: Journal) -> Sent:
    """Send the requests that the journal does not know as done.

    Raises:
        DeliveryError: The platform refused one, or cannot be reached.
        InputError: The journal has another content for one of them.
    """
    ids: dict[str, str] = {}
    now = before = 0
    for request in requests:
        body = _filled(request, ids)
        digest, known = hash_value(body), journal.get(request.key)
        if known is not None and known.body != digest:
            raise InputError(
                f"{request.key} was sent with another content before; undo the change, or remove it in the shop and "
                "move the journal away"
            )
        if known is not None and known.id:
            ids[request.key] = known.id
            before += 1
            continue
        if known is None:
            journal.begin(request.key, digest)
        ids[request.key] = _deliver_one(request, body, endpoint, unsure=known is not None)
        journal.finish(request.key, digest, ids[request.key])
        now += 1
    return Sent(now, before)


def _deliver_one(request: Request, body: Mapping[str, Any], endpoint: Endpoint, unsure: bool) -> str:
    last = ""
    for attempt in range(ATTEMPTS):
        found = endpoint.find(request, body) if unsure else None
        if found is not None:
            return found
        try:
            return endpoint.deliver(request, body)
        except UnsureError as error:
            unsure, last = True, str(error)
            endpoint.transport.wait(backoff(attempt))
    raise endpoint.transport.error(
        f"{request.key}: no answer after {ATTEMPTS} attempts ({last}); run the command again"
    )


def _filled(request: Request, ids: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the body with the id that it waits for in its place, as a number where a number stands."""
    if not request.awaits:
        return request.body
    if request.awaits not in ids:
        raise DeliveryError(f"{request.key} waits for {request.awaits}, which was not sent; hand over again")
    body: Any = deepcopy(dict(request.body))
    place = body
    for step in request.slot[:-1]:
        place = place[step]
    last, identity = request.slot[-1], ids[request.awaits]
    place[last] = int(identity) if isinstance(place[last], int) else identity
    return body  # type: ignore[no-any-return]
