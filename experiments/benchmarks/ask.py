"""Load on a service: connections that each ask again as soon as they have their answer.

It runs in a process of its own, or it would stand in the way of what it measures.

python -m experiments.benchmarks.ask <port> <token> <customers> <seed>
"""

import asyncio
import random
import sys
import time
from functools import partial
from statistics import quantiles
from typing import Final

from experiments.benchmarks.look_up_table import customer_name

CONNECTIONS: Final = 8
SECONDS: Final = 5.0
"""Of load."""


class _Asker(asyncio.Protocol):
    """One connection that asks again as soon as it has its answer."""

    def __init__(self, requests: list[bytes], until: float, taken: list[float]) -> None:
        self._requests, self._until, self._taken = requests, until, taken
        self.done = asyncio.get_running_loop().create_future()
        self._at = 0
        self._begun = 0.0
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if not self._rest.endswith(b"}"):
            return
        assert self._rest.startswith(b"HTTP/1.1 200"), self._rest
        self._taken.append(time.perf_counter() - self._begun)
        self._rest = b""
        self._ask()

    def _ask(self) -> None:
        self._begun = time.perf_counter()
        if self._begun >= self._until:
            self._transport.close()
            self.done.set_result(None)
            return
        self._at = (self._at + 1) % len(self._requests)
        self._transport.write(self._requests[self._at])


async def _ask_all(port: int, token: str, n: int, seed: int) -> None:
    """Ask for `SECONDS` and print how many answers came and their 99th percentile [ms]."""
    rng = random.Random(seed)
    taken: list[float] = []
    until = time.perf_counter() + SECONDS
    line = "GET /v1/decisions/{} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n"
    askers = []
    for _ in range(CONNECTIONS):
        requests = [line.format(customer_name(rng.randrange(n)), token).encode() for _ in range(20_000)]
        make = partial(_Asker, requests, until, taken)
        _, asker = await asyncio.get_running_loop().create_connection(make, "127.0.0.1", port)
        askers.append(asker)
    await asyncio.gather(*(asker.done for asker in askers))
    print(len(taken), 1e3 * quantiles(taken, n=100)[98])


if __name__ == "__main__":
    asyncio.run(_ask_all(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
