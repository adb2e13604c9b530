"""A small table as one in parts."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from history.artifacts import hash_file
from serving.by_budget import PUBLISHED
from serving.in_parts import publish_in_parts
from serving.parts import PART, Part
from serving.publishing import arrow_table
from serving.table import PolicyTable


def export_in_parts(table: PolicyTable, folder: Path, cuts: Sequence[int] = (100, 101), lookup: bool = True) -> Path:
    """Write the table as a policy folder in parts that end before these rows; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = table.customers.sort_values("customer_id", ignore_index=True)
    parts = {}
    for number, (start, end) in enumerate(zip((0, *cuts), (*cuts, len(rows)), strict=True)):
        piece = rows.iloc[start:end]
        path = folder / f"{PART}{number:05d}.parquet"
        pq.write_table(arrow_table(piece, table.catalog), path, compression="zstd", row_group_size=64)
        first, last = (str(piece["customer_id"].iloc[place]) for place in (0, -1))
        parts[Part(path.name, len(piece), first, last)] = hash_file(path)
    days = {"valid_from": rows["valid_from"].min(), "valid_to": rows["valid_to"].max()}
    manifest = {
        **table.manifest,
        "budgets": [table.manifest["budgets"][PUBLISHED]],
        **{name: str(day.date()) for name, day in days.items()},
    }
    publish_in_parts(folder, parts, table.segments, manifest, lookup)
    return folder
