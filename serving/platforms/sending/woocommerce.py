"""Sends to WooCommerce: batches of coupons, each with its own success or error.

Reference:
    developer.woocommerce.com, REST API v3, "Batch update coupons", "List all coupons" (`code`).
"""

from collections.abc import Mapping
from typing import Any, Final

from serving.platforms.campaign import Request
from serving.platforms.sending.transport import Transport

_LIST: Final = "/wp-json/wc/v3/coupons"
_EXISTS: Final = "woocommerce_rest_coupon_code_already_exists"


class WooCommerceEndpoint:
    """A WooCommerce shop."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def deliver(self, request: Request, body: Mapping[str, Any]) -> str:
        """Send a batch, as `Endpoint` says; coupons that are there already are fine where they are of our table."""
        answer = self.transport.send("POST", request.path, body)
        if answer.status >= 400:
            raise self.transport.error(f"{request.key}: {answer.status}: {answer.body.get('message')}; correct it")
        for coupon, made in zip(body["create"], answer.body["create"], strict=True):
            error = made.get("error")
            if error and not (error.get("code") == _EXISTS and self._is_ours(coupon)):
                said = f"{error.get('message')} ({error.get('code')})"
                raise self.transport.error(f"{request.key}: WooCommerce refused: {said}; correct it")
        return f"{len(body['create'])} coupons"

    def find(self, request: Request, body: Mapping[str, Any]) -> str | None:
        """Return nothing: a batch is sent again, and what is there already is found one by one."""
        return None

    def _is_ours(self, coupon: Mapping[str, Any]) -> bool:
        found = self.transport.ask("GET", _LIST, params={"code": coupon["code"]}).body
        wanted = {(item["key"], item["value"]) for item in coupon["meta_data"]}
        return any(wanted <= {(item["key"], item["value"]) for item in other.get("meta_data", [])} for other in found)
