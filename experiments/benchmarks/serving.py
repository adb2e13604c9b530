"""What a look-up takes: in this process, over HTTP, and as a join of very many customers."""

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from statistics import median, quantiles
from typing import Final, NamedTuple

import duckdb

from experiments.benchmarks.ask import CONNECTIONS, SECONDS
from experiments.benchmarks.look_up_table import FIRST, customer_name, write_folder
from experiments.benchmarks.measured import Measured
from experiments.config import Config
from serving.http.address import Address, encode
from serving.online.api_keys import Scope, create_key
from serving.online.clock import Clock
from serving.online.decider import Decider
from serving.online.service import Settings
from serving.parts import CUSTOMERS_PARQUET

PEERS: Final = {"starlette": "a Starlette route that looks nothing up, with orjson", "fastapi": "FastAPI's default way"}
JOINED: Final = 10_000_000
MIB: Final = 2**20
DAY: Final = date.fromisoformat(FIRST)


def measure_serving(config: Config, rounds: int) -> list[Measured]:
    """Measure the look-up over a table of `config.benchmark.many` customers."""
    n = config.benchmark.many
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "policy"
        write_folder(folder, n)
        return [_in_process(folder, n, rounds), *_over_http(Path(root), folder, n, rounds), _join(folder, n)]


def _in_process(folder: Path, n: int, rounds: int) -> Measured:
    decider = Decider.of(folder, Clock(DAY))
    rng = random.Random(0)
    for i in range(n):  # the file's pages are in memory, as in a service that runs for a while
        decider.decide(customer_name(i))
    found = []
    for _ in range(rounds):
        names = [customer_name(rng.randrange(n)) for _ in range(50_000)]
        taken = []
        for name in names:
            begun = time.perf_counter_ns()
            decider.decide(name)
            taken.append((time.perf_counter_ns() - begun) / 1e3)
        found.append(quantiles(taken, n=100))
    p50, p99 = median(one[49] for one in found), median(one[98] for one in found)
    best = min(one[98] for one in found)
    return Measured(
        f"look-up in this process, {n:,} customers",
        f"p50 {p50:.1f} us, p99 {p99:.1f} us (best round {best:.1f})",
        target="p99 at most 20 us",
    )


def _over_http(root: Path, folder: Path, n: int, rounds: int) -> list[Measured]:
    """Let ours and two that look nothing up take turns under the same load."""
    state = root / "state"
    token = create_key(state, [Scope.DECIDE], "benchmark")
    settings = Settings(state, folder=folder, today=DAY)
    commands = {"ours": ["serving.http", encode(settings, Address(port=0))]}
    commands |= {peer: ["experiments.benchmarks.plain_service", peer] for peer in PEERS}
    loads: dict[str, list[Load]] = {name: [] for name in commands}
    with ExitStack() as open_ones:
        begun = time.perf_counter()
        served = {"ours": open_ones.enter_context(_started(commands["ours"]))}
        ready = time.perf_counter() - begun
        served |= {peer: open_ones.enter_context(_started(commands[peer])) for peer in PEERS}
        for number in range(rounds):
            for name, one in served.items():
                loads[name].append(_load(one, token, n, number))
        mib = _highest_memory(served["ours"].pid)
    ours = loads["ours"]
    rates = [load.rate for load in ours]
    what = f"look-up over HTTP, {CONNECTIONS} connections, every decision logged"
    return [
        Measured(
            what,
            f"{median(rates):,.0f} requests/s ({min(rates):,.0f} to {max(rates):,.0f}), p99 "
            f"{median(load.p99 for load in ours):.1f} ms, {median(load.cpu for load in ours):.0f} us of CPU each",
            target="at least 8,000 requests/s, p99 at most 10 ms",
        ),
        *(_beside(what, peer, ours, loads[peer]) for peer in PEERS),
        Measured("service ready", f"{ready:.2f} s", target="at most 2 s"),
        Measured("service memory, highest", f"{mib:.0f} MiB", target="at most 600 MiB"),
    ]


def _beside(what: str, peer: str, ours: list["Load"], theirs: list["Load"]) -> Measured:
    ratios = [one.rate / other.rate for one, other in zip(ours, theirs, strict=True)]
    rate = median(load.rate for load in theirs)
    value = f"{median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f}) its {rate:,.0f} requests/s"
    rates = {"ours": [load.rate for load in ours], peer: [load.rate for load in theirs]}
    return Measured(f"{what}: over {PEERS[peer]}", value, median(ratios), rates, ratios)


class Served(NamedTuple):
    """A service that runs."""

    pid: int
    port: int


class Load(NamedTuple):
    """What a service did in one turn.

    Attributes:
        rate: Requests per second.
        p99: Of an answer's time [ms].
        cpu: Time of the service per request [us].
    """

    rate: float
    p99: float
    cpu: float


@contextmanager
def _started(module: list[str]) -> Iterator[Served]:
    """Start a service, wait until it says where it listens, and end it."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    server = subprocess.Popen([sys.executable, "-m", *module], stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert server.stderr is not None
        port = next(int(found[1]) for line in server.stderr if (found := re.search(r"http://[\d.]+:(\d+)", line)))
        yield Served(server.pid, port)
    finally:
        server.terminate()
        server.communicate(timeout=30)


def _highest_memory(pid: int) -> float:
    """Return the most that a process has held [MiB]."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text("utf-8"))
    assert found is not None
    return int(found[1]) * 1024 / MIB


def _load(served: Served, token: str, n: int, seed: int) -> Load:
    before = _cpu_seconds(served.pid)
    command = [sys.executable, "-m", "experiments.benchmarks.ask", str(served.port), token, str(n), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, p99 = (float(word) for word in done.stdout.split())
    return Load(count / SECONDS, p99, (_cpu_seconds(served.pid) - before) / count * 1e6)


def _cpu_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _join(folder: Path, n: int) -> Measured:
    connection = duckdb.connect(config={"threads": 2})
    name = f"printf('C%08d', (i * 7919) % {2 * n})"
    connection.execute(f"CREATE TABLE customers AS SELECT {name} AS customer_id FROM range({JOINED}) t(i)")
    query = f"""
        SELECT reason, count(*), sum(pscore) FROM (
          SELECT CASE WHEN p.offer IS NULL THEN 'default' ELSE 'match' END AS reason,
                 coalesce(p.offer, 'none') AS offer, coalesce(p.arm, '') AS arm, coalesce(p.pscore, 1.0) AS pscore
          FROM customers LEFT JOIN '{folder / CUSTOMERS_PARQUET}' AS p USING (customer_id)) GROUP BY reason
    """
    begun = time.perf_counter()
    found = connection.execute(query).fetchall()
    seconds = time.perf_counter() - begun
    assert sum(row[1] for row in found) == JOINED
    return Measured(
        f"SQL join of {JOINED:,} customers with the table",
        f"{JOINED / seconds / 1e6:.1f} million rows/s ({seconds:.1f} s)",
        target="at least 2 million rows/s",
    )
