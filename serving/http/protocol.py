"""The request that is asked most, answered where its bytes arrive.

A request for one customer's decision passes a task, a cycle, a scope and a dozen layers in uvicorn and FastAPI, which
take several times as long as the decision itself. Here it is answered from the parser's last callback with one write.
Whatever is not plain, or is to be refused, goes the usual way, which gives the same answer.

A client has so many seconds to send a request, and so many bytes for its head: one that sends a byte now and then holds
its connection no longer than that, and a head without end is not kept in memory.
"""

import asyncio
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PATH: Final = b"/v1/decisions/"
REQUEST_SECONDS: Final = 10.0
"""From the first byte of a request, or from the connection, to the last byte."""
HEAD_BYTES: Final = 32_768
"""Most bytes of a request's first line and headers, where they come in more than one piece."""
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
Quick = Callable[[str, Iterable[tuple[bytes, bytes]]], bytes | None]
"""Takes the customer and the headers; returns the JSON of the answer, or None for the usual way."""
_PLAIN: Final = frozenset((b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"connection"))
"""Headers that make a request other than plain."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    quick: Quick
    _answered = False
    _receiving = False
    _in_head = False
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._give_time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._receiving:
            self._stop_clock()
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()
        if self._deadline is None:
            self._give_time()

    def on_message_begin(self) -> None:
        self._answered, self._receiving, self._in_head, self._head_bytes = False, True, True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        body = self._body()
        if body is None:
            super().on_headers_complete()
            return
        self._answered = True
        head = [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"]
        head += [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (b"".join(head), len(body), body))
        self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        if not self._answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._receiving = False
        if not self._answered:
            super().on_message_complete()

    def _give_time(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._give_up)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        """Close the connection, unless it is we who do not read."""
        if self.flow is not None and self.flow.read_paused:
            self._give_time()
        else:
            self.transport.close()

    def _body(self) -> bytes | None:
        """Return what to answer at once, if this can be."""
        if not self.url.startswith(PATH) or self.parser.get_method() != b"GET":
            return None
        if self.parser.get_http_version() != "1.1" or not _PLAIN.isdisjoint(name for name, _ in self.headers):
            return None
        if (self.cycle is not None and not self.cycle.response_complete) or b"?" in self.url or b"#" in self.url:
            return None
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            return None
        customer = self.url[len(PATH) :].decode("ascii", "replace")
        return self.quick(urllib.parse.unquote(customer) if "%" in customer else customer, self.headers)


def protocol_of(quick: Quick) -> type[Protocol]:
    """Return the protocol for uvicorn that asks `quick` first."""
    return type("QuickProtocol", (Protocol,), {"quick": staticmethod(quick)})
