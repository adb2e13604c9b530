"""The policy table as an XLSX workbook: text that is never a formula, numbers as numbers, frozen human headings.

Every sheet is written row by row, as the format asks for; equal tables give equal bytes.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd
import xlsxwriter

from campaigns.errors import InputError

MOST_ROWS: Final = 1_000_000
"""Rows of a sheet; the format holds 2^20. More go to a further sheet."""
MOST_TEXT: Final = 32_767
"""Characters of a cell."""
WIDEST: Final = 60
"""Characters that a column shows at most."""
LONG_AGO: Final = datetime(2000, 1, 1)
"""Date of creation that every workbook gives."""
OPTIONS: Final = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_numbers": False,
    "strings_to_urls": False,
}


def write_workbook(path: Path, sheets: Mapping[str, pd.DataFrame]) -> None:
    """Write one sheet per table; columns are headings, cells text, numbers or dates without a time of day.

    Raises:
        InputError: A text is longer than a cell holds.
    """
    for frame in sheets.values():
        _check_lengths(frame)
    with xlsxwriter.Workbook(str(path), OPTIONS) as book:
        book.set_properties({"created": LONG_AGO, "title": "Policy table"})
        styles = _Styles(book)
        for name, frame in sheets.items():
            for first in range(0, max(len(frame), 1), MOST_ROWS):
                title = name if first == 0 else f"{name} {first // MOST_ROWS + 1}"
                _write_sheet(book.add_worksheet(title), frame.iloc[first : first + MOST_ROWS], styles)


class _Styles:
    def __init__(self, book: xlsxwriter.Workbook) -> None:
        self.heading = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1})
        self.text = book.add_format({"quote_prefix": True, "num_format": "@"})
        self.number = book.add_format()
        self.date = book.add_format({"num_format": "yyyy-mm-dd"})


def _write_sheet(sheet: Any, frame: pd.DataFrame, styles: _Styles) -> None:
    sheet.freeze_panes(1, 1)
    writers = []
    for place, name in enumerate(frame.columns):
        kind = frame[name].dtype
        sheet.set_column(place, place, _width(frame[name], name))
        if isinstance(kind, pd.StringDtype):
            writers.append((sheet.write_string, styles.text))
        elif kind.kind == "M":
            writers.append((sheet.write_datetime, styles.date))
        else:
            writers.append((sheet.write_number, styles.number))
    for place, name in enumerate(frame.columns):
        sheet.write_string(0, place, name, styles.heading)
    if len(frame.columns):
        sheet.autofilter(0, 0, max(len(frame), 1), len(frame.columns) - 1)
    for row, cells in enumerate(frame.itertuples(index=False, name=None), start=1):
        for place, ((write, style), cell) in enumerate(zip(writers, cells, strict=True)):
            if not (isinstance(cell, float) and cell != cell):  # an unknown number is an empty cell
                write(row, place, cell, style)


def _width(column: "pd.Series[Any]", name: str) -> float:
    longest = 12
    if isinstance(column.dtype, pd.StringDtype) and len(column):
        longest = int(column.str.len().quantile(0.95))
    return min(max(longest, min(len(name), 20), 8) + 2, WIDEST)


def _check_lengths(frame: pd.DataFrame) -> None:
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.StringDtype) and (frame[name].str.len() > MOST_TEXT).any():
            raise InputError(
                f"workbook: column {name!r} has a text of {int(frame[name].str.len().max())} characters; a cell of a "
                f"spreadsheet holds {MOST_TEXT}, shorten it"
            )
