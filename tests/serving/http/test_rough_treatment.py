"""What a service bears beside kills and full disks: clients that dawdle or flood, signals too early, files cut off."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from campaigns.errors import InputError
from serving.http import protocol
from serving.http.address import Address, encode
from serving.lookup import Lookup
from serving.online.service import Settings
from tests.serving.served import DAY, ROOT, Client, serving

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def connect(client: Client) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", client.port), timeout=30)
    connection.settimeout(30)
    return connection


def wait_until_closed(connection: socket.socket) -> None:
    """Read whatever comes until the other side ends the connection."""
    with connection, contextlib.suppress(ConnectionError):
        while connection.recv(65_536):
            pass


@pytest.mark.slow
def test_clients_that_dawdle_lose_their_connection_and_hold_nobody_up(client: Client) -> None:
    begun = time.monotonic()
    silent, dawdling, half = ([connect(client) for _ in range(40)] for _ in range(3))
    for one in half:
        one.sendall(b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    for byte in REQUEST[:8]:
        for one in dawdling:
            one.sendall(bytes([byte]))
        asked = time.monotonic()
        assert client.get("/v1/decisions/0001")[0] == 200
        assert time.monotonic() - asked < 1.0
        time.sleep(0.5)
    for one in (*silent, *dawdling, *half):
        wait_until_closed(one)
    assert time.monotonic() - begun < protocol.REQUEST_SECONDS + 8
    assert client.get("/healthz")[0] == 200


def test_who_sends_requests_one_after_the_other_is_not_cut_off(client: Client) -> None:
    with connect(client) as one:
        for piece in (REQUEST[:10], REQUEST[10:] + REQUEST, REQUEST[:1], REQUEST[1:]):
            one.sendall(piece)
            time.sleep(0.05)
        found = b""
        while found.count(b"200 OK") < 3:
            found += one.recv(65_536)


@pytest.mark.parametrize(
    "flood", [b"X-Header: " + b"a" * 1000 + b"\r\n", b"a" * 1000], ids=["many headers", "one without end"]
)
def test_a_head_without_end_is_refused(client: Client, flood: bytes) -> None:
    with connect(client) as one:
        one.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nY: ")
        said = b""
        try:
            for _ in range(200):
                one.sendall(flood)
                time.sleep(0.001)
            said = one.recv(100)
        except ConnectionError:
            said = said or b"HTTP/1.1 431"  # the answer was lost with the connection
    assert said.startswith(b"HTTP/1.1 431")
    assert client.get("/healthz")[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts_ends_it_at_once_and_it_starts_again(
    exported: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    settings = Settings(tmp_path / "state", folder=exported, today=DAY)
    for seconds in (0.1, 0.5, 1.0):
        command = [sys.executable, "-m", "serving.http", encode(settings, Address(port=0))]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        time.sleep(seconds)
        process.send_signal(sent)
        said = process.communicate(timeout=10)[1]
        assert process.returncode in (0, -sent), said  # 0 once it listens
        assert "Traceback" not in said
    with serving(settings) as served:
        assert served.client.get("/v1/decisions/0001")[1]["reason"] == "match"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_others_reach_it_only_where_that_was_said(host: str) -> None:
    with pytest.raises(InputError, match=f"serve.host is {host}, which others reach; add serve.public=true"):
        Address(host)
    assert Address(host, public=True).host == host
    assert Address("127.0.0.1") and Address("::1")


@pytest.mark.parametrize("left", [0, 4096, 20_000])
def test_a_look_up_file_that_is_cut_off_where_it_lies_ends_no_process(
    exported: Path, tmp_path: Path, left: int
) -> None:
    folder = copied(exported, tmp_path)
    rows = {row["customer_id"]: row["offer"] for row in Lookup.of(exported)}
    with serving(Settings(tmp_path / "state", folder=folder, today=DAY)) as served:
        assert served.client.get("/v1/decisions/0001")[1]["reason"] == "match"
        (folder / "policy.sqlite-wal").write_bytes(b"\x37\x7f\x06\x82" + b"\0" * 4000)
        with (folder / "policy.sqlite").open("r+b") as stream:
            stream.truncate(left)
        for made in served.client.post("/v1/decisions", {"customers": sorted(rows)})[1]["decisions"]:
            assert made["offer"] in ("none", rows[made["customer"]])
        time.sleep(0.7)
        made = served.client.post("/v1/decisions", {"customers": sorted(rows)})[1]["decisions"]
        assert {one["reason"] for one in made} == {"default"}
        assert served.client.get("/readyz") == (503, {"status": "default"})


def test_a_look_up_file_that_is_written_to_where_it_lies_gives_no_offer_any_more(
    exported: Path, tmp_path: Path
) -> None:
    folder = copied(exported, tmp_path)
    with serving(Settings(tmp_path / "state", folder=folder, today=DAY)) as served:
        data = (folder / "policy.sqlite").read_bytes()
        with (folder / "policy.sqlite").open("r+b") as stream:
            stream.write(data.replace(b"coupon_2", b"coupon_5"))
        time.sleep(0.7)
        made = served.client.post("/v1/decisions", {"customers": [f"{i:04d}" for i in range(300)]})[1]["decisions"]
        assert {one["reason"] for one in made} == {"default"}
        (folder / "policy.sqlite").write_bytes(data)
        deadline = time.monotonic() + 8
        while served.client.get("/v1/decisions/0001")[1]["reason"] != "match":
            assert time.monotonic() < deadline
            time.sleep(0.2)


def copied(exported: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "policy"
    folder.mkdir()
    for name in ("manifest.json", "policy.sqlite"):
        (folder / name).write_bytes((exported / name).read_bytes())
    return folder
