"""The other budgets of a table: what each is expected to bring, and which table it would give."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from campaigns.errors import InputError
from serving.pages.language import Language
from serving.pages.overview import Interval, Share, mix, published

ROWS: Final = 25
"""Customers on one page."""
BATCH: Final = 4_096
"""Rows that are read at a time."""
BUFFER: Final = 1 << 16
"""Bytes of a column that are read at a time."""
COLUMNS: Final = ("customer_id", "offer", "offer_label")


@dataclass(frozen=True)
class Budget:
    """One of the budgets; gain and cost per customer and week."""

    step: int
    published: bool
    campaign: float
    each: float
    met: bool
    offered: int
    cost: Interval
    uplift: Interval


@dataclass(frozen=True)
class Budgets:
    """All budgets of a table, and the one that is looked at; a scored table has but the published one."""

    currency: str
    all: tuple[Budget, ...]
    chosen: Budget
    shares: tuple[Share, ...]
    before: Mapping[str, int]
    """Customers by label of the offer at the published budget."""

    @property
    def several(self) -> bool:
        """Whether there are others than the published one, and a file of the tables that they would give."""
        return len(self.all) > 1


def budgets(manifest: Mapping[str, Any], step: int) -> Budgets:
    """Return what a manifest says of its budgets, one of them looked at."""
    plain, nothing = manifest["budgets"], manifest["catalog"]["offers"][0]["name"]
    rows = tuple(
        Budget(
            step=one["step"],
            published=one["published"],
            campaign=float(one["campaign"]),
            each=float(one["per_customer_week"]),
            met=bool(one["met"]),
            offered=sum(one["offers"].values()) - one["offers"][nothing],
            cost=Interval.of(one["cost"]),
            uplift=Interval.of(one["uplift"]),
        )
        for one in plain
    )
    before = {one.label: one.customers for one in mix(manifest, published(manifest))}
    chosen = next(one for one in rows if one.step == step)
    return Budgets(str(manifest["catalog"]["currency"]), rows, chosen, mix(manifest, step), before)


def curve(found: Budgets, words: Language) -> dict[str, Any]:
    """Return what the chart draws, as plain data: numbers, and every text that it shows."""
    return {
        "budget": [round(one.campaign, 2) for one in found.all],
        "uplift": [one.uplift.value for one in found.all],
        "lo": [one.uplift.lo for one in found.all],
        "hi": [one.uplift.hi for one in found.all],
        "chosen": found.chosen.step,
        "published": next(one.step for one in found.all if one.published),
        "says": [say_budget(one, found.currency, words) for one in found.all],
        "x": words("budget.axis_budget", currency=words.of("currency", found.currency)),
        "y": words("budget.axis_gain", currency=words.of("currency", found.currency)),
        "published_label": words("budget.published_mark"),
    }


def say_budget(one: Budget, currency: str, words: Language) -> str:
    """Return a budget with what it is expected to bring, for who hears the slider."""
    return words(
        "budget.slider_says",
        budget=words.money(one.campaign, currency, 0),
        gain=words.money(one.uplift.value, currency),
        range=words.range(one.uplift.lo, one.uplift.hi, currency),
    )


def step_of(text: str, manifest: Mapping[str, Any]) -> int:
    """Return the budget that a request asks for; the published one where it asks for none of them."""
    known = {str(one["step"]): int(one["step"]) for one in manifest["budgets"]}
    return known.get(text, published(manifest))


def rows_of(path: Path, step: int, page: int) -> Sequence[tuple[str, str]]:
    """Return a page of customers and offers of the table that a budget would give, and one more if there is one.

    Reads on from the first of the budget's rows, a batch at a time, and keeps none but the page.

    Raises:
        InputError: The file cannot be read.
    """
    first, seen = page * ROWS, 0
    found: list[tuple[str, str]] = []
    for batch in _batches(path, step):
        begin = max(first - seen, 0)
        seen += batch.num_rows
        if begin < batch.num_rows:
            columns = batch.slice(begin, ROWS + 1 - len(found)).to_pydict()
            found += zip(columns["customer_id"], columns["offer"], strict=True)
        if len(found) > ROWS:
            break
    return found


def csv_of(path: Path, step: int, labels: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the table that a budget would give as CSV for spreadsheets, a batch at a time.

    Args:
        path: Of `policy_by_budget.parquet`.
        step: Number of the budget.
        labels: What marketers call the offers, by name.

    Raises:
        InputError: The file cannot be read.
    """
    from serving.spreadsheet import escape  # which needs pandas: half a second that a look-up need not wait

    yield b"\xef\xbb\xbf" + _lines([COLUMNS])
    for batch in _batches(path, step):
        rows = batch.to_pandas().astype("str")
        rows["offer_label"] = rows["offer"].map(labels).astype("str")
        yield _lines(zip(*(escape(rows[name]) for name in COLUMNS), strict=True))


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def _batches(path: Path, step: int) -> Iterator[Any]:
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # likewise

    try:
        with pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False) as file:
            yield from file.iter_batches(BATCH, row_groups=[step], columns=["customer_id", "offer"], use_threads=False)
    except (OSError, IndexError, ValueError) as error:  # Arrow's own errors are such, too
        raise InputError(f"{path}: cannot be read ({error}); publish the table again") from None
