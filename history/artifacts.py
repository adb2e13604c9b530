"""Files that later steps rely on: written whole or not at all, and tied to what they came from by hashes."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from campaigns.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    write_atomic(path, lambda temporary: _write_all(temporary, data))


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys and without NaN, so that equal content has equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False, default=_plain) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the step that writes it first") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}); delete it and run its step again") from None


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]") -> None:
    """Write tensors as safetensors, from whatever device they are on."""
    from safetensors.torch import save  # here alone, so that a published table is read without torch

    write_bytes(path, save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}))


def read_tensors(path: Path) -> "dict[str, Tensor]":
    from safetensors.torch import load

    try:
        return load(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the step that writes it first") from None
    except Exception as error:  # safetensors raises its own bare exception types
        raise InputError(f"{path}: not readable as safetensors ({error}); run its step again") from None


def write_table(path: Path, table: pd.DataFrame) -> None:
    write_atomic(path, lambda file: table.to_parquet(file, index=False))


def read_table(path: Path, verb: str) -> pd.DataFrame:
    """Read a table that `write_table` wrote in the step of this verb.

    Raises:
        InputError: The file is missing or no Parquet.
    """
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run {verb} first") from None
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise InputError(f"{path}: not readable as Parquet ({error}); run {verb} again") from None


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_value(value: Any) -> str:
    """Return the SHA-256 of a plain value's canonical JSON, in hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _write_all(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} is not JSON")
