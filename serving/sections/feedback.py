"""The report's section on the shop's own logged decisions: whether bandits begin from them, and how far they reach."""

from collections.abc import Mapping
from typing import Any

from serving.section import Note, Section, Table
from serving.words import decimal


def section(data: Mapping[str, Any], currency: str) -> Section:
    """Show what was logged, how much of it is used, and the overlap of each offer."""
    verdict = data["verdict"]
    said = f"Bandits begin from {verdict}." if data["usable"] else f"No bandit begins from a log: {verdict}."
    blocks: list[Note | Table] = [
        Note(
            f"{data['logged']:,} decisions were logged in all. Decisions logged with the chance of each offer speak "
            "for all customers; without it, what the shop chose and what its offers did cannot be told apart. Only "
            "training customers and weeks are used, and a decision only where all weeks that it is credited with lie "
            "in them."
        )
    ]
    if data["offers"]:
        blocks += [_used(data), _overlap(data)]
    return Section("feedback", "What bandits begin from", said, blocks)


def _used(data: Mapping[str, Any]) -> Note:
    left = "; ".join(f"{count:,} because {reason}" for reason, count in data["left_out"].items() if count)
    most = max(map(int, data["credited"]))
    return Note(
        f"Of the training customers and weeks {data['rounds']:,} decisions are used: {data['credited']['4']:,} where "
        f"an agent credits a decision with four weeks, {data['credited'][str(most)]:,} with {most}."
        + (f" Left out were {left}." if left else "")
    )


def _overlap(data: Mapping[str, Any]) -> Table:
    rows = [
        [
            row["offer"],
            f"{row['rounds']:,}",
            decimal(row["effective"], 0),
            "–" if row["least_pscore"] is None else decimal(row["least_pscore"], 3),
            f"{row['clipped']:,}",
        ]
        for row in data["offers"]
    ]
    return Table(
        "Overlap: how many decisions drawn at random those of an offer are worth, the least logged chance, and how "
        "many decisions would weigh so much that their weight was cut.",
        ["Offer", "Decisions", "Worth", "Least chance", "Cut"],
        rows,
    )
