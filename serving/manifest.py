"""What the manifest of a policy table must say: a table without it is not publishable."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from campaigns.errors import InputError
from serving.arms import PARTS, Arm
from serving.by_budget import check_budgets

MANIFEST_KEYS: Final = (
    "config",
    "data",
    "catalog",
    "budget",
    "budgets",
    "values",
    "provenance",
    "git_commit",
    "arms",
    "not_after",
    "evaluation",
    "model_card",
)
"""What the caller gives; `publish` adds version, rules, dates, counts and the hashes of the files.

Hashes of config and data, the catalog as plain data, budget with its price λ, ten others beside it, values with their
intervals, summary of provenance, git commit, arms, last day of use, what was measured on the held-out market, and the
model card.
"""
OWN_KEYS: Final = (
    "schema_version",
    "table_version",
    "files",
    "customers",
    "rules",
    "valid_from",
    "valid_to",
    "parts",
    "absent",
)
CARD_KEYS: Final = ("name", "owner", "use", "data_window", "population", "metrics", "limits", "expires")
"""Of the model card: what it is, who answers for it, what it is for, weeks of the data, whom it is about, metrics with
intervals, what it cannot do, and its last day."""
ARMS_KEYS: Final = ("campaign", "key", "hash", "floor", "arms")
ARM_KEYS: Final = ("name", "parts", "customers", "offers", "budget", "expected_cost", "stock")
_EMPTY: Final[tuple[Any, ...]] = (None, "", {}, [], ())


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Refuse a manifest that is not publishable.

    Raises:
        InputError: A field is missing or empty, is not plain JSON data, or contradicts another.
    """
    _require(manifest, MANIFEST_KEYS, "")
    for key in manifest:
        if key in OWN_KEYS:
            raise InputError(f"policy manifest: {key!r} is written when the table is published; remove it")
    _require(manifest["model_card"], CARD_KEYS, "model_card.")
    _require(manifest["arms"], ARMS_KEYS, "arms.")
    _require(manifest["arms"]["key"], ("fingerprint", "origin"), "arms.key.")
    for i, arm in enumerate(manifest["arms"]["arms"]):
        for key in ARM_KEYS:
            if key not in arm:
                raise InputError(f"policy manifest: 'arms.arms[{i}].{key}' is missing; the table is not publishable")
    _check_parts(manifest["arms"]["arms"])
    try:
        json.dumps(manifest, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"policy manifest: not plain JSON data ({error}); use text, finite numbers, lists") from None
    check_budgets(manifest["budgets"], manifest["budget"].get("price"))
    _day(manifest["not_after"], "not_after")
    if _day(manifest["model_card"]["expires"], "model_card.expires") < _day(manifest["not_after"], "not_after"):
        raise InputError(
            f"policy manifest: 'model_card.expires' {manifest['model_card']['expires']} lies before 'not_after' "
            f"{manifest['not_after']}; a table is not used after its model's last day"
        )


def _require(values: Any, keys: tuple[str, ...], within: str) -> None:
    for key in keys:
        if not isinstance(values, Mapping) or values.get(key) in _EMPTY:
            raise InputError(
                f"policy manifest: {within + key!r} is missing or empty; a table without it is not publishable"
            )


def _check_parts(arms: list[Mapping[str, Any]]) -> None:
    parts = {arm["name"]: arm["parts"] for arm in arms}
    if list(parts) != [arm.value for arm in Arm] or sum(parts.values()) != PARTS:
        found, expected = str(parts), ", ".join(arm.value for arm in Arm)
        raise InputError(f"policy manifest: arms have parts {found}; expected {expected}, of {PARTS} parts in all")


def _day(text: Any, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise InputError(f"policy manifest: {name!r} is {text!r}; expected a date, as in 2018-01-07") from None
