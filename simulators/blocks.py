"""Work on many customers in blocks of rows, so that what is made on the way stays in the processor's cache."""

import ctypes
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final, TypeVar

from torch import Tensor

BLOCK: Final = 16_384
"""Rows of a block, at least: fewer, and the operations' fixed cost shows; more, and their values leave the cache."""
Record = TypeVar("Record")


def in_blocks(work: Callable[..., Record], like: Tensor, records: tuple[Any, ...], run: int = 1) -> Record:
    """Do something with n customers block by block, and return it for all of them.

    On an accelerator there is one block: there, many small operations cost more than the memory between them.

    Args:
        work: Makes a record of m rows from records of m rows; no row of it depends on another row of theirs.
        like: Any tensor of n rows on the device of the records.
        records: Of n rows; a tensor that does not begin with n goes to every block as it is.
        run: Rows that must stay together.
    """
    n, size = len(like), -(-BLOCK // run) * run
    if n <= size or like.device.type != "cpu":
        return work(*records)
    result: Any = None
    for first in range(0, n, size):
        part = slice(first, min(first + size, n))
        made = work(*(rows(record, part, n) for record in records))
        result = _room(made, n) if result is None else result
        _put(result, made, part)
    return result  # type: ignore[no-any-return]


def rows(record: Any, part: slice, n: int) -> Any:
    """Return a stretch of the rows of a record at any depth, without a copy; a record may say itself what its rows are.

    Args:
        record: A tensor or a dataclass.
        part: The stretch.
        n: Rows of the record; a tensor that does not begin with n is taken whole.
    """
    if isinstance(record, Tensor):
        return record[part] if record.ndim and record.shape[0] == n else record
    if hasattr(record, "rows"):
        return record.rows(part)
    return _each(record, lambda value: rows(value, part, n))


def _room(record: Any, n: int) -> Any:
    """Return room for n rows of what `record` has a block of, its tables laid out column by column."""
    if isinstance(record, Tensor):
        return record.new_empty(record.shape[1], n).T if record.ndim == 2 else record.new_empty(n)
    return _each(record, lambda value: _room(value, n))


def _put(into: Any, record: Any, part: slice) -> None:
    if isinstance(record, Tensor):
        into[part].copy_(record)
    elif is_dataclass(record):
        for f in fields(record):
            _put(getattr(into, f.name), getattr(record, f.name), part)


def _each(record: Any, change: Callable[[Any], Any]) -> Any:
    if not is_dataclass(record) or isinstance(record, type):
        return record
    return replace(record, **{f.name: change(getattr(record, f.name)) for f in fields(record)})


def keep_freed_memory() -> None:
    """Keep large freed blocks in the heap: glibc otherwise maps and faults in every big temporary anew.

    Where the C library is another one, nothing changes.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    for option in (-3, -1, -2):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD of malloc.h
        libc.mallopt(option, 2**28 if option != -2 else 2**26)
