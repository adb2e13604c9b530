"""Serves until it is told to stop: one process, one event loop."""

import logging
import signal
import socket
import sys
from typing import Any, Final

import uvicorn

from campaigns.errors import InputError
from serving.durable import clearly
from serving.http.address import Address
from serving.http.app import build_app
from serving.http.protocol import protocol_of
from serving.online.service import Service, Settings

DRAIN_SECONDS: Final = 10
"""Longest time that open requests are waited for after SIGTERM."""
MOST_OPEN: Final = 1_000
"""Connections; who comes on top of that is told to come again (503)."""


def serve(settings: Settings, address: Address) -> None:
    """Serve until SIGTERM or SIGINT; what was begun is finished first.

    Raises:
        InputError: The address or the state folder cannot be used.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    listening = _listen(address)
    with clearly(settings.state, "serve.state has to be a folder that can be written"):
        service = Service(settings)
    front = build_app(service)
    config = uvicorn.Config(
        front, http=protocol_of(front.quick), access_log=False, log_level="warning", server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS, limit_concurrency=MOST_OPEN, backlog=2048,
    )  # fmt: skip
    _Server(config, service).run(sockets=[listening])


def _listen(address: Address) -> socket.socket:
    """Return a socket that holds the address; it answers once the service listens."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address.host, address.port))
    except OSError as error:
        listening.close()
        raise InputError(
            f"serve.host {address.host}, serve.port {address.port}: {error.strerror}; choose another, or port 0 for any"
        ) from None
    return listening


class _Server(uvicorn.Server):
    """Says on standard error where it listens, once it does; a signal ends it in order, and that is no failure."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: object) -> None:
        """End; uvicorn's own way would raise the signal once more after that."""
        self.force_exit = self.force_exit or (self.should_exit and sig == signal.SIGINT)
        self.should_exit = True

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        for server in getattr(self, "servers", []):
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                what = f"state {self._service.state}" + (f": {self._service.problem}" if self._service.problem else "")
                keys = len(self._service.keys)
                print(f"serve: http://{host}:{port}/healthz ({what}; {keys} API keys)", file=sys.stderr, flush=True)
