"""The whole of a large policy table: its parts scored, its budget settled over all of them, its manifest."""

import shutil
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from campaigns.errors import InputError
from evaluation.budget import BudgetMode
from experiments.scoring.budgeting import Demand, Ends, arm_budgets, queue_ends, total
from experiments.scoring.parts import (
    ASKED,
    NOTES,
    Note,
    PartFiles,
    ask_part,
    customers_key,
    part_asked,
    part_written,
    table_folder,
    write_part,
)
from experiments.scoring.scorer import Scorer
from experiments.scoring.settings import Engine
from experiments.scoring.work import Job, score_parts
from history.artifacts import read_json, write_json
from serving.arms import Arm, split_stock

MANIFEST: Final = "table.json"
SETTLED: Final = "settled.json"
"""Where the queue ends, once that was found out, and for which parts."""
VERSION: Final = 1


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
    return [PartFiles(source, out) for source in sources]


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


def score_all(scorer: Scorer, job: Job, parts: Sequence[PartFiles], engine: Engine, jobs: int) -> dict[str, Any]:
    """Score what is not scored yet, settle the budget over all parts, write the manifest; return that.

    Raises:
        InputError: A part cannot be scored, a customer is in two of them, or jobs of an array are to come.
    """
    out = parts[0].out
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
    manifest = _manifest(scorer, parts, notes, settled)
    write_json(out / MANIFEST, manifest)
    _clear_up(out, table_folder(ends), {part.source.stem for part in parts})
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
    return {"ends": list(ends), "arms": _arms(scorer, demand, ends), "parts": keys}


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


def _manifest(
    scorer: Scorer, parts: Sequence[PartFiles], notes: Sequence[Note], settled: Mapping[str, Any]
) -> dict[str, Any]:
    ends = tuple(settled["ends"])
    told = [
        {"file": str(files.target(ends).relative_to(files.out)), **note}
        for files, note in zip(parts, notes, strict=True)
    ]
    return {
        "schema_version": VERSION,
        "scorer": scorer.hash,
        "campaign": scorer.shop.trial.key.campaign,
        "customers": sum(part["rows"] for part in told),
        "budget": {
            "mode": scorer.limit.mode.value,
            "per_customer_week": scorer.limit.per_customer_week,
            "price": scorer.limit.price,
            "campaign_weeks": scorer.weeks,
        },
        "arms": settled["arms"],
        "parts": sorted(told, key=lambda one: str(one["first"]).encode()),
    }


def _arms(scorer: Scorer, demand: Demand, ends: Ends) -> list[dict[str, Any]]:
    """Return what the manifest says of each arm, as that of a policy table does, and where its queue ends."""
    trial, offers = scorer.shop.trial, scorer.shop.catalog.offers
    made = demand.up_to(ends)
    worst = np.array([offer.worst_cents for offer in offers]) / 100.0
    stock = {offer.name: split_stock(offer.stock, trial.parts) for offer in offers if offer.stock}
    budgets = arm_budgets(scorer.limit, scorer.weeks, demand)
    rows = []
    for place, arm in enumerate(Arm):
        at_worst, expected = float(made.asked[place].sum(axis=1) @ worst), float(made.expected[place].sum())
        spent = at_worst if scorer.limit.mode is BudgetMode.HARD else expected
        rows.append(
            {
                "name": arm.value,
                "parts": trial.parts[arm],
                "customers": int(demand.customers[place]),
                "offers": int(made.asked[place, 1:].sum()),
                "budget": float(budgets[place]),
                "expected_cost": expected,
                "within_budget": spent <= float(budgets[place]),
                "turned_down": int((demand.asked - made.asked)[place, 1:].sum()),
                "queue_end": ends[place],
                "stock": {name: pieces[arm] for name, pieces in stock.items()},
            }
        )
    return rows


def _clear_up(out: Path, kept: str, stems: set[str]) -> None:
    """Remove what the table was made from, parts of another end of the queue, and what killed writers left."""
    for folder in [out / ASKED, *out.glob("table-*")]:
        if folder.name != kept:
            shutil.rmtree(folder, ignore_errors=True)
    for path in [*(out / kept).iterdir(), *(out / kept / NOTES).iterdir()]:
        if path.is_file() and path.stem not in stems:
            path.unlink(missing_ok=True)
    for name in (SETTLED, MANIFEST):
        for path in out.glob(f".{name}.*.tmp"):
            path.unlink(missing_ok=True)
