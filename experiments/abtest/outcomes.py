"""What came of the customers of a policy table, read from a file and checked before anything is compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campaigns.errors import InputError
from experiments.abtest.settings import AbConfig, Absent, parts
from serving.arms import Arm

CUSTOMER, PERIOD, ARM = "customer_id", "period", "arm"
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Assigned:
    """Who is in which arm, as a policy table says.

    Attributes:
        customers: Their ids, n of them.
        arm: Place in `Arm`, shape (n,), int64.
        segment: First rule that fits, shape (n,), int64.
        parts: Planned parts of each arm, shape (arms,).
        valid_from: First day of the table.
    """

    customers: pd.Index
    arm: NDArray[np.int64]
    segment: NDArray[np.int64]
    parts: Floats
    valid_from: date


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What came of n customers in some periods.

    Attributes:
        arm, segment: As in `Assigned`, of those who are analysed, shape (n,).
        columns: By name, shape (n, periods).
        covariate: Shape (n,), or None.
        periods: Their names, in order.
        absent: Customers of each arm without any row, shape (arms,), int64.
    """

    arm: NDArray[np.int64]
    segment: NDArray[np.int64]
    columns: dict[str, Floats]
    covariate: Floats | None
    periods: tuple[str, ...]
    absent: NDArray[np.int64]


def read_outcomes(path: Path, assigned: Assigned, config: AbConfig) -> Outcomes:
    """Read and check a file of outcomes.

    Raises:
        InputError: A column is missing or no number, a row stands twice, a customer is not in the table or is in
            another arm there, a period lies before the table's, or a covariate differs within a customer.
    """
    rows = _read(path)
    wanted = list(dict.fromkeys(part for metric in config.metrics for part in parts(metric)))
    numbers = [*wanted, *([config.covariate] if config.covariate else [])]
    _require(path, rows, [CUSTOMER, *numbers])
    who = assigned.customers.get_indexer(pd.Index(rows[CUSTOMER]))
    _known(path, rows, who)
    if ARM in rows.columns:
        _same_arm(path, rows, assigned.arm[who])
    for name in numbers:
        rows[name] = _number(path, rows, name)
    when, periods = _periods(path, rows, assigned.valid_from)
    _once(path, rows, who, when)
    n, count = len(assigned.customers), len(periods)
    table = {name: np.zeros((n, count)) for name in wanted}
    for name, values in table.items():
        values[who, when] = rows[name].to_numpy(np.float64)
    seen = np.bincount(who, minlength=n)
    kept = np.ones(n, dtype=np.bool_) if config.absent is Absent.ZERO else seen == count
    covariate = _covariate(path, rows, who, config, n, kept) if config.covariate else None
    absent = np.bincount(assigned.arm[seen == 0], minlength=len(Arm))
    return Outcomes(
        arm=assigned.arm[kept],
        segment=assigned.segment[kept],
        columns={name: values[kept] for name, values in table.items()},
        covariate=None if covariate is None else covariate[kept],
        periods=periods,
        absent=absent,
    )


def _read(path: Path) -> pd.DataFrame:
    if path.suffix not in (".parquet", ".csv"):
        raise InputError(f"{path}: expected a file that ends in .parquet or .csv")
    try:
        if path.suffix == ".csv":
            rows = pd.read_csv(path, dtype={CUSTOMER: str, PERIOD: str, ARM: str}, keep_default_na=False)
        else:
            rows = pd.read_parquet(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the outcomes as ab.outcomes") from None
    except (OSError, ValueError) as error:  # pandas' parser errors and pyarrow's ArrowInvalid are ValueErrors
        raise InputError(f"{path}: not readable ({' '.join(str(error).split())})") from None
    if not len(rows):
        raise InputError(f"{path}: no rows; expected one per customer, or per customer and period")
    if CUSTOMER in rows.columns and path.suffix == ".parquet":
        rows[CUSTOMER] = rows[CUSTOMER].astype(str)
    return rows


def _require(path: Path, rows: pd.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in rows.columns]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}; it has {', '.join(map(str, rows.columns))}")


def _row(path: Path, number: int) -> str:
    """Say where a row is as whoever opens the file counts it: the first line of a CSV holds the names."""
    return f"{path}: line {number + 2}" if path.suffix == ".csv" else f"{path}: row {number}"


def _known(path: Path, rows: pd.DataFrame, who: NDArray[np.int64]) -> None:
    strange = np.flatnonzero(who < 0)
    if len(strange):
        first = int(strange[0])
        people = rows[CUSTOMER].iloc[strange].nunique()
        raise InputError(
            f"{_row(path, first)}: customer {rows[CUSTOMER].iloc[first]!r} is not in the policy table ({people:,} such "
            "customers); leave their rows out, or give the table that decided for them"
        )


def _same_arm(path: Path, rows: pd.DataFrame, arm: NDArray[np.int64]) -> None:
    names = np.array([one.value for one in Arm])[arm]
    other = np.flatnonzero(rows[ARM].to_numpy() != names)
    if len(other):
        first = int(other[0])
        raise InputError(
            f"{_row(path, first)}: customer {rows[CUSTOMER].iloc[first]!r} is in arm {rows[ARM].iloc[first]!r}, and in "
            f"the policy table in {names[first]!r} ({len(other):,} such rows); whoever changed arms cannot be compared"
        )


def _number(path: Path, rows: pd.DataFrame, name: str) -> "pd.Series[float]":
    values = pd.to_numeric(rows[name], errors="coerce").astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values.to_numpy()))
    if len(bad):
        first = int(bad[0])
        raise InputError(
            f"{_row(path, first)}: {name} is {rows[name].tolist()[first]!r} ({len(bad):,} such rows); expected a "
            "finite number in every row"
        )
    return values


def _periods(path: Path, rows: pd.DataFrame, valid_from: date) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the place of each row's period, and their names in order: whole numbers, or days as 2018-01-31."""
    if PERIOD not in rows.columns:
        return np.zeros(len(rows), dtype=np.int64), ("all",)
    text = rows[PERIOD].astype(str)
    days = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce")
    order = days if days.notna().all() else pd.to_numeric(text, errors="coerce")
    bad = np.flatnonzero(order.isna().to_numpy())
    if len(bad):
        first = int(bad[0])
        raise InputError(
            f"{_row(path, first)}: period is {text.iloc[first]!r}; expected whole numbers throughout, or days as "
            "2018-01-31"
        )
    if order is days:
        early = np.flatnonzero((days < pd.Timestamp(valid_from)).to_numpy())
        if len(early):
            first = int(early[0])
            raise InputError(
                f"{_row(path, first)}: period {text.iloc[first]} lies before {valid_from}, from when the policy table "
                f"is valid ({len(early):,} such rows); leave out what was before, or give it as a covariate"
            )
    place, names = pd.factorize(order, sort=True)
    shown = [str(name.date()) if isinstance(name, pd.Timestamp) else f"{name:g}" for name in names]
    return place.astype(np.int64), tuple(shown)


def _once(path: Path, rows: pd.DataFrame, who: NDArray[np.int64], when: NDArray[np.int64]) -> None:
    again = np.flatnonzero(pd.Series(who * (int(when.max()) + 1) + when).duplicated().to_numpy())
    if len(again):
        first = int(again[0])
        raise InputError(
            f"{_row(path, first)}: customer {rows[CUSTOMER].iloc[first]!r} stands there twice in one period "
            f"({len(again):,} such rows); sum them up, or name the periods in a column {PERIOD!r}"
        )


def _covariate(
    path: Path, rows: pd.DataFrame, who: NDArray[np.int64], config: AbConfig, n: int, kept: NDArray[np.bool_]
) -> Floats:
    """Return the covariate of each customer, shape (n,)."""
    values = rows[config.covariate].to_numpy(np.float64)
    known = np.full(n, np.nan)
    known[who] = values
    moved = np.flatnonzero(known[who] != values)
    if len(moved):
        first = int(moved[0])
        raise InputError(
            f"{_row(path, first)}: {config.covariate} of customer {rows[CUSTOMER].iloc[first]!r} differs from another "
            "of the customer's rows; a covariate is from before the experiment, one number per customer"
        )
    unknown = np.flatnonzero(np.isnan(known) & kept)
    if len(unknown):
        raise InputError(
            f"{path}: {config.covariate} is not known of {len(unknown):,} customers of the policy table, who have no "
            "row; add a row for each of them, with 0 in the metrics, or go without ab.covariate"
        )
    return known
