"""The report's sections: which part of the project reads which file of a run, and how it is shown."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from history.artifacts import read_json
from serving.section import Section
from serving.sections import ab, customers, effects, feedback, fidelity, off_policy, recommender, selection, warrant

Show = Callable[[Mapping[str, Any], str], Section]
"""Turns what a part wrote, and the currency, into its section."""

SECTIONS: Final[Mapping[str, Show]] = {
    "fit/customers/customers.json": customers.section,
    "fit/recommender/recommender.json": recommender.section,
    "fit/effects/effects.json": effects.section,
    "fit/feedback/feedback.json": feedback.section,
    "evaluate/off_policy.json": off_policy.section,
    "evaluate/effects.json": effects.held_out_section,
    "evaluate/fidelity.json": fidelity.section,
    "evaluate/selection.json": selection.section,
    "warrant/warrant.json": warrant.section,
    "ab/ab.json": ab.section,
}
"""By file within a run, in the order of the page."""


def read_sections(folder: Path, currency: str) -> tuple[Section, ...]:
    """Return the sections of the parts that a run holds."""
    return tuple(
        show(read_json(folder / file), currency) for file, show in SECTIONS.items() if (folder / file).is_file()
    )
