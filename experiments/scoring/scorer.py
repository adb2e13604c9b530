"""A scorer: all that decides for customers who are read from files, kept as data so that any machine can take it up."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch

from agents.agent import TrainedPolicy
from agents.registry import restore
from campaigns.decision import Context, ObservationLayout, OfferFeatures
from campaigns.errors import InputError
from campaigns.offers import Catalog
from evaluation.budget import BudgetMode
from evaluation.gains import GainModel, Gains
from experiments.drawing import Asked, Drawn, Limit, Trial, ask
from experiments.rows import Shop, decision_rows
from experiments.scoring.customers import Customers, write_customers
from experiments.scoring.lots import Lots
from history.artifacts import hash_file, read_json, read_tensors, write_json, write_tensors
from serving.arms import Arm, CampaignKey
from serving.reasons import basket_column
from serving.rules import Segments
from serving.table import customer_rows

SETTINGS: Final = "scorer.json"
SAID: Final = "policy.json"
"""What the exported table says of itself."""
CUSTOMERS: Final = "customers"
"""Folder of the parts that `export` leaves."""
_KEYS: Final = (
    "layout", "policies", "gains", "catalog", "rules", "thirds", "limit", "campaign_weeks", "trial", "known", "files",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Parts:
    """What a scorer is written from.

    Attributes:
        shop: What all customers share.
        policy: Of the optimised arm.
        limit: The budget.
        weeks: Of the campaign.
        gains: What every offer brings.
        layout: Of what the policy sees.
        manifest: What the exported table says of itself: all of it but its rows goes for every table of the scorer.
    """

    shop: Shop
    policy: TrainedPolicy
    limit: Limit
    weeks: int
    gains: GainModel
    layout: ObservationLayout
    manifest: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Scorer(Parts):
    """Decides for customers of a shop.

    Attributes:
        known: Columns of the customers in units that people read.
        hash: Of the files that it was read from.
    """

    known: tuple[str, ...]
    hash: str

    def ask(self, customers: Customers) -> tuple[Asked, Gains]:
        """Let the lot fall for some customers, and say what every offer would bring them."""
        features = torch.from_numpy(np.array(customers.features))
        prices = torch.full((len(features),), self.limit.price)
        context = Context(features, torch.from_numpy(customers.mask), prices)
        ids = customers.profiles["customer_id"].tolist()
        with torch.no_grad():
            asked = ask(self.policy, self.shop.trial, self.shop.catalog, context, ids)
            return asked, self.gains.score(features).within(self.shop.catalog)

    def rows(self, lots: Lots, drawn: Drawn) -> pd.DataFrame:
        """Return customers' rows of the policy table."""
        goes_out = drawn.offer > 0
        expected = {name: np.where(goes_out, value, 0.0) for name, value in lots.expected.items()}
        decisions = decision_rows(self.shop, lots.profiles, drawn, expected, lots.blocked)
        return customer_rows(self.shop.catalog, decisions, self.shop.trial.day)


def leave_scorer(folder: Path, parts: Parts, customers: Customers) -> None:
    """Write a scorer, and beside it the customers whom the policy table is about, as the first part of many."""
    known = known_columns(parts.shop.segments, customers.profiles)
    write_scorer(folder, parts, known)
    profiles = customers.profiles[[*known, "customer_id", "category", "items"]]
    write_customers(folder / CUSTOMERS / "part-00000.parquet", replace(customers, profiles=profiles))


def write_scorer(folder: Path, parts: Parts, known: Sequence[str]) -> None:
    """Write a scorer; the key of the arms is not written, only its fingerprint."""
    trial, files = parts.shop.trial, {}
    policies = {"policy": parts.policy} | ({} if trial.usual is None else {"usual": trial.usual})
    for name, policy in policies.items():
        write_tensors(folder / f"{name}.safetensors", policy.tensors())
    write_tensors(folder / "gains.safetensors", parts.gains.tensors())
    write_json(folder / SAID, parts.manifest)
    for name in (SAID, *(f"{name}.safetensors" for name in (*policies, "gains"))):
        files[name] = hash_file(folder / name)
    settings = {
        "layout": asdict(parts.layout),
        "policies": {name: {"kind": policy.kind, "meta": policy.meta()} for name, policy in policies.items()},
        "gains": parts.gains.meta(),
        "catalog": parts.shop.catalog.to_dict(),
        "rules": parts.shop.segments.to_dict(),
        "thirds": list(parts.shop.thirds),
        "limit": {**asdict(parts.limit), "mode": parts.limit.mode.value},
        "campaign_weeks": parts.weeks,
        "trial": {
            "campaign": trial.key.campaign,
            "fingerprint": trial.key.fingerprint,
            "parts": {arm.value: part for arm, part in trial.parts.items()},
            "floor": trial.floor,
            "day": str(trial.day),
        },
        "known": list(known),
        "files": files,
    }
    write_json(folder / SETTINGS, settings)


def read_scorer(folder: Path, key: CampaignKey) -> Scorer:
    """Read a scorer back.

    Args:
        folder: Of `write_scorer`.
        key: Of the arms.

    Raises:
        InputError: A file is missing or altered, or the key is another one.
    """
    plain = read_json(folder / SETTINGS)
    missing = [name for name in _KEYS if name not in plain]
    if missing:
        raise InputError(f"{folder / SETTINGS}: {missing[0]!r} is missing; export the policy again")
    if SAID not in plain["files"]:
        raise InputError(f"{folder / SETTINGS}: names no {SAID}; export the policy again")
    for name, expected in plain["files"].items():
        if not (folder / name).is_file() or hash_file(folder / name) != expected:
            raise InputError(f"{folder / name}: not the file that was written with {SETTINGS}; export the policy again")
    told = plain["trial"]
    if key.campaign != told["campaign"]:
        raise InputError(
            f"{folder / SETTINGS}: campaign is {told['campaign']!r}, not {key.campaign!r}; name the same one"
        )
    if key.fingerprint != told["fingerprint"]:
        raise InputError(
            f"{folder / SETTINGS}: the arms were drawn with the key {told['fingerprint']}, this one ({key.origin}) is "
            f"{key.fingerprint}; give the same key"
        )
    layout = _layout(plain["layout"])
    policies = {
        name: restore(said["kind"], layout, said["meta"], read_tensors(folder / f"{name}.safetensors"))
        for name, said in plain["policies"].items()
    }
    parts = {Arm(name): part for name, part in told["parts"].items()}
    trial = Trial(key, parts, told["floor"], policies.get("usual"), date.fromisoformat(told["day"]))
    low, high = plain["thirds"]
    limit = plain["limit"]
    return Scorer(
        shop=Shop(Catalog.from_dict(plain["catalog"]), trial, Segments.from_dict(plain["rules"]), (low, high)),
        policy=policies["policy"],
        limit=Limit(BudgetMode(limit["mode"]), limit["per_customer_week"], limit["price"]),
        weeks=plain["campaign_weeks"],
        gains=GainModel(layout, read_tensors(folder / "gains.safetensors"), plain["gains"]),
        layout=layout,
        manifest=read_json(folder / SAID),
        known=tuple(plain["known"]),
        hash=hash_file(folder / SETTINGS),
    )


def known_columns(segments: Segments, profiles: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns of profiles that rules and descriptions name."""
    named = {condition.feature for rule in segments.rules for condition in rule.conditions}
    told = {"weeks_since_visit", "visits_per_week", "promo_share", basket_column(profiles)}
    return tuple(name for name in profiles.columns if name in named | told)


def _layout(plain: Mapping[str, Any]) -> ObservationLayout:
    offers = plain["offers"]
    rows = tuple(tuple(row) for row in offers["rows"])
    return ObservationLayout(
        tuple(plain["feature_names"]), tuple(plain["action_names"]), OfferFeatures(tuple(offers["names"]), rows)
    )
