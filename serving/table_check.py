"""A whole table checked against the limits that its manifest sets, some rows at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from numpy.typing import NDArray

from campaigns.errors import InputError
from serving.arms import PARTS, Arm
from serving.constraints import ArmTerms, Constraints
from serving.reasons import Bound
from serving.table import money_columns, weight_columns

BATCH: Final = 1 << 16
"""Rows that are held in memory at a time."""
CERTAIN: Final = (
    Bound.HOLDOUT,
    Bound.UNREACHABLE,
    Bound.LIVE_OFFER,
    Bound.CONTACT_CAP,
    Bound.NOT_ELIGIBLE,
    Bound.MARGIN_FLOOR,
)
"""What leaves a customer without any chance of an offer."""
ROUNDING: Final = 5e-5
"""Most by which a row's money was rounded [currency]."""


def check_rows(limits: Constraints, sources: Iterable[Any]) -> None:
    """Check `policy_by_customer`.

    Args:
        limits: Those of its manifest.
        sources: Its Parquet files, each a path or an opened file, taken one after the other.

    Raises:
        InputError: A row or a sum breaks a limit; the text names it.
    """
    shape = (len(limits.arms), limits.catalog.n)
    counts = _Counts(np.zeros(shape, dtype=np.int64), np.zeros(shape[0]), np.zeros(shape))
    try:
        for source in sources:
            with pq.ParquetFile(source) as file:
                for batch in file.iter_batches(BATCH, columns=_columns(limits)):
                    _Rows(limits, batch).check(counts)
    except (pa.ArrowException, KeyError, OSError) as error:
        raise InputError(f"policy table: not readable as the table's Parquet ({error}); export it again") from None
    for place, (name, terms) in enumerate(limits.arms.items()):
        _check_arm(limits, name, terms, counts, place)


def _columns(limits: Constraints) -> list[str]:
    texts = ("customer_id", "offer", "arm", "bound")
    drawn = ("valid_from", "valid_to", "pscore", "arm_share", *weight_columns(limits.catalog))
    return [*texts, *money_columns(limits.catalog.currency), *drawn]


def _check_arm(limits: Constraints, name: str, terms: ArmTerms, counts: "_Counts", place: int) -> None:
    given, offers = counts.given[place], limits.catalog.offers
    if (int(given.sum()), int(given[1:].sum())) != (terms.customers, terms.offers):
        raise InputError(
            f"policy table: arm {name} has {given.sum()} customers and {given[1:].sum()} offers; expected "
            f"{terms.customers} and {terms.offers}, as its manifest says"
        )
    worst = sum(int(n) * offer.worst_cents for n, offer in zip(given, offers, strict=True)) / 100
    spent, what = (worst, "at worst") if limits.hard else (float(counts.expected[place]), "in expectation")
    if spent > terms.budget + ROUNDING * given.sum():
        raise InputError(
            f"policy table: the offers of arm {name} cost {spent:.2f} {limits.catalog.currency} {what}; its budget "
            f"is {terms.budget:.2f}"
        )
    for index, offer in enumerate(offers):
        pieces = terms.stock.get(offer.name)
        if pieces is None:
            continue
        redeemed = float(counts.redeemed[place, index])
        if (pieces == 0 and given[index]) or redeemed > pieces * offer.weeks + ROUNDING * given[index]:
            raise InputError(
                f"policy table: arm {name} gives {offer.name!r} to {given[index]} customers, whose expected cost "
                f"means at least {redeemed:.1f} redemptions; it has {pieces} pieces a week for {offer.weeks} weeks"
            )


@dataclass(frozen=True, eq=False)
class _Counts:
    """Sums over rows, by arm and offer; the arrays grow in place."""

    given: NDArray[np.int64]  # customers, shape (n_arms, n_offers)
    expected: NDArray[np.float64]  # cost [currency], shape (n_arms,)
    redeemed: NDArray[np.float64]  # redemptions that the expected cost means at least, shape (n_arms, n_offers)


class _Rows:
    """Some rows of the table as arrays, shape (n,)."""

    def __init__(self, limits: Constraints, batch: pa.RecordBatch) -> None:
        self.limits, self.batch, catalog = limits, batch, limits.catalog
        self.offer = self._places("offer", catalog.names, "expected an offer of the catalog")
        self.arm = self._places("arm", tuple(limits.arms), "expected an arm of the manifest")
        bounds = tuple(bound.value for bound in Bound)
        self.bound = np.array(bounds)[self._places("bound", bounds, f"expected one of {', '.join(bounds)}")]
        self.weights = np.stack([self._numbers(name) for name in weight_columns(catalog)], axis=1)

    def check(self, counts: _Counts) -> None:
        money = {name: self._numbers(name) for name in money_columns(self.limits.catalog.currency)}
        cost, lowest = (money[name] for name in money_columns(self.limits.catalog.currency)[3:5])
        self._check_chances()
        self._check_bounds()
        self._check_costs(cost, lowest)
        self._check_days()
        self._count(cost, counts)

    def _check_chances(self) -> None:
        pscore, rows = self._numbers("pscore"), np.arange(len(self.offer))
        whole = (self.weights >= 0).all(axis=1) & (self.weights.sum(axis=1) == 1.0)
        self._refuse(~whole, weight_columns(self.limits.catalog)[0], "expected weights of 0 or more that sum to 1")
        drawn = self.weights[rows, self.offer]
        self._refuse((drawn <= 0) | (pscore != drawn), "pscore", "expected the offer's weight, above 0")
        parts = np.array([terms.parts for terms in self.limits.arms.values()])
        self._refuse(parts[self.arm] == 0, "arm", "expected an arm that has customers")
        share = parts[self.arm] / PARTS
        self._refuse(self._numbers("arm_share") != share, "arm_share", "expected the arm's share in the manifest")

    def _check_bounds(self) -> None:
        given, bound = self.offer > 0, self.bound
        self._refuse(given & (bound != Bound.NOTHING.value), "bound", "a customer whom something bound gets no offer")
        held = self.arm == list(self.limits.arms).index(Arm.HOLDOUT.value)
        self._refuse(given & held, "offer", "the customer is in the holdout: no offer")
        certain = np.isin(bound, [one.value for one in CERTAIN])
        self._refuse(certain & (self.weights[:, 0] != 1.0), "bound", "expected no weight on any offer")
        if self.limits.contact_cap == 0:
            self._refuse(given, "offer", "the contact cap is 0: no offers")

    def _check_costs(self, cost: NDArray[np.float64], lowest: NDArray[np.float64]) -> None:
        limits, column = self.limits, money_columns(self.limits.catalog.currency)[3]
        worst = np.array([offer.worst_cents for offer in limits.catalog.offers]) / 100
        self._refuse(cost < 0, column, "expected 0 or more")
        above = lowest > worst[self.offer] + ROUNDING
        self._refuse(above, column, "even its lower limit is above what the offer can cost at worst")

    def _check_days(self) -> None:
        first, last = (self.batch.column(name).cast(pa.date32()).to_numpy(False) for name in ("valid_from", "valid_to"))
        limits, weeks = self.limits, np.array([offer.weeks for offer in self.limits.catalog.offers])
        outside = (first < np.datetime64(limits.first)) | (first > np.datetime64(limits.not_after))
        self._refuse(outside, "valid_from", f"expected {limits.first} to {limits.not_after}")
        wrong = (last != first + 7 * weeks[self.offer] - 1) | (last > np.datetime64(limits.last))
        self._refuse(wrong, "valid_to", "expected as many weeks as the catalog says, within the manifest's days")

    def _count(self, cost: NDArray[np.float64], counts: _Counts) -> None:
        offers = self.limits.catalog.offers
        contact, cap = (np.array([getattr(o, f"{term}_cents") for o in offers]) / 100 for term in ("contact", "cap"))
        redeemed = (cost - contact[self.offer]).clip(min=0) / np.maximum(cap, 0.01)[self.offer]
        np.add.at(counts.given, (self.arm, self.offer), 1)
        np.add.at(counts.expected, self.arm, cost)
        np.add.at(counts.redeemed, (self.arm, self.offer), redeemed)

    def _places(self, name: str, known: tuple[str, ...], sentence: str) -> NDArray[np.int64]:
        found = pc.index_in(self.batch.column(name).cast(pa.string()), value_set=pa.array(known))
        place: NDArray[np.int64] = found.fill_null(-1).to_numpy(False).astype(np.int64)
        self._refuse(place < 0, name, sentence)
        return place

    def _numbers(self, name: str) -> NDArray[np.float64]:
        column = self.batch.column(name)
        if column.type != pa.float64():
            raise InputError(f"policy table: column {name} has type {column.type}; expected float64")
        values: NDArray[np.float64] = column.fill_null(np.nan).to_numpy(False)
        self._refuse(~np.isfinite(values), name, "expected a finite number")
        return values

    def _refuse(self, wrong: NDArray[np.bool_], name: str, sentence: str) -> None:
        if wrong.any():
            row = int(wrong.argmax())
            customer, value = (self.batch.column(column)[row].as_py() for column in ("customer_id", name))
            raise InputError(
                f"policy table: {name} of customer {customer!r} is {str(value)!r} ({int(wrong.sum())} rows like it); "
                f"{sentence}"
            )
