"""Figures as inline SVG: the page's own ink and colours, text as text, the same bytes each time."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK: Final = "#010203"
FAINT: Final = "#040506"
SERIES: Final = ("#070809", "#0a0b0c", "#0d0e0f", "#101112")
"""Stand-ins that no theme uses; `_themed` turns them into the page's variables, so light and dark come from its CSS."""

PIXELS: Final = 104
"""Pixels of the page for an inch of a figure; a narrow page shows less."""

_VARIABLES: Final = {INK: "currentColor", FAINT: "var(--faint)"} | {
    color: f"var(--series-{i + 1})" for i, color in enumerate(SERIES)
}
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "lines.linewidth": 2,
}


@dataclass(frozen=True)
class Chart:
    """A drawn chart.

    Attributes:
        svg: One `<svg>` element.
        alt: What is drawn, for those who do not see it.
        see: One sentence on what to see.
    """

    svg: str
    alt: str
    see: str


def draw(name: str, size: tuple[float, float], panels: int, paint: Callable[[list[Axes]], None]) -> str:
    """Return `panels` axes side by side, painted by `paint`, as one SVG element.

    Args:
        name: Unique on the page: identifiers inside the SVG derive from it.
        size: Width and height [inch].
        panels: Number of axes.
        paint: Draws on the list of axes.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the reader's browser has the font, not we
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(1, panels, squeeze=False)[0]
        paint(list(axes))
        stream = BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return _themed(stream.getvalue().decode("utf-8"), width=size[0] * PIXELS)


def _themed(svg: str, width: float) -> str:
    """Keep the element alone, without metadata, page-wide styles and names, in the page's colours, `width` at most."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    return svg.replace("<svg", f'<svg style="max-width: {width:.0f}px"', 1)
