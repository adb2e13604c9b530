"""Text cells that a spreadsheet must not run as a formula, and the way back.

A cell is escaped by one apostrophe in front. Escaped are cells whose first character after leading white space begins
a formula (`=`, `+`, `-`, `@`, `|` and their full-width and small forms), cells that begin with TAB, CR, LF or NUL, and
cells that begin with an apostrophe already. So every escaped cell begins with an apostrophe, no other cell does, and
dropping one leading apostrophe restores every cell.

References:
    OWASP, "CSV Injection"; OWASP ASVS 1.2.10; CWE-1236.
"""

import re
from typing import Final

import pandas as pd

ESCAPE: Final = "'"

_FORMS: Final = "=+\\-@|" + "".join(
    map(chr, (0xFF1D, 0xFF0B, 0xFF0D, 0xFF20, 0xFF5C, 0xFE66, 0xFE62, 0xFE63, 0xFE6B, 0x2212))
)
"""First characters of formulas: the ASCII ones, their full-width and small forms, and the minus sign."""
_RUNS: Final = re.compile(rf"'|[\t\r\n\x00]|[\s\x00\ufeff\u200b]*[{_FORMS}\t\r\n\x00]")


def escape(text: pd.Series) -> pd.Series:
    """Return the cells as a spreadsheet may read them, shape (n,)."""
    return text.where(~text.str.match(_RUNS.pattern), ESCAPE + text)


def unescape(text: pd.Series) -> pd.Series:
    """Return the cells that `escape` was given, shape (n,)."""
    return text.str.removeprefix(ESCAPE)
