"""The request that is asked most, answered where its bytes arrive.

A request for one customer's decision passes a task, a cycle, a scope and a dozen layers in uvicorn and FastAPI, which
take several times as long as the decision itself. Here it is answered from the parser's last callback with one write.
Whatever is not plain, or is to be refused, goes the usual way, which gives the same answer.
"""

import urllib.parse
from collections.abc import Callable, Iterable
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PATH: Final = b"/v1/decisions/"
Quick = Callable[[str, Iterable[tuple[bytes, bytes]]], bytes | None]
"""Takes the customer and the headers; returns the JSON of the answer, or None for the usual way."""
_PLAIN: Final = frozenset((b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"connection"))
"""Headers that make a request other than plain."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    quick: Quick
    _answered = False

    def on_message_begin(self) -> None:
        self._answered = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
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
        if not self._answered:
            super().on_message_complete()

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
