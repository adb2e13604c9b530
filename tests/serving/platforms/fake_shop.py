"""Shop platforms on this machine: they keep what they are sent, refuse what the real ones refuse, and fail on command.

Faults, each for one request that changes something. Nothing is done: `429`, `429-date`, `429-long`, `500`, `cut`,
`throttled` (Shopify, HTTP 200), `refused` (Shopify's `userErrors`, or a 400), `401`. All is done and the answer is
lost: `500-done`, `cut-done`, `html` (a proxy's page).
"""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a-secret-token"
SECRET = "a-secret-of-woocommerce"


class FakeShop:
    """All platforms behind one address.

    Attributes:
        faults: Taken one after the other by requests that change something; "" is none.
        codes: Every code that the shop knows, with the discount, rule or coupon that it belongs to.
        made: Discounts, rules and promotions, in order.
        changes: Requests that asked for a change, fulfilled or not.
    """

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        self.codes: dict[str, str] = {}
        self.coupons: dict[str, dict[str, Any]] = {}
        self.made: list[dict[str, Any]] = []
        self.changes = 0
        self.polls = 0
        self.creations: dict[str, list[dict[str, Any]]] = {}

    def shopify(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if query.startswith("query codeDiscountNodeByCode"):
            found = self.codes.get(variables["code"].upper())
            return {"codeDiscountNodeByCode": {"id": found} if found else None}
        if query.startswith("query discountRedeemCodeBulkCreation"):
            nodes = self.creations[variables["id"]]
            failed = sum(bool(node["errors"]) for node in nodes)
            self.polls += 1  # codes are added on the side: only every other question finds them done
            return {
                "discountRedeemCodeBulkCreation": {
                    "done": self.polls % 2 == 0,
                    "failedCount": failed,
                    "codes": {"nodes": nodes},
                }
            }
        if query.startswith("mutation discountCodeBasicCreate"):
            given = variables["basicCodeDiscount"]
            if given["code"].upper() in self.codes:
                errors = [{"field": ["basicCodeDiscount", "code"], "code": "TAKEN", "message": "Code must be unique."}]
                return {"discountCodeBasicCreate": {"codeDiscountNode": None, "userErrors": errors}}
            identity = f"gid://shopify/DiscountCodeNode/{len(self.made) + 1}"
            self.made.append({"id": identity, **given})
            self.codes[given["code"].upper()] = identity
            return {"discountCodeBasicCreate": {"codeDiscountNode": {"id": identity}, "userErrors": []}}
        nodes = []
        for entry in variables["codes"]:
            taken = entry["code"].upper() in self.codes
            self.codes.setdefault(entry["code"].upper(), variables["discountId"])
            errors = [{"code": "TAKEN", "message": f"{entry['code']} must be unique."}] if taken else []
            nodes.append({"code": entry["code"], "errors": errors})
        identity = f"gid://shopify/DiscountRedeemCodeBulkCreation/{len(self.creations) + 1}"
        self.creations[identity] = nodes
        return {"discountRedeemCodeBulkAdd": {"bulkCreation": {"id": identity}, "userErrors": []}}

    def woocommerce(self, coupons: list[dict[str, Any]]) -> dict[str, Any]:
        answers: list[dict[str, Any]] = []
        for coupon in coupons:
            code = coupon["code"].upper()
            if code in self.coupons:
                error = {"code": "woocommerce_rest_coupon_code_already_exists", "message": f"{code} already exists"}
                answers.append({"id": 0, "error": error})
                continue
            self.coupons[code] = coupon
            self.codes[code] = str(len(self.codes) + 1)
            answers.append({"id": len(self.codes), "code": code.lower()})
        return {"create": answers}

    def magento(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if "rule" in body:
            self.made.append({"rule_id": len(self.made) + 1, **body["rule"]})
            return 200, self.made[-1]
        coupon = body["coupon"]
        if coupon["code"].upper() in self.codes:
            return 400, {"message": "Coupon with the same code already exists."}
        self.codes[coupon["code"].upper()] = str(coupon["rule_id"])
        return 200, {"coupon_id": len(self.codes), **coupon}

    def magento_search(self, path: str, wanted: str) -> dict[str, Any]:
        if path.startswith("/rest/V1/salesRules"):
            return {"items": [rule for rule in self.made if rule["name"] == wanted]}
        found = self.codes.get(wanted.upper())
        place = list(self.codes).index(wanted.upper()) + 1 if found else 0
        return {"items": [{"coupon_id": place, "rule_id": found, "code": wanted}] if found else []}

    def google(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        promotion = body["promotion"]
        self.made = [p for p in self.made if p["promotionId"] != promotion["promotionId"]] + [promotion]
        return {**promotion, "name": f"{path.removesuffix(':insert')}/{promotion['promotionId']}"}


class _Handler(BaseHTTPRequestHandler):
    shop: FakeShop
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, or the client's delayed acknowledgement costs 40 ms

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path == "/wp-json/wc/v3/coupons":
            found = self.shop.coupons.get(query["code"].upper())
            self._say(200, [found] if found else [])
        else:
            wanted = query["searchCriteria[filter_groups][0][filters][0][value]"]
            self._say(200, self.shop.magento_search(parts.path, wanted))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        changes = not body.get("query", "").startswith("query ")
        self.shop.changes += changes
        fault = self.shop.faults.pop(0) if changes and self.shop.faults else ""
        if not self._is_known():
            self._say(401, {"message": f"no such token {TOKEN}"})
        elif not self._fails(fault):
            status, answer = self._act(body)
            if fault in ("500-done", "cut-done", "html"):
                self._lose(fault)
            else:
                self._say(status, answer)

    def _is_known(self) -> bool:
        basic = "Basic " + base64.b64encode(f"{TOKEN}:{SECRET}".encode()).decode()
        own = (self.headers.get("X-Shopify-Access-Token"), self.headers.get("Authorization"))
        return own in ((TOKEN, None), (None, f"Bearer {TOKEN}"), (None, basic))

    def _fails(self, fault: str) -> bool:
        """Answer a fault that does nothing."""
        if fault in ("429", "429-date"):
            later = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
            self._say(429, {}, {"Retry-After": later if fault == "429-date" else "7"})
        elif fault == "429-long":
            self._say(429, {}, {"Retry-After": "3600"})
        elif fault == "500":
            self._say(500, {})
        elif fault == "cut":
            self.close_connection = True
            self.connection.close()
        elif fault == "401":
            self._say(401, {"message": f"{TOKEN} is not valid"})
        elif fault == "throttled":
            status = {"maximumAvailable": 2000, "currentlyAvailable": 10, "restoreRate": 100}
            cost = {"requestedQueryCost": 510, "actualQueryCost": None, "throttleStatus": status}
            errors = [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]
            self._say(200, {"errors": errors, "extensions": {"cost": cost}})
        elif fault == "refused":
            self._refuse()
        else:
            return False
        return True

    def _refuse(self) -> None:
        if "graphql" in self.path:
            errors = [{"field": ["basicCodeDiscount", "endsAt"], "code": "INVALID", "message": "Ends at is wrong"}]
            payload = {"codeDiscountNode": None, "userErrors": errors}
            self._say(200, {"data": {"discountCodeBasicCreate": payload}})
        else:
            self._say(400, {"message": "not like this", "error": {"message": "not like this"}})

    def _act(self, body: dict[str, Any]) -> tuple[int, Any]:
        if "graphql" in self.path:
            return 200, {"data": self.shop.shopify(body["query"], body["variables"])}
        if self.path.startswith("/wp-json"):
            return 200, self.shop.woocommerce(body["create"])
        if self.path.startswith("/rest"):
            return self.shop.magento(self.path, body)
        return 200, self.shop.google(self.path, body)

    def _lose(self, fault: str) -> None:
        if fault == "500-done":
            self._say(500, {})
        elif fault == "html":
            self._send(200, b"<html>please wait</html>", {"Content-Type": "text/html"})
        else:
            self.close_connection = True
            self.connection.close()

    def _say(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()


@contextmanager
def serving(*faults: str) -> Iterator[tuple[str, FakeShop]]:
    """Run the shops; yields their address and what they keep."""
    shop = FakeShop(list(faults))
    handler = type("Handler", (_Handler,), {"shop": shop})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", shop
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
