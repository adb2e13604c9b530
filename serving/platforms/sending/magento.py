"""Sends to Adobe Commerce and Magento: a rule, then its coupons.

Magento takes a rule of the same name twice, so a rule is looked for by its name before it is sent: the name holds the
table and the lot.

Reference:
    magento/magento2, module SalesRule, etc/webapi.xml: V1/salesRules/search, V1/coupons/search.
"""

from collections.abc import Mapping
from typing import Any

from serving.platforms.campaign import Request
from serving.platforms.sending.transport import Transport


class MagentoEndpoint:
    """An Adobe Commerce or Magento shop."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def deliver(self, request: Request, body: Mapping[str, Any]) -> str:
        """Send a rule or a coupon, as `Endpoint` says."""
        if "rule" in body and (there := self.find(request, body)) is not None:
            return there
        answer = self.transport.send("POST", request.path, body)
        if answer.status < 400:
            return str(answer.body[_identity(body)])
        found = self.find(request, body) if "coupon" in body else None
        if found is None:
            said = answer.body.get("message")
            raise self.transport.error(f"{request.key}: Magento refused: {answer.status}: {said}; correct it")
        return found

    def find(self, request: Request, body: Mapping[str, Any]) -> str | None:
        """Return the id of the rule of that name, or of the coupon of that code on its rule."""
        field = "code" if "coupon" in body else "name"
        first = "searchCriteria[filter_groups][0][filters][0]"
        params = {f"{first}[field]": field, f"{first}[value]": request.finds, f"{first}[condition_type]": "eq"}
        answer = self.transport.ask("GET", f"{request.path}/search", params=params)
        if answer.status >= 400:
            raise self.transport.error(f"{request.key}: {answer.status}: {answer.body.get('message')}; correct it")
        for item in answer.body.get("items") or []:
            if "coupon" not in body or int(item["rule_id"]) == body["coupon"]["rule_id"]:
                return str(item[_identity(body)])
        return None


def _identity(body: Mapping[str, Any]) -> str:
    return "coupon_id" if "coupon" in body else "rule_id"
