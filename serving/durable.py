"""Files that survive a kill and a power cut, and reading that follows no link out of its folder."""

import fcntl
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from campaigns.errors import InputError
from serving import strict_json

TEMPORARY: Final = ".tmp-"
LOCK: Final = ".lock"
PUBLISHING: Final = "another publisher is at work; try again when it is done"
CHUNK: Final = 1 << 20
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO or a link is refused, not waited for


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """Hold a folder open, so that what is read in it is read in this very folder.

    Raises:
        InputError: There is none, or its name is a link.
    """
    try:
        handle = os.open(folder, _READ | os.O_DIRECTORY)
    except OSError as error:
        raise InputError(f"{folder}: not a folder that can be read ({error.strerror})") from None
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def regular(folder: int, name: str, place: Path) -> Iterator[int]:
    """Open a regular file of an opened folder; `place` is the folder's path, for messages.

    Raises:
        InputError: There is none, it is a link, or it cannot be read.
    """
    try:
        handle = os.open(name, _READ, dir_fd=folder)
    except OSError as error:
        raise InputError(f"{place / name}: not a file that can be read ({error.strerror})") from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise InputError(f"{place / name}: not a regular file")
        yield handle
    finally:
        os.close(handle)


def read_small(folder: int, name: str, place: Path, most: int) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        InputError: As `regular`, or the file is larger than `most` bytes.
    """
    with regular(folder, name, place) as handle:
        with open(handle, "rb", closefd=False) as stream:
            data = stream.read(most + 1)
        if len(data) > most:
            raise InputError(f"{place / name}: larger than {most} bytes, which it never is; it was changed")
        return data


def parse(data: bytes, place: Path) -> dict[str, Any]:
    """Return the mapping that JSON bytes hold.

    Raises:
        InputError: They hold none, a key twice, or a number that is none.
    """
    try:
        value = strict_json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not readable as JSON ({error}); it was changed") from None
    if not isinstance(value, dict):
        raise InputError(f"{place}: not a mapping; it was changed")
    return value


def hash_handle(handle: int) -> str:
    """Return the SHA-256 of an opened file from its begin, in hex."""
    os.lseek(handle, 0, os.SEEK_SET)
    with open(handle, "rb", closefd=False) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def copy_handle(handle: int, path: Path) -> str:
    """Copy an opened file to a new one, flushed; return the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with path.open("xb") as out:
        while block := os.read(handle, CHUNK):
            digest.update(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def write_new(path: Path, data: bytes, mode: int = 0o444) -> None:
    """Write a new file, flushed; nobody whom `mode` does not let may read it for a moment."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(handle, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(handle)
    path.chmod(mode)


def replace(path: Path, data: bytes, mode: int) -> None:
    """Put a file in a file's place, as a whole and durably."""
    new = temporary(path.parent)
    try:
        write_new(new, data, mode)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    sync(path.parent)


def temporary(folder: Path) -> Path:
    """Return a name in the folder that nobody else has."""
    return folder / f"{TEMPORARY}{uuid4().hex}"


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, or a folder of read-only files, if it is there; a link is removed, not followed."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        path.chmod(0o755)
        shutil.rmtree(path)


@contextmanager
def locked(root: Path, wait: float, name: str = LOCK, busy: str = PUBLISHING) -> Iterator[None]:
    """Be the only writer of a folder; the lock ends with the process, however that ends.

    Args:
        root: The folder, made if need be.
        wait: Seconds after which to give up.
        name: Of the lock's file, which stays.
        busy: What to say and to do where another one writes.

    Raises:
        InputError: Another one writes for longer than that.
    """
    root.mkdir(parents=True, exist_ok=True)
    handle = os.open(root / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        end = time.monotonic() + wait
        while not _try_lock(handle):
            if time.monotonic() >= end:
                raise InputError(f"{root}: {busy}")
            time.sleep(0.01)
        yield
    finally:
        os.close(handle)


@contextmanager
def clearly(root: Path, what: str) -> Iterator[None]:
    """Turn a full disk, a read-only folder and the like into one clear line that ends with `what`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or root}: {error.strerror or error}; {what}") from None


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
