"""What the page says of the campaign that counts: dates, arms, budget, gain, offers and rules, from its manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serving.acts import Deed, Standing
from serving.online.ledger import MONEY, Left
from serving.online.tables import period_of
from serving.pages.language import Language
from serving.pages.phrases import say_rule
from serving.release import Release
from serving.rules import Segments


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    lo: float
    hi: float

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Interval":
        return cls(float(plain["value"]), float(plain["lo"]), float(plain["hi"]))


@dataclass(frozen=True)
class Share:
    """So many customers get an offer; `part` is their share of the largest such number, for a bar."""

    label: str
    customers: int
    share: float
    part: float
    nothing: bool


@dataclass(frozen=True)
class ArmRow:
    """One arm; `spent` and `held` are what redemptions took out of its budget so far, None where that is not known."""

    name: str
    share: float
    customers: int
    offers: int
    budget: float
    expected_cost: float
    spent: float | None
    held: float | None


@dataclass(frozen=True)
class RuleRow:
    number: int
    text: str
    label: str
    customers: int
    share: float
    uplift: Interval


@dataclass(frozen=True)
class Approval:
    """Who published a version and when, and who approved it."""

    by: str
    at: str
    approved_by: str
    approved_at: str
    changed: float | None


@dataclass(frozen=True)
class Overview:
    """What the first page shows of a release; money in `currency`, gain and cost per customer and week."""

    version: int
    percent: int
    previous: int | None
    campaign: str
    valid_from: str
    not_after: str
    customers: int
    offered: int
    currency: str
    budget: float
    budget_each: float
    mode: str
    uplift: Interval
    cost: Interval
    shares: tuple[Share, ...]
    arms: tuple[ArmRow, ...]
    rules: tuple[RuleRow, ...]
    agreement: float
    kept: float | None
    limits: tuple[str, ...]
    owner: str
    approval: Approval | None


def overview(release: Release, standing: Standing | None, left: Sequence[Left], words: Language) -> Overview:
    """Return what is to be shown of a release.

    Args:
        release: What counts.
        standing: What the acts say; None where nobody signed.
        left: What the ledger has of the budgets.
        words: The reader's language.
    """
    manifest = release.manifest
    catalog, arms = manifest["catalog"], manifest["arms"]
    figures = at_budget(manifest, published(manifest))
    segments = Segments.from_dict(manifest["rules"])
    shares = mix(manifest, published(manifest))
    card = manifest["model_card"]
    return Overview(
        version=release.version,
        percent=release.percent,
        previous=None if release.previous is None else release.previous.version,
        campaign=str(arms["campaign"]),
        valid_from=str(manifest["valid_from"]),
        not_after=str(manifest["not_after"]),
        customers=int(manifest["customers"]),
        offered=sum(one.customers for one in shares if not one.nothing),
        currency=str(catalog["currency"]),
        budget=float(figures["campaign"]),
        budget_each=float(figures["per_customer_week"]),
        mode=str(manifest["budget"].get("mode", "")),
        uplift=Interval.of(figures["uplift"]),
        cost=Interval.of(figures["cost"]),
        shares=shares,
        arms=tuple(_arms(manifest, left)),
        rules=tuple(_rules(segments, words)),
        agreement=segments.agreement,
        kept=segments.uplift_kept if segments.held_out is None else segments.held_out.uplift_kept,
        limits=tuple(str(one) for one in card.get("limits", ())),
        owner=str(card.get("owner", "")),
        approval=approval(standing, release.version),
    )


def labels_of(catalog: Mapping[str, Any]) -> dict[str, str]:
    """Return what marketers call each offer of a manifest's catalog, by name."""
    return {offer["name"]: str(offer["label"]) for offer in catalog["offers"]}


def published(manifest: Mapping[str, Any]) -> int:
    """Return the number of the budget that the table is made for."""
    return next(int(one["step"]) for one in manifest["budgets"] if one["published"])


def at_budget(manifest: Mapping[str, Any], step: int) -> Mapping[str, Any]:
    """Return what the manifest says of one of its budgets."""
    found: Mapping[str, Any] = next(one for one in manifest["budgets"] if one["step"] == step)
    return found


def mix(manifest: Mapping[str, Any], step: int) -> tuple[Share, ...]:
    """Return how many customers get each offer at one of the budgets, "no offer" first, then the most frequent."""
    offers, counts = manifest["catalog"]["offers"], at_budget(manifest, step)["offers"]
    total, most = max(sum(counts.values()), 1), max(*counts.values(), 1)
    rows = [
        Share(str(o["label"]), n, n / total, n / most, i == 0)
        for i, o in enumerate(offers)
        for n in [int(counts[o["name"]])]
    ]
    return (rows[0], *sorted(rows[1:], key=lambda row: -row.customers))


def approval(standing: Standing | None, version: int) -> Approval | None:
    """Return who published and who approved a version; None where no act says so."""
    act = None if standing is None else standing.published.get(version)
    if standing is None or act is None:
        return None
    agreed = [one for one in standing.acts if one.deed is Deed.APPROVE and one.version == version]
    who, when = (agreed[-1].by, agreed[-1].at) if agreed else ("", "")
    return Approval(act.by, act.at, who, when, act.changed)


def _arms(manifest: Mapping[str, Any], left: Sequence[Left]) -> list[ArmRow]:
    arms = manifest["arms"]
    money = {one.arm: one for one in left if one.period == period_of(manifest) and one.offer == MONEY}
    parts = max(sum(float(arm["parts"]) for arm in arms["arms"]), 1e-12)
    return [
        ArmRow(
            name=str(arm["name"]),
            share=float(arm["parts"]) / parts,
            customers=int(arm["customers"]),
            offers=int(arm["offers"]),
            budget=float(arm["budget"]),
            expected_cost=float(arm["expected_cost"]),
            spent=None if account is None else account.spent / 100,
            held=None if account is None else account.held / 100,
        )
        for arm in arms["arms"]
        for account in [money.get(arm["name"])]
    ]


def _rules(segments: Segments, words: Language) -> list[RuleRow]:
    return [
        RuleRow(
            rule.number,
            say_rule(rule, words),
            rule.offer_label,
            rule.customers,
            rule.share,
            Interval(rule.uplift, rule.uplift_lo, rule.uplift_hi),
        )
        for rule in segments.rules
    ]
