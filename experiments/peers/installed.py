"""Peers in environments of their own: where they are, and how one of their processes takes its turns."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from experiments.benchmarks.measured import AbsentPeerError

HERE = Path(__file__).parent
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_USE_LEGACY_KERAS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "JAX_PLATFORMS": "cpu",
}
"""Environment of every contestant: one thread, no GPU, little talk."""


def python_of(folder: Path, name: str) -> Path:
    """Return the interpreter that `make peers` installed a group of peers for.

    Raises:
        AbsentPeerError: there is none.
    """
    python = folder / name / "bin" / "python"
    if not python.exists():
        raise AbsentPeerError("not installed (make peers)")
    return python.absolute()


def packages_of(folder: Path, name: str) -> list[str]:
    """Return where a group's packages lie, for a contestant of this environment to use beside ours; none if absent."""
    return [str(path.absolute()) for path in sorted((folder / name).glob("lib/python*/site-packages"))]


class Contestant:
    """A process that takes turns: it reads a round's number from a line and answers with a line of JSON.

    It starts with its first turn and stops when the context ends.
    """

    def __init__(self, folder: Path, group: str | None, script: str, *arguments: str) -> None:
        """Name what is to be started.

        Args:
            folder: Where `make peers` put the environments.
            group: Environment to run in; None for this one.
            script: File of this folder.
            arguments: Of the script.
        """
        self._where = (folder, group)
        self._command = [str(HERE / script), *arguments]
        self._process: subprocess.Popen[str] | None = None
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self.answer: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._said.close()

    def __call__(self, number: int) -> float:
        """Take the turn of a round; return its rate.

        Raises:
            AbsentPeerError: the peer is not installed, or broke off.
        """
        if self._process is None:
            self._process = self._start()
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(f"{number}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended at once; what it said last tells why
        for line in self._process.stdout:
            if line.startswith("{"):
                self.answer = json.loads(line)
                return float(self.answer["rate"])
        raise AbsentPeerError(self._last_words())

    def _start(self) -> subprocess.Popen[str]:
        folder, group = self._where
        python = sys.executable if group is None else str(python_of(folder, group))
        return subprocess.Popen(
            [python, *self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env=os.environ | ONE_THREAD,
        )

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = [line.strip() for line in self._said if line.strip()]
        if any("ModuleNotFoundError" in line for line in lines):
            return f"not installed ({lines[-1].removeprefix('ModuleNotFoundError: ')})"
        return f"broke off: {lines[-1] if lines else 'without a word'}"


@contextmanager
def every(contestants: dict[str, Contestant]) -> Iterator[dict[str, Contestant]]:
    """Yield contestants whose processes end with the block."""
    try:
        yield contestants
    finally:
        for contestant in contestants.values():
            contestant.__exit__(None, None, None)
