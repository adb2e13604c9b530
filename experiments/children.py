"""A piece of work in a process of its own: what breaks there, or is killed, leaves the others untouched.

Processes are forked, so that they start at once; whoever starts them must not have trained or used a GPU before.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from campaigns.errors import InputError

Ask = Callable[[Any], Any]
"""What a child asks its parent: sends a question and waits for the answer."""
Work = Callable[[Ask], Any]


@dataclass(frozen=True)
class Question:
    """What the child wants to know; it waits for `Child.answer`."""

    content: Any


@dataclass(frozen=True)
class Ended:
    """How the work ended.

    Attributes:
        result: What it returned.
        reason: Why it failed, on one line; empty where it did not.
        trace: Where it failed, if that was no user's mistake.
    """

    result: Any = None
    reason: str = ""
    trace: str = ""


class Child:
    """Does a piece of work in a process of its own.

    Args:
        work: What to do; its result must be data.
    """

    def __init__(self, work: Work) -> None:
        context = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_do, args=(work, theirs, self.connection, os.getpid()))
        sys.stdout.flush()
        self._process.start()
        theirs.close()

    def listen(self) -> Question | Ended:
        """Wait for what the child says next."""
        try:
            said = self.connection.recv()
        except (EOFError, ConnectionResetError):
            said = None
        if isinstance(said, Question):
            return said
        self._process.join()
        self.connection.close()
        return said if isinstance(said, Ended) else Ended(reason=_how_it_ended(self._process.exitcode))

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.terminate()
        self._process.join()

    def answer(self, content: Any) -> None:
        self.connection.send(content)


def do_apart(work: Callable[[], Any]) -> Ended:
    """Do a piece of work in a process of its own and wait for it; where processes cannot be forked, do it here."""
    if not hasattr(os, "fork"):
        return attempt(work)
    child = Child(lambda _: work())
    try:
        ended = child.listen()
    except KeyboardInterrupt:
        child.end()
        raise
    assert isinstance(ended, Ended)
    return ended


def attempt(work: Callable[[], Any]) -> Ended:
    """Do a piece of work and return how it ended, whatever it raised."""
    try:
        return Ended(work())
    except InputError as error:
        return Ended(reason=str(error))
    except Exception as error:
        said = " ".join(str(error).split())
        return Ended(reason=f"{type(error).__name__}: {said}", trace=traceback.format_exc())


def _do(work: Work, parent: Connection, others: Connection, parent_id: int) -> None:
    others.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends us
    end_with(parent_id)

    def ask(question: Any) -> Any:
        parent.send(Question(question))
        return parent.recv()

    ended = attempt(lambda: work(ask))
    sys.stdout.flush()
    parent.send(ended)


def end_with(parent_id: int) -> None:
    """Let the kernel end this process when its parent is killed, so that nothing goes on unseen (Linux alone)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG of prctl(2)
        if os.getppid() != parent_id:
            os._exit(1)


def _how_it_ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"its process ended with code {code}"
    return f"its process was ended by {signal.Signals(-code).name}; if that was SIGKILL, memory may have run out"
