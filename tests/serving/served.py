"""The service in a process of its own, and a plain client for it."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Self

from serving.http.address import Address, encode
from serving.online.api_keys import Scope, create_key
from serving.online.service import Settings

ROOT = Path(__file__).parents[2]
DAY = date(2018, 1, 2)
"""A day on which the small table of the tests is valid."""


@dataclass
class Client:
    """Asks one service; every answer is its status and its JSON."""

    port: int
    token: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send JSON, or bytes as they are."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            return self.on(connection, method, path, body, **headers)
        finally:
            connection.close()

    def on(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"} if self.token else {}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, sent | {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        text = answer.read()
        plain = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(text) if plain else text.decode()

    def get(self, path: str) -> tuple[int, Any]:
        return self.ask("GET", path)

    def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        return self.ask("POST", path, body, **headers)

    def with_token(self, token: str) -> Self:
        return replace(self, token=token)


@dataclass
class Served:
    """A running service."""

    process: subprocess.Popen[str]
    client: Client
    line: str

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        self.process.terminate()
        self.process.communicate(timeout=30)
        return self.process.returncode


def every_key(state: Path) -> str:
    """Make a key that opens everything."""
    return create_key(state, list(Scope), "a test")


def start(settings: Settings, token: str, before: list[str] | None = None, **environment: str) -> Served:
    """Start a service on a free port and wait until it answers."""
    command = [*(before or []), sys.executable, "-m", "serving.http", encode(settings, Address(port=0))]
    given: Mapping[str, str] = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment}
    process = subprocess.Popen(command, cwd=ROOT, env=dict(given), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        if found:
            return Served(process, Client(int(found[1]), token), line)
    raise AssertionError("the service did not start: " + "".join(said))


@contextmanager
def serving(settings: Settings, **environment: str) -> Iterator[Served]:
    """Start a service with a key that opens everything, and end it."""
    served = start(settings, every_key(settings.state), **environment)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.stop()
