"""Sends to Shopify: GraphQL over HTTP, where a refusal is a 200 with `userErrors`.

References:
    shopify.dev, GraphQL Admin API: "Rate limits" (`THROTTLED`, `extensions.cost`), DiscountUserError (`TAKEN`),
    DiscountRedeemCodeBulkCreation, codeDiscountNodeByCode.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from serving.platforms.campaign import Request
from serving.platforms.sending.errors import UnsureError
from serving.platforms.sending.transport import ATTEMPTS, Answer, Transport

POLLS: Final = 60
"""Times that a bulk creation is asked for, two seconds apart."""
_BY_CODE: Final = "query codeDiscountNodeByCode($code: String!) { codeDiscountNodeByCode(code: $code) { id } }"
_CREATION: Final = (
    "query discountRedeemCodeBulkCreation($id: ID!) { discountRedeemCodeBulkCreation(id: $id) { "
    "done failedCount codes(first: 250) { nodes { code errors { code message } } } } }"
)


class ShopifyEndpoint:
    """A Shopify shop."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def deliver(self, request: Request, body: Mapping[str, Any]) -> str:
        """Send a mutation, as `Endpoint` says."""
        data = self._mutate(request.path, body)
        (payload,) = data.values()
        errors = payload.get("userErrors") or []
        if not request.awaits:
            taken = bool(errors) and all(error.get("code") == "TAKEN" for error in errors)
            if taken and (found := self.find(request, body)) is not None:
                return found  # the code is a keyed hash: who has it, has it from us
            self._refuse(request, errors)
            return str(payload["codeDiscountNode"]["id"])
        self._refuse(request, errors)
        identity = str(payload["bulkCreation"]["id"])
        self._await_codes(request, identity, body["variables"]["discountId"])
        return identity

    def find(self, request: Request, body: Mapping[str, Any]) -> str | None:
        """Return the id of the discount that has the code; codes themselves may be added again."""
        return None if request.awaits else self._discount_of(request.path, request.finds)

    def _await_codes(self, request: Request, identity: str, discount: str) -> None:
        """Wait until a bulk creation is through; codes that were there already are fine where they are ours."""
        for _ in range(POLLS):
            data = self._query(request.path, _CREATION, {"id": identity})["discountRedeemCodeBulkCreation"]
            if data["done"]:
                break
            self.transport.wait(2.0)
        else:
            raise self.transport.error(f"{request.key}: Shopify is still adding codes; run the command again later")
        failed = [node for node in data["codes"]["nodes"] if node["errors"]]
        lost = [node for node in failed if self._discount_of(request.path, node["code"]) != discount]
        if lost or data["failedCount"] > len(failed):
            said = "; ".join(error["message"] for node in lost[:3] for error in node["errors"])
            raise self.transport.error(
                f"{request.key}: {data['failedCount']} codes were not added ({said}); correct it"
            )

    def _discount_of(self, path: str, code: str) -> str | None:
        found = self._query(path, _BY_CODE, {"code": code})["codeDiscountNodeByCode"]
        return None if found is None else str(found["id"])

    def _query(self, path: str, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        return self._unthrottled(lambda: self.transport.ask("POST", path, {"query": query, "variables": variables}))

    def _mutate(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._unthrottled(lambda: self.transport.send("POST", path, body))

    def _unthrottled(self, request: Callable[[], Answer]) -> dict[str, Any]:
        for _ in range(ATTEMPTS):
            answer = self._answer(request().body)
            if answer is not None:
                return answer
        raise self.transport.error(f"throttled {ATTEMPTS} times; run the command again later")

    def _answer(self, body: Any) -> dict[str, Any] | None:
        """Return the data; None, after a wait, where the request was throttled and so not done."""
        errors = body.get("errors") if isinstance(body, Mapping) else "no JSON object"
        if not errors:
            data: dict[str, Any] = body["data"]
            return data
        kinds = {e.get("extensions", {}).get("code") for e in errors} if isinstance(errors, list) else set()
        if kinds == {"THROTTLED"}:
            self.transport.wait(throttled(body))
            return None
        if "INTERNAL_SERVER_ERROR" in kinds:
            raise UnsureError("INTERNAL_SERVER_ERROR")
        raise self.transport.error(f"Shopify refused: {_messages(errors)}; correct the mapping or the app's scopes")

    def _refuse(self, request: Request, errors: list[Mapping[str, Any]]) -> None:
        if errors:
            said = "; ".join(f"{'.'.join(e.get('field') or [])}: {e.get('message')} ({e.get('code')})" for e in errors)
            raise self.transport.error(f"{request.key}: Shopify refused: {said}; correct it and run the command again")


def throttled(body: Mapping[str, Any]) -> float:
    """Return how long it takes until the cost of a throttled query is there again [s], from `extensions.cost`."""
    cost = body.get("extensions", {}).get("cost", {})
    status = cost.get("throttleStatus", {})
    missing = cost.get("requestedQueryCost", 0) - status.get("currentlyAvailable", 0)
    return float(max(1.0, missing / max(status.get("restoreRate", 50), 1)))


def _messages(errors: Any) -> str:
    return "; ".join(str(e.get("message")) for e in errors) if isinstance(errors, list) else str(errors)
