"""A journal that acknowledges nothing before it is on the disk: writes of many callers share one flush."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from campaigns.errors import InputError

Result = TypeVar("Result")
GROUP: Final = 512
"""Most writes that share one flush."""


class StorageError(Exception):
    """The journal cannot be written now, as on a full disk; nothing of the write was kept."""


class Journal:
    """An SQLite file in WAL mode with synchronous=FULL, written by one thread of this process alone.

    A write is a function of the connection. It runs in a transaction with those that wait at the same time; what it
    raises undoes it alone. Its result is handed out after the flush, so what was acknowledged survives kill -9.
    """

    def __init__(self, path: Path, schema: str) -> None:
        """Open or make the file.

        Args:
            path: The file.
            schema: Statements that make what is missing.

        Raises:
            InputError: It is not readable as SQLite.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._connection = _connect(path, schema)
        self._waiting: queue.SimpleQueue[tuple[Callable[[Any], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name=f"journal {path.name}", daemon=True)
        self._thread.start()

    def submit(self, write: Callable[[apsw.Connection], Result]) -> "Future[Result]":
        """Hand over a write; its future ends with its result once that is durable.

        The future ends with `StorageError` where it cannot be kept, and with what the write itself raised. A write
        whose future is cancelled before its turn is not made.
        """
        future: Future[Result] = Future()
        self._waiting.put((write, future))
        return future

    def close(self) -> None:
        """Finish what waits and close the file."""
        self._waiting.put(None)
        self._thread.join()
        self._connection.close()

    def _write(self) -> None:
        ending = False
        while not ending:
            group = [self._waiting.get()]
            with suppress(queue.Empty):
                while len(group) < GROUP:
                    group.append(self._waiting.get_nowait())
            ending = None in group
            # from here on nobody can give up waiting, so that every future can be told how it ended
            self._write_group([one for one in group if one is not None and one[1].set_running_or_notify_cancel()])

    def _write_group(self, group: list[tuple[Callable[[Any], Any], Future[Any]]]) -> None:
        done: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for write, future in group:
                done.append((future, *self._try(write)))
            self._connection.execute("COMMIT")
        except apsw.Error as error:
            with suppress(apsw.Error):
                self._connection.execute("ROLLBACK")
            failure = StorageError(f"{self.path.name}: {error}")
            done = [(future, None, failure) for _, future in group]
        for future, result, raised in done:
            if raised is None:
                future.set_result(result)
            else:
                future.set_exception(raised)

    def _try(self, write: Callable[[Any], Any]) -> tuple[Any, BaseException | None]:
        self._connection.execute("SAVEPOINT one")
        try:
            result = write(self._connection)
        except apsw.Error:
            raise
        except Exception as error:
            self._connection.execute("ROLLBACK TO one")
            self._connection.execute("RELEASE one")
            return None, error
        self._connection.execute("RELEASE one")
        return result, None


def _connect(path: Path, schema: str) -> apsw.Connection:
    try:
        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(5_000)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(schema)
    except apsw.Error as error:
        raise InputError(f"{path}: not usable as a journal ({error}); move it away to begin a new one") from None
    return connection
