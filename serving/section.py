"""A section of the report that one part of the project fills: text, charts and tables, in their order."""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.figures import Chart


@dataclass(frozen=True)
class Note:
    """A paragraph of plain text."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Attributes:
        caption: What it shows, with units.
        headings: One per column.
        rows: Cells as they are shown, one per heading; the first is the row's name.
        text: Headings of the columns beside the first that hold words; the others hold figures, set to the right.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: Sequence[str] = ()

    def __post_init__(self) -> None:
        if any(len(row) != len(self.headings) for row in self.rows):
            raise ValueError(f"table {self.caption!r}: a row does not have {len(self.headings)} cells")


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        anchor: Its name in links, unique on the page.
        title: Its heading, and what the page's menu calls it.
        verdict: One sentence that says what came out.
        blocks: What follows.
    """

    anchor: str
    title: str
    verdict: str
    blocks: Sequence[Note | Heading | Table | Chart]
