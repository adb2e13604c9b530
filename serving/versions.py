"""One version in a store: built beside the others, signed, and verified from the bytes that lie there."""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from re import fullmatch
from typing import Any, BinaryIO, Final

import pyarrow as pa  # type: ignore[import-untyped]

from campaigns.errors import InputError
from serving.acts import Act
from serving.constraints import Constraints
from serving.durable import copy_handle, hash_handle, opened, parse, read_small, regular, sync, write_new
from serving.in_parts import check_in_parts
from serving.keys import Role, SigningKey, Trusted
from serving.lookup import LOOKUP, Lookup
from serving.parts import CUSTOMERS_PARQUET, table_files
from serving.publishing import FILES, MANIFEST, SCHEMA_VERSION, read_policy
from serving.table import PolicyTable
from serving.table_check import check_rows

SIGNATURE: Final = "manifest.sig"
CONTEXT: Final = b"offersmith policy manifest 1\0"
"""Stands before the manifest's bytes where they are signed, so that no signature serves for anything else."""
MOST_BYTES: Final = 64 << 20
"""Of a manifest."""
MOST_SIGNATURE: Final = 1 << 12
NAME: Final = "[a-z0-9][a-z0-9_-]*([.][a-z0-9]+)*"
"""What a file of a table may be called."""


def read_source(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """Return bytes and content of the manifest of a run's policy folder.

    Raises:
        InputError: There is none, or it is of another version.
    """
    with opened(folder.resolve()) as handle:
        data = read_small(handle, MANIFEST, folder, MOST_BYTES)
    manifest = parse(data, folder / MANIFEST)
    _check_schema(manifest, folder / MANIFEST)
    _check_files(manifest, folder / MANIFEST)
    return data, manifest


def build(source: Path, folder: Path, version: int, key: SigningKey) -> bytes:
    """Fill a new folder with a policy folder's files and a signed manifest of this version, all of it flushed.

    Args:
        source: What `serving.publishing.publish` wrote.
        folder: Not there yet.
        version: Its number.
        key: Signs.

    Returns:
        The bytes of the manifest.

    Raises:
        InputError: The source is incomplete, altered, or breaks a limit that its manifest sets.
        OSError: The disk is full, or the like.
    """
    _, manifest = read_source(source)
    folder.mkdir(parents=True)
    with opened(source.resolve()) as handle:
        for name, expected in manifest["files"].items():
            with regular(handle, name, source) as file:
                copied = copy_handle(file, folder / name)
            if copied != expected:
                raise InputError(f"{source / name}: its bytes are not those that its manifest says; export it again")
            (folder / name).chmod(0o444)
    data = (json.dumps({**manifest, "table_version": version}, indent=1, sort_keys=True) + "\n").encode()
    write_new(folder / MANIFEST, data)
    write_new(folder / SIGNATURE, signature(key.name, key.sign(CONTEXT + data)))
    _check_whole(folder)
    sync(folder)
    folder.chmod(0o555)
    return data


def signature(name: str, raw: bytes) -> bytes:
    """Return the bytes of `manifest.sig`.

    Args:
        name: Of the key.
        raw: What it signed with, 64 bytes.
    """
    return (json.dumps({"algorithm": "Ed25519", "key": name, "signature": raw.hex()}, sort_keys=True) + "\n").encode()


def verify(
    folder: Path, published: Act, trusted: Trusted, needed: Collection[str] = (), limits: bool = True
) -> dict[str, Any]:
    """Return a version's manifest, once signature, hashes and limits are verified from the files that lie there.

    Args:
        folder: Of the version.
        published: The act that published it.
        trusted: Whose signatures count.
        needed: Names of the files whose hash is checked, beside the Parquet file; all if empty.
        limits: Whether it is of this version of the format, and its rows are within the limits that it sets; what was
            published long ago and is only compared with need not be.

    Raises:
        InputError: Something is missing, too much, altered, no regular file, or breaks a limit.
    """
    with opened(folder) as handle:
        manifest = _signed(handle, folder, published, trusted)
        files = manifest["files"]
        strange = set(os.listdir(handle)) - {MANIFEST, SIGNATURE, *files}
        if strange:
            raise InputError(f"{folder / min(strange)}: the signed manifest does not list it; it was brought in")
        tables = table_files(manifest)
        others = {name for name in files if name not in tables}
        for name in others:
            with regular(handle, name, folder):
                pass
        wanted = {name for name in others if not needed or name in needed}
        with ThreadPoolExecutor(max_workers=1) as pool:  # hashing lets other threads run
            beside = pool.submit(_check_hashes, handle, folder, {name: files[name] for name in sorted(wanted)})
            streams = _verified(handle, folder, {name: files[name] for name in tables})
            if limits:
                _check_schema(manifest, folder / MANIFEST)
                check_rows(Constraints.of(manifest), streams)
            for _ in streams:
                pass
            beside.result()
    return manifest


def trace(folder: Path) -> tuple[tuple[str, int, int, int, int], ...]:
    """Return what differs once a file of a version was touched: inode, size and times of each.

    Raises:
        InputError: The folder cannot be read.
    """
    try:
        with opened(folder) as handle, os.scandir(handle) as entries:
            found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError as error:
        raise InputError(f"{folder}: not a folder that can be read ({error.strerror})") from None
    return tuple(sorted((name, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for name, one in found))


def content(manifest: Mapping[str, Any]) -> str:
    """Return what two tables share exactly where they are the same but for their version."""
    plain = {key: value for key, value in manifest.items() if key != "table_version"}
    return sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _verified(handle: int, folder: Path, hashes: Mapping[str, str]) -> Iterator[BinaryIO]:
    """Yield files, opened, each once its hash was verified; one is open at a time, as there may be thousands."""
    for name, expected in hashes.items():
        with regular(handle, name, folder) as file:
            if hash_handle(file) != expected:
                raise InputError(f"{folder / name}: its bytes are not those that were signed; it was changed")
            os.lseek(file, 0, os.SEEK_SET)
            with open(file, "rb", closefd=False) as stream:
                yield stream


def _check_hashes(handle: int, folder: Path, hashes: Mapping[str, str]) -> None:
    for _ in _verified(handle, folder, hashes):
        pass


def _signed(handle: int, folder: Path, published: Act, trusted: Trusted) -> dict[str, Any]:
    data = read_small(handle, MANIFEST, folder, MOST_BYTES)
    place = folder / SIGNATURE
    written = read_small(handle, SIGNATURE, folder, MOST_SIGNATURE)
    plain = parse(written, place)
    try:
        raw = bytes.fromhex(plain["signature"])
        exact = signature(plain["key"], raw) == written
    except (KeyError, TypeError, ValueError):
        exact = False
    if not exact:
        raise InputError(f"{place}: not a signature as it is written; it was changed")
    if plain["key"] != published.by:
        raise InputError(f"{place}: signed by {plain['key']!r}, but published by {published.by!r}")
    trusted.check(published.by, Role.PUBLISH, CONTEXT + data, raw, str(folder / MANIFEST), published.number)
    if sha256(data).hexdigest() != published.manifest:
        raise InputError(f"{folder / MANIFEST}: not the one that was published; it is of another version or store")
    manifest = parse(data, folder / MANIFEST)
    if manifest.get("table_version") != published.version:
        raise InputError(
            f"{folder / MANIFEST}: table_version is {manifest.get('table_version')!r}, but it lies in {folder.name}; "
            "it is of another version"
        )
    _check_files(manifest, folder / MANIFEST)
    return manifest


def _check_schema(manifest: Mapping[str, Any], place: Path) -> None:
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"{place}: not a policy manifest of version {SCHEMA_VERSION}; export it again")


def _check_files(manifest: Mapping[str, Any], place: Path) -> None:
    """Refuse a list of files that is none; what else is listed may differ from one version of the format to another."""
    files, absent = manifest.get("files"), manifest.get("absent", {})
    looked_up = isinstance(absent, dict) and LOOKUP in absent
    if not isinstance(files, dict) or not {*table_files(manifest), *([] if looked_up else [LOOKUP])} <= set(files):
        raise InputError(f"{place}: lists {str(files)[:200]}; expected hashes of {', '.join(FILES)}, or of parts")
    for name, value in files.items():
        if not fullmatch(NAME, name) or not isinstance(value, str) or not fullmatch("[0-9a-f]{64}", value):
            raise InputError(f"{place}: the hash of {name!r} is {value!r}; expected names of files and SHA-256 in hex")


def _check_whole(folder: Path) -> None:
    """Check everything that can be checked of a table before it is published."""
    manifest = parse((folder / MANIFEST).read_bytes(), folder / MANIFEST)
    try:
        if "parts" in manifest:
            check_in_parts(folder, manifest)
        else:
            _check_lookup(read_policy(folder), folder / LOOKUP)
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{folder.parent.parent}: not a table of this version ({error}); export it again") from None
    check_rows(Constraints.of(manifest), (folder / name for name in table_files(manifest)))


def _check_lookup(table: PolicyTable, path: Path) -> None:
    """Check that the look-up file says the same as the Parquet file."""
    lookup = Lookup(path)
    try:
        same = lookup.holds([table.customers.sort_values("customer_id")])
    finally:
        lookup.close()
    if not same:
        raise InputError(f"{path}: does not say the same as {CUSTOMERS_PARQUET}; export the policy again")
