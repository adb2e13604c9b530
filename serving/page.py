"""A page of sections for researchers: text, charts and tables in one HTML file that loads nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from history.artifacts import write_text
from serving.section import Heading, Section

TEMPLATE: Final = "page.html.j2"


def write_page(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Write sections as a page.

    Args:
        path: Of the HTML file.
        title: Its heading.
        sections: What it shows, in order.
    """
    write_text(path, sections_environment().get_template(TEMPLATE).render(title=title, sections=sections))


def sections_environment() -> Environment:
    """Return the templates, with what `parts.html.j2` needs to show a section."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = Markup
    environment.tests["heading"] = lambda part: isinstance(part, Heading)
    return environment
