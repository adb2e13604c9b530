"""The whole of a large policy table: its parts scored, its budget settled over all of them, what stands beside them."""

import shutil
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from campaigns.errors import InputError
from experiments.scoring.budgeting import Demand, Ends, queue_ends, total
from experiments.scoring.manifest import arm_entries, table_manifest
from experiments.scoring.parts import (
    ASKED,
    NOTES,
    Note,
    PartFiles,
    ask_part,
    customers_key,
    part_asked,
    part_written,
    write_part,
)
from experiments.scoring.scorer import Scorer
from experiments.scoring.settings import Engine, ScoreConfig
from experiments.scoring.work import Job, score_parts
from history.artifacts import read_json, write_json
from serving.in_parts import publish_in_parts
from serving.parts import PART, Part
from serving.publishing import FILES

SETTLED: Final = "settled.json"
"""Where the queue ends, once that was found out, and for which parts."""


def part_files(customers: Path, out: Path) -> list[PartFiles]:
    """Return the parts of a folder, by name.

    Raises:
        InputError: There are none, or the table would lie among them.
    """
    sources = sorted(customers.glob("*.parquet"))
    if not sources:
        raise InputError(f"{customers}: no Parquet files there; docs/scale.md says what a part of customers has")
    if out.resolve() == customers.resolve():
        raise InputError(f"score.out is {out}, where the customers are; choose another folder")
    return [PartFiles(source, out, number) for number, source in enumerate(sources)]


def score_one(scorer: Scorer, parts: Sequence[PartFiles], number: int) -> str:
    """Do for one part, as a job of an array, what can be done; return what was done.

    Raises:
        InputError: There is no such part, or it cannot be scored.
    """
    if number >= len(parts):
        raise InputError(f"score.part is {number}; there are {len(parts)} parts, from 0 to {len(parts) - 1}")
    files = parts[number]
    ends = _settled(scorer, files)
    note = ask_part(scorer, files) if ends is None else write_part(scorer, files, ends)
    return f"{files.source.name}, {note['rows']:,} customers: {'asked' if ends is None else 'written'}"


def score_all(scorer: Scorer, job: Job, parts: Sequence[PartFiles], given: ScoreConfig) -> dict[str, Any]:
    """Score what is not scored yet, settle the budget over all parts, write what stands beside them.

    Returns:
        The manifest.

    Raises:
        InputError: A part cannot be scored, a customer is in two of them, or jobs of an array are to come.
    """
    out, engine, jobs = parts[0].out, given.engine, given.jobs
    settled = read_json(out / SETTLED) if (out / SETTLED).is_file() else {}
    known = {_settled(scorer, files) for files in parts}
    if None in known or set(settled["parts"]) != {part.source.name for part in parts}:
        settled = _settle(scorer, job, parts, engine, jobs)
        write_json(out / SETTLED, settled)
    ends = tuple(settled["ends"])
    if engine is Engine.ARRAY:
        notes = _all_there([part_written(scorer, files, ends) for files in parts], out, "the budget is settled; ")
    else:
        notes = score_parts(job, parts, ends, engine, jobs)
    ordered = sorted(notes, key=lambda one: str(one["first"]).encode())
    files = {Part(one["file"], one["rows"], one["first"], one["last"]): str(one["sha256"]) for one in ordered}
    manifest = publish_in_parts(out, files, scorer.shop.segments, table_manifest(scorer, settled), given.lookup)
    _clear_up(out, manifest)
    return manifest


def _settle(scorer: Scorer, job: Job, parts: Sequence[PartFiles], engine: Engine, jobs: int) -> dict[str, Any]:
    """Let the lots of all parts fall; return where the queue ends, and what that comes to."""
    if engine is Engine.ARRAY:
        notes = _all_there([part_asked(scorer, files) for files in parts], parts[0].out, "")
    else:
        notes = score_parts(job, parts, None, engine, jobs)
    _check_order(parts, notes)
    demand = total((Demand.read(files.demand) for files in parts), scorer.shop.catalog.n)
    ends = queue_ends(scorer.shop.catalog, scorer.limit, scorer.weeks, demand)
    keys = {files.source.name: note["key"] for files, note in zip(parts, notes, strict=True)}
    counts = demand.up_to(ends).asked.sum(axis=(0, 2))
    given = dict(zip(scorer.shop.catalog.names, counts.tolist(), strict=True))
    given[scorer.shop.catalog.names[0]] = int(demand.customers.sum() - counts[1:].sum())
    return {"ends": list(ends), "arms": arm_entries(scorer, demand, ends), "offers": given, "parts": keys}


def _all_there(found: Sequence[Note | None], out: Path, why: str) -> list[Note]:
    missing = [str(number) for number, note in enumerate(found) if note is None]
    if missing:
        more = " and so on" if len(missing) > 1000 else ""
        raise InputError(
            f"{out}: {why}{len(missing)} of {len(found)} parts are to be done; run the array with "
            f"score.part={','.join(missing[:1000])}{more}, then this again"
        )
    return [note for note in found if note is not None]


def _settled(scorer: Scorer, files: PartFiles) -> Ends | None:
    """Return where the queue ends, if that was found out with this very part."""
    path = files.out / SETTLED
    said = read_json(path) if path.is_file() else {"parts": {}}
    key = said["parts"].get(files.source.name)
    return tuple(said["ends"]) if key and key == customers_key(scorer, files) else None


def _check_order(parts: Sequence[PartFiles], notes: Sequence[Note]) -> None:
    """Refuse parts whose customers, in the order of their ids, run into each other.

    Raises:
        InputError: A part begins before another one ends, so that a customer may be in both.
    """
    both = sorted(zip(parts, notes, strict=True), key=lambda one: str(one[1]["first"]).encode())
    for (before, one), (after, other) in pairwise(both):
        if str(one["last"]).encode() >= str(other["first"]).encode():
            raise InputError(
                f"{after.source}: begins with customer {other['first']!r}, and {before.source.name} ends with "
                f"{one['last']!r}; sort the customers over all parts, and name each of them once"
            )


def _clear_up(out: Path, manifest: Mapping[str, Any]) -> None:
    """Remove what the table was made from, parts of another one, and what killed writers left."""
    shutil.rmtree(out / ASKED, ignore_errors=True)
    stems = {Path(part["file"]).stem for part in manifest["parts"]}
    notes = [path for path in (out / NOTES).iterdir() if path.stem not in stems]
    others = [name for name in FILES if name not in manifest["files"]]
    old = [path for path in out.glob(f"{PART}*") if path.stem not in stems]
    for path in [*notes, *old, *(out / name for name in others), *out.glob(".*.tmp")]:
        path.unlink(missing_ok=True)
