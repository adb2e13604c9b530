"""Customers to be scored, as Parquet parts: what the policy sees of them and what people are told of them.

Columns of a part, its rows sorted by customer:

    customer_id      text, unique in all parts
    features         what the policy sees, in the order of the scorer's `features`; fixed-size list of float32
    allowed          bit i is set where offer i of the catalog is allowed; bit 0, "no offer", always; uint64
    blocked          the constraint that alone rules out every offer, one of `BLOCKS` by value, or ""
    category, items  what the recommender promotes, as in the policy table
    <others>         features in units that people read, those that the rules and the descriptions name; float64
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from numpy.typing import NDArray

from campaigns.errors import InputError
from history.artifacts import write_atomic
from serving.reasons import Bound

TEXT: Final = ("customer_id", "blocked", "category", "items")
BLOCKS: Final[tuple[Bound, ...]] = (
    Bound.UNREACHABLE,
    Bound.LIVE_OFFER,
    Bound.CONTACT_CAP,
    Bound.NOT_ELIGIBLE,
    Bound.MARGIN_FLOOR,
    Bound.STOCK,
)
"""What may rule out every offer before any is chosen."""
CHUNK: Final = 65_536
"""Customers that are held in memory at a time."""


@dataclass(frozen=True, eq=False)
class Customers:
    """Some customers of a part.

    Attributes:
        profiles: customer_id, category, items and features in units that people read, n rows.
        features: What the policy sees, shape (n, n_features), float32.
        mask: Allowed offers, shape (n, n_offers), bool.
        blocked: Where a constraint alone rules out every offer, shape (n,) each.
    """

    profiles: pd.DataFrame
    features: NDArray[np.float32]
    mask: NDArray[np.bool_]
    blocked: Mapping[Bound, NDArray[np.bool_]]


def write_customers(path: Path, customers: Customers) -> None:
    """Write customers as one part, sorted by their ids."""
    order = np.argsort(customers.profiles["customer_id"].to_numpy(dtype=object), kind="stable")
    profiles = customers.profiles.iloc[order].reset_index(drop=True)
    n, width = customers.features.shape
    values = pa.array(np.ascontiguousarray(customers.features[order]).reshape(-1))
    bits = customers.mask[order].astype(np.uint64) << np.arange(customers.mask.shape[1], dtype=np.uint64)
    blocked = np.full(n, "", dtype=object)
    for bound, holds in reversed(list(customers.blocked.items())):
        blocked[holds[order]] = bound.value
    columns = {
        "customer_id": pa.array(profiles["customer_id"], pa.string()),
        "features": pa.FixedSizeListArray.from_arrays(values, width),
        "allowed": pa.array(bits.sum(axis=1, dtype=np.uint64)),
        **{name: pa.array(text, pa.string()).dictionary_encode() for name, text in _texts(profiles, blocked).items()},
        **{name: pa.array(profiles[name].astype(np.float64)) for name in profiles.columns if name not in TEXT},
    }
    write_atomic(path, lambda file: pq.write_table(pa.table(columns), file, compression="zstd", row_group_size=CHUNK))


def _texts(profiles: pd.DataFrame, blocked: NDArray[np.object_]) -> dict[str, Any]:
    return {"blocked": blocked, "category": profiles["category"], "items": profiles["items"]}


def read_customers(path: Path, features: int, offers: int, known: tuple[str, ...]) -> Iterator[Customers]:
    """Read a part bit by bit, at most `CHUNK` customers at a time.

    Args:
        path: The part.
        features: How many the policy sees.
        offers: Of the catalog, "no offer" included.
        known: Columns of numbers that rules and descriptions name.

    Raises:
        InputError: The file is no such part, or a value of it is none that can be.
    """
    try:
        file = pq.ParquetFile(path)
        _check_columns(path, file.schema_arrow, features, known)
        last = ""
        for batch in file.iter_batches(CHUNK, columns=[*TEXT, "features", "allowed", *known]):
            some = _checked(path, batch, features, offers, known)
            ids = some.profiles["customer_id"]
            last = _check_order(path, last, ids)
            yield some
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: not readable as a part of customers ({error}); write it again") from None


def _check_columns(path: Path, schema: Any, features: int, known: tuple[str, ...]) -> None:
    missing = [name for name in (*TEXT, "features", "allowed", *known) if name not in schema.names]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing; docs/scale.md lists what a part of customers has")
    kind = schema.field("features").type
    if not pa.types.is_fixed_size_list(kind) or kind.list_size != features or kind.value_type != pa.float32():
        raise InputError(f"{path}: features are {kind}; expected {features} float32 in a fixed-size list")


def _checked(path: Path, batch: Any, features: int, offers: int, known: tuple[str, ...]) -> Customers:
    column = {name: batch.column(name) for name in batch.schema.names}
    for name, values in column.items():
        if values.null_count:
            raise InputError(f"{path}: column {name!r} has {values.null_count} empty cells; every cell needs a value")
    seen = column["features"].flatten().to_numpy(zero_copy_only=False).reshape(-1, features)
    allowed = column["allowed"].to_numpy(zero_copy_only=False).astype(np.uint64)
    ids = column["customer_id"].to_pandas().astype("str")
    numbers = {name: column[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in known}
    finite = {"features": np.isfinite(seen).all(axis=1), **{name: np.isfinite(of) for name, of in numbers.items()}}
    for name, holds in finite.items():
        _refuse(path, ids, ~holds, f"column {name!r} has a value that is not finite")
    _refuse(path, ids, ids.to_numpy() == "", "customer_id is empty")
    _refuse(path, ids, (allowed & np.uint64(1)) == 0, "bit 0 of 'allowed', no offer, is not set")
    _refuse(path, ids, (allowed >> np.uint64(offers)) != 0, f"'allowed' has a bit beyond the catalog's {offers} offers")
    bits = (allowed[:, None] >> np.arange(offers, dtype=np.uint64)) & np.uint64(1)
    text = {name: column[name].to_pandas().astype("str") for name in ("category", "items", "blocked")}
    codes = [str(bound.value) for bound in BLOCKS]
    _refuse(path, ids, ~text["blocked"].isin(["", *codes]).to_numpy(), f"'blocked' is none of {', '.join(codes)}")
    profiles = pd.DataFrame({"customer_id": ids, "category": text["category"], "items": text["items"], **numbers})
    bounds = {bound: (text["blocked"] == bound.value).to_numpy() for bound in BLOCKS}
    return Customers(profiles, seen, bits.astype(np.bool_), bounds)


def _refuse(path: Path, ids: "pd.Series[str]", wrong: NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        first = ids.iloc[int(wrong.argmax())]
        raise InputError(f"{path}: customer {first!r}: {what} ({int(wrong.sum())} rows like it); mend the part")


def _check_order(path: Path, last: str, ids: "pd.Series[str]") -> str:
    """Return the last id, once all are above the one before."""
    values = pa.array(ids, pa.string())
    if len(values) == 0:
        return last
    before = pa.concat_arrays([pa.array([last], pa.string()), values.slice(0, len(values) - 1)])
    rises = pa.compute.greater(values, before).to_numpy(zero_copy_only=False)
    _refuse(path, ids, ~rises, "customer_id is not above the one before; sort the part, and name each customer once")
    return str(ids.iloc[-1])
