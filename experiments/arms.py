"""What a published table says of its arms."""

from typing import Any, Final

from experiments.drawing import Trial
from serving.arms import Arm

HASH: Final = 'HMAC-SHA256(key, "arm" NUL campaign NUL customer_id), eight bytes for each purpose; docs/policy-table.md'


def arms_entry(trial: Trial, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the manifest says of the arms; the key's fingerprint stands there, never the key."""
    notes = []
    if trial.parts[Arm.USUAL] == 0:
        notes.append("business as usual: not trained in this run, or given no share; the optimised arm has its share")
    if not all(row["within_budget"] for row in rows):
        notes.append("an arm is expected to cost more than its budget")
    return {
        "campaign": trial.key.campaign,
        "key": {"fingerprint": trial.key.fingerprint, "origin": trial.key.origin},
        "hash": HASH,
        "draw": f"offer {trial.day}",
        "floor": trial.floor,
        "arms": rows,
        "notes": notes,
    }


def arms_sentence(rows: list[dict[str, Any]]) -> str:
    """Say how many customers are in which arm."""
    count = {row["name"]: row["customers"] for row in rows}
    others = (
        (Arm.RANDOM, "get an offer at random"),
        (Arm.USUAL, "what the shop did so far"),
        (Arm.HOLDOUT, "none"),
    )
    beside = ", ".join(f"{count[arm.value]:,} {what}" for arm, what in others if count[arm.value])
    whole = f"The policy decides for {count[Arm.OPTIMISED.value]:,} of {sum(count.values()):,} customers"
    return f"{whole}; to compare it with, {beside}." if beside else f"{whole}."
