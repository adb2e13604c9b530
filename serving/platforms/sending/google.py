"""Sends to Google Merchant Center: an insert that replaces the promotion of the same id, so that it may be repeated.

Reference:
    googleapis/googleapis, google/shopping/merchant/promotions/v1/promotions.proto, `InsertPromotion`.
"""

from collections.abc import Mapping
from typing import Any

from serving.platforms.campaign import Request
from serving.platforms.sending.transport import Transport


class GoogleEndpoint:
    """A Merchant Center account."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def deliver(self, request: Request, body: Mapping[str, Any]) -> str:
        """Insert a promotion, as `Endpoint` says."""
        answer = self.transport.ask("POST", request.path, body)
        if answer.status >= 400:
            error = answer.body.get("error", answer.body)
            said = f"{answer.status}: {error.get('message')}"
            raise self.transport.error(f"{request.key}: Google refused: {said}; correct it")
        return str(answer.body["name"])

    def find(self, request: Request, body: Mapping[str, Any]) -> str | None:
        """Return nothing: a repeated insert changes nothing."""
        return None
