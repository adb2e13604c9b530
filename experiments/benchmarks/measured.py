"""One measured figure, how contestants take turns for it, and the table that all figures make."""

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import torch

Turn = Callable[[int], float]
"""What a contestant does in a round: take the round's number, return how much it did per second."""


class AbsentPeerError(Exception):
    """A peer cannot take its turn; the message says why in a few words."""


@dataclass(frozen=True)
class Measured:
    """One row of the benchmark.

    Attributes:
        what: Name of the figure.
        value: It in words, as people read it.
        ratio: Median over the rounds of our rate over the peer's; None where nothing is compared.
        rates: Each contestant's rate in each round [1/s of CPU time].
        ratios: Our rate over the peer's in each round.
        installed: False where the peer could not be measured.
        target: What the figure should be, in words; empty where nothing was set.
        more: Anything else worth keeping, plain data.
    """

    what: str
    value: str
    ratio: float | None = None
    rates: dict[str, list[float]] = field(default_factory=dict)
    ratios: list[float] = field(default_factory=list)
    installed: bool = True
    target: str = ""
    more: dict[str, Any] = field(default_factory=dict)


def take_turns(contestants: Mapping[str, Turn], rounds: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Let every contestant take its turn in every round, so that a slow minute of the machine hits them all.

    Returns:
        The rates of each contestant, one per round; and why the others are absent.
    """
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    absent: dict[str, str] = {}
    for number in range(rounds):
        for name, turn in contestants.items():
            if name not in absent:
                try:
                    rates[name].append(turn(number))
                except AbsentPeerError as error:
                    absent[name] = str(error)
    return {name: found for name, found in rates.items() if name not in absent}, absent


def against(ours: str, peer: str, rates: Mapping[str, list[float]], absent: Mapping[str, str], **told: Any) -> Measured:
    """Return the row that sets our rate against a peer's.

    Args:
        ours, peer: Names of the contestants.
        rates, absent: As `take_turns` returns them.
        told: Further fields of the row, `what`, `unit` (of what is counted) and `target`.
    """
    unit, what = told.pop("unit"), told.pop("what", f"{ours} over {peer}")
    missing = next((name for name in (peer, ours) if name not in rates), None)
    if missing:
        return Measured(what, absent[missing], installed=False, **told)
    ratios = [one / other for one, other in zip(rates[ours], rates[peer], strict=True)]
    ratio = median(ratios)
    value = (
        f"{ratio:.3g}x ({min(ratios):.3g} to {max(ratios):.3g}): {median(rates[ours]):,.0f} against "
        f"{median(rates[peer]):,.0f} {unit} per CPU second"
    )
    return Measured(what, value, ratio, {name: rates[name] for name in (ours, peer)}, ratios, **told)


def describe_machine(rounds: int) -> dict[str, Any]:
    """Return what the figures depend on: processor, threads, load, versions and time."""
    load = [round(value, 2) for value in os.getloadavg()]
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average": load,
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.release()}",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    """Return the processor's name where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or sys.platform


def write_table(rows: Sequence[Measured], machine: Mapping[str, Any]) -> str:
    """Return the rows as a Markdown page."""
    lines = [
        "# Measured",
        "",
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} thread of torch, load average "
        f"{machine['load_average']} when done, {machine['rounds']} interleaved rounds, medians (least to most), "
        f"{machine['at']}.",
        "",
        "| what | measured | target |",
        "|---|---|---|",
    ]
    lines += [f"| {_cell(row.what)} | {_cell(row.value)} | {_cell(row.target)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
