"""The folder of a hand-over: requests, codes for the mailing, and notes in words. Only its owner may open it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from history.artifacts import write_json, write_text
from serving.platforms.campaign import Campaign, Platform
from serving.platforms.checkout.agreement import Agreement

REQUESTS: Final = "requests.json"
NOTES: Final = "notes.md"


def write_campaign(
    folder: Path, platform: Platform, campaign: Campaign, agreements: Sequence[Agreement], table: str
) -> None:
    """Write what a platform gets; the caller writes the manifest after it, so that a torn folder does not count.

    Args:
        folder: Where to; made where it is missing.
        platform: Whose campaign it is.
        campaign: The campaign, its payloads checked.
        agreements: How its offers are priced.
        table: Hash of the policy table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if campaign.requests:
        requests = [
            {"key": r.key, "path": r.path, "body": r.body, "awaits": r.awaits, "slot": list(r.slot)}
            for r in campaign.requests
        ]
        write_json(folder / REQUESTS, requests)
    for name, text in campaign.tables.items():
        write_text(folder / name, text)
    write_text(folder / NOTES, notes_text(platform, campaign, agreements, table))


def notes_text(platform: Platform, campaign: Campaign, agreements: Sequence[Agreement], table: str) -> str:
    """Return `notes.md`: what became of each offer, what the platform does otherwise, and how it prices."""
    lines = [
        f"# Campaign for {platform.name}",
        "",
        f"From the policy table {table[:12]}. {len(campaign.requests)} requests, nothing is sent without "
        "`hand_over.send=true`. Files with codes are worth money: keep them like money.",
        "",
        "## What became of the offers",
        "",
        "| offer | kind | customers | here |",
        "|---|---|---|---|",
        *(f"| {c.offer} | {c.kind.value} | {c.customers} | {c.standing.value} |" for c in campaign.coverage),
        "",
        "Native: the platform knows all terms. Emulated: some are stood in for, as said below. Left out: these "
        "customers get nothing through this platform.",
        "",
        "## What is otherwise here",
        "",
        *(f"- {note.offer or 'all offers'}, {note.about}: {note.text}" for note in campaign.notes),
        "",
        "## How carts are priced",
        "",
        "Random carts, priced from the payload as the platform documents it and by our promo arithmetic. Rounding "
        f"here: {platform.rounding}.",
        "",
        "| offer | carts | same cent | apart by rounding | at most [cents] | below the minimum | above the cap |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {a.offer} | {a.carts} | {a.equal} | {a.rounded} | {a.worst:g} | {a.refused} | {a.exceeded} |"
            for a in agreements
        ),
        "",
    ]
    return "\n".join(lines)
