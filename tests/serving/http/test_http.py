"""What goes over HTTP: answers, refusals that repeat nothing, writes that are acknowledged once they are kept."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from serving.http.address import Address, encode
from serving.lookup import Lookup
from serving.online.api_keys import Scope, create_key
from serving.online.service import Settings
from tests.serving.served import ROOT, Client, Served


def key() -> str:
    return uuid.uuid4().hex


def offered(client: Client, exported: Path, offer: str = "coupon_2", skip: int = 0) -> dict:
    """Return the decision of one who gets the offer."""
    found = [row["customer_id"] for row in Lookup.of(exported) if row["offer"] == offer]
    return client.get(f"/v1/decisions/{found[skip]}")[1]


def test_one_and_many_customers_get_the_same(client: Client, exported: Path) -> None:
    ids = [*[row["customer_id"] for row in Lookup.of(exported)][:50], "nobody", "=cmd()", "a/b", "Zoë 7"]
    status, many = client.post("/v1/decisions", {"customers": ids})
    assert status == 200 and len(many["decisions"]) == len(ids)
    for name, other in zip(ids, many["decisions"], strict=True):
        status, one = client.get(f"/v1/decisions/{quote(name, safe='')}")
        assert status == 200 and one.pop("decision_id") != other.pop("decision_id")
        assert one == other and one["customer"] == name
    assert many["decisions"][0]["reason"] == "match" and many["decisions"][-1]["reason"] == "default"


def answered(port: int, data: bytes) -> bytes:
    """Send bytes as they are; return what comes until the service hangs up or says nothing for half a second."""
    found = b""
    with socket.create_connection(("127.0.0.1", port)) as connection, contextlib.suppress(TimeoutError):
        connection.sendall(data)
        connection.settimeout(0.5)
        while part := connection.recv(65_536):
            found += part
    return found


def test_the_quick_way_and_the_usual_way_say_the_same(client: Client) -> None:
    key = f"Authorization: Bearer {client.token}\r\n"

    def ask(more: str, version: str = "1.1", path: str = "/v1/decisions/0001") -> bytes:
        return f"GET {path} HTTP/{version}\r\nHost: x\r\n{more}\r\n".encode()

    bodies = []
    for text in (
        ask(key), ask(key + "Connection: close\r\n"), ask(key + "Content-Length: 2\r\n") + b"{}", ask(key, "1.0"),
        ask(key, path="/v1/decisions/0001?x=1"), ask(key, path="/v1/decisions/%30001"),
    ):  # fmt: skip
        head, body = answered(client.port, text).split(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"content-type: application/json" in head, head
        assert f"content-length: {len(body)}".encode() in head
        bodies.append(json.loads(body) | {"decision_id": ""})
    assert all(body == bodies[0] for body in bodies) and bodies[0]["reason"] == "match"
    many = answered(client.port, ask(key) * 3 + ask("") + ask(key) + ask(key, path="/healthz") + ask(key))
    assert re.findall(rb"HTTP/1.1 (\d+)", many) == [b"200"] * 3 + [b"401"] + [b"200"] * 3


def test_a_new_customer_is_served_by_the_rules(client: Client) -> None:
    status, made = client.post("/v1/decisions", {"features": {"weeks_since_visit": 6}, "customer": "new"})
    assert status == 200 and made["decisions"][0]["reason"] == "rule" and made["decisions"][0]["offer"] == "coupon_2"
    assert client.post("/v1/decisions", {"features": {"height": 6}})[0] == 409


def test_the_policy_says_what_counts(client: Client) -> None:
    status, found = client.get("/v1/policy")
    assert status == 200
    assert (found["state"], found["version"], found["valid_from"]) == ("ready", 1, "2018-01-01")
    assert "weeks_since_visit" in [one["name"] for one in found["features"]]
    assert {one["arm"]: one["budget_cents"] for one in found["accounts"]}["optimised"] == 10_000


@pytest.mark.parametrize(
    "body",
    [
        b'{"customers": ["a"], "customers": ["b"]}',
        b'{"features": {"promo_share": NaN}}',
        b'{"features": {"promo_share": Infinity}}',
        b'{"features": {"promo_share": 1e400}}',
        b'{"features": {"promo_share": -1e400}}',
        b'{"features": {"promo_share": true}}',
        b'{"features": {"promo_share": "0.1"}}',
        b'{"features": {"promo_share": ' + b"9" * 5000 + b"}}",
        b'{"customers": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000,
        b'{"customers": ["a"], "more": 1}',
        b'{"customers": ["\\ud800"]}',
        b'{"customers": ["a\\u0000"]}',
        b'{"customers": []}',
        b'{"customers": ["' + b"x" * 129 + b'"]}',
        b"\xff\xfe",
        b"null",
        b"",
    ],
)
def test_bad_json_is_refused_and_not_repeated(client: Client, body: bytes) -> None:
    status, found = client.post("/v1/decisions", body)
    assert status == 422, found
    assert set(found) == {"error", "detail"} and len(json.dumps(found)) < 2000
    assert client.get("/healthz")[0] == 200


def test_a_large_body_is_refused(client: Client) -> None:
    large = b'{"customers": ["' + b"x" * 10_000_000 + b'"]}'
    try:
        status = client.post("/v1/decisions", large)[0]
    except (BrokenPipeError, ConnectionResetError):
        status = 413  # it hung up while we were still sending
    assert status == 413
    assert client.get("/healthz")[0] == 200


def test_other_content_than_json_is_refused(client: Client) -> None:
    assert client.post("/v1/decisions", b"customers=a", Content_Type="application/x-www-form-urlencoded")[0] == 422
    assert client.get("/v1/nothing")[0] == 404
    assert client.ask("DELETE", "/v1/policy")[0] == 405
    assert client.ask("DELETE", "/v1/decisions/1")[0] == 405


@pytest.mark.parametrize("path", ["%00", "a%0ab", "x" * 129, ""])
def test_ids_that_none_can_have_are_refused(client: Client, path: str) -> None:
    assert client.get(f"/v1/decisions/{path}")[0] in (404, 422)


@pytest.mark.parametrize("path", ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "v000001%2f..", "' OR 1=1 --"])
def test_an_id_is_never_a_path_nor_sql(client: Client, path: str) -> None:
    status, made = client.get(f"/v1/decisions/{quote(path, safe='%')}")
    assert status == 200 and made["reason"] == "default"


def test_each_route_opens_to_its_scope_alone(served: Served, client: Client) -> None:
    state = Path(re.search(r'"state": "([^"]+)"', " ".join(served.process.args))[1])  # type: ignore[arg-type, index]
    tokens = {scope: create_key(state, [scope], "") for scope in Scope}
    time.sleep(0.6)
    asked = {
        Scope.DECIDE: [("GET", "/v1/decisions/1"), ("GET", "/v1/policy"), ("GET", "/metrics"), ("GET", "/v1/switch")],
        Scope.REDEEM: [("POST", "/v1/events"), ("GET", f"/v1/redemptions/{'0' * 32}")],
        Scope.ADMIN: [("PUT", "/v1/switch")],
    }
    for opened, routes in asked.items():
        for method, path in routes:
            for scope, token in tokens.items():
                status = client.with_token(token).ask(method, path, None if method == "GET" else {})[0]
                assert (status == 403) == (scope is not opened), (method, path, scope, status)
            assert client.with_token("").ask(method, path)[0] == 401
            assert client.with_token(token[:-1]).ask(method, path)[0] == 401
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert client.with_token("").get(path)[0] == 200


def test_an_offer_is_redeemed_once(client: Client, exported: Path) -> None:
    made = offered(client, exported)
    asked = {"decision_id": made["decision_id"], "customer": made["customer"], "amount_cents": 20}
    same = key()
    status, held = client.post("/v1/redemptions", asked, Idempotency_Key=same)
    assert (status, held["state"], held["amount_cents"]) == (201, "reserved", 20), held
    assert client.post("/v1/redemptions", asked, Idempotency_Key=same) == (201, held)
    assert client.post("/v1/redemptions", asked, Idempotency_Key=key())[0] == 409
    path = f"/v1/redemptions/{held['redemption_id']}"
    assert client.post(f"{path}/commit", {"amount_cents": 21}, Idempotency_Key=key())[0] == 409
    status, done = client.post(f"{path}/commit", {"amount_cents": 15}, Idempotency_Key=key())
    assert (status, done["state"], done["amount_cents"]) == (200, "committed", 15)
    assert client.get(path) == (200, done)
    assert client.post(f"{path}/release", None, Idempotency_Key=key())[0] == 409
    account = next(one for one in client.get("/v1/policy")[1]["accounts"] if one["arm"] == "optimised")
    assert (account["held_cents"], account["spent_cents"]) == (0, 15)


def test_what_was_not_decided_here_is_not_redeemed(client: Client, exported: Path) -> None:
    made = offered(client, exported, skip=1)
    none = client.get("/v1/decisions/nobody")[1]
    for decision, customer, status in (
        (made["decision_id"], "somebody else", 404),
        ("0" * 32, made["customer"], 404),
        (none["decision_id"], "nobody", 409),
    ):
        asked = {"decision_id": decision, "customer": customer}
        assert client.post("/v1/redemptions", asked, Idempotency_Key=key())[0] == status
    asked = {"decision_id": made["decision_id"], "customer": made["customer"]}
    assert client.post("/v1/redemptions", asked)[0] == 422  # without an idempotency key
    assert client.post("/v1/redemptions", asked | {"amount_cents": 10**6}, Idempotency_Key=key())[0] == 409


def test_an_event_is_kept_once(client: Client, exported: Path) -> None:
    made = offered(client, exported, skip=2)
    event = {
        "event_id": key(), "kind": "impression", "customer": made["customer"], "time": time.time(),
        "decision_id": made["decision_id"],
    }  # fmt: skip
    assert client.post("/v1/events", {"events": [event]}) == (200, {"accepted": 1, "duplicates": 0, "aside": 0})
    assert client.post("/v1/events", {"events": [event]}) == (200, {"accepted": 0, "duplicates": 1, "aside": 0})
    assert client.post("/v1/events", {"events": [event | {"kind": "click"}]})[0] == 409
    assert client.post("/v1/events", {"events": [event | {"event_id": key(), "customer": "other"}]})[0] == 409
    assert client.post("/v1/events", {"events": [event | {"time": float("1e300")}]})[0] == 422


def test_the_client_of_the_page_works_and_has_a_safe_default(client: Client, exported: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "serving.md").read_text("utf-8")
    space: dict[str, Any] = {}
    exec(re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1], space)  # type: ignore[index]
    made = space["decide"]("0001", client.token, f"http://127.0.0.1:{client.port}")
    assert made["reason"] == "match" and made["decision_id"]
    for token, port in (("wrong", client.port), (client.token, 1)):
        assert space["decide"]("0001", token, f"http://127.0.0.1:{port}")["offer"] == "none"


def test_a_port_that_is_taken_and_a_state_that_cannot_be_written_are_one_line_each(
    client: Client, exported: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for state, port in (("other", client.port), ("file", 0)):
        text = encode(Settings(tmp_path / state, folder=exported), Address(port=port))
        done = subprocess.run(
            [sys.executable, "-m", "serving.http", text], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("error: ") and re.search("serve.port|serve.state", done.stderr)


def test_metrics_count_what_was_asked(client: Client) -> None:
    client.get("/v1/decisions/nobody")
    text = client.get("/metrics")[1]
    count = re.search(r'offersmith_requests_total\{route="/v1/decisions/\{customer\}",status="200"\} (\S+)', text)
    assert count and float(count[1]) >= 1
    assert 'offersmith_decisions_total{reason="default"}' in text and "offersmith_table_version 1.0" in text
    assert 'offersmith_request_seconds_bucket{le="0.01"' in text


def test_the_description_names_every_route_and_its_key(client: Client) -> None:
    found = client.with_token("").get("/openapi.json")[1]
    assert set(found["paths"]) == {
        "/v1/decisions/{customer}", "/v1/decisions", "/v1/policy", "/v1/events", "/v1/redemptions", "/v1/switch",
        "/v1/redemptions/{redemption_id}", "/v1/redemptions/{redemption_id}/commit",
        "/v1/redemptions/{redemption_id}/release", "/healthz", "/readyz", "/metrics",
    }  # fmt: skip
    assert found["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in found["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == (path not in ("/healthz", "/readyz"))


def test_the_kill_switch_gives_everybody_no_offer_until_it_is_released(client: Client, exported: Path) -> None:
    assert client.ask("PUT", "/v1/switch", {"killed": True}) == (200, {"killed": True, "lasting": True})
    try:
        ids = [row["customer_id"] for row in Lookup.of(exported)]
        made = client.post("/v1/decisions", {"customers": ids})[1]["decisions"]
        assert {(one["reason"], one["offer"]) for one in made} == {("killed", "none")}
        assert client.get("/readyz") == (200, {"status": "killed"})
        assert client.ask("PUT", "/v1/switch", {"killed": False})[0] == 409
    finally:
        assert client.ask("PUT", "/v1/switch", {"killed": False, "reason": "checked"})[0] == 200
    assert offered(client, exported)["reason"] == "match"
