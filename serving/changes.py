"""What changes from one version of a policy table to another: in numbers, and in words that a marketer can approve."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pandas as pd

from campaigns.offers import Catalog, Offer
from serving.rules import Segments
from serving.side_by_side import CODED, aligned, in_order, read_rows

MOST_MOVES: Final = 12
"""Changes of offers that the text lists."""


@dataclass(frozen=True)
class Move:
    """So many customers get `after` instead of `before`; names of the catalogs, or "" for not in the table."""

    before: str
    after: str
    customers: int


@dataclass(frozen=True)
class Figure:
    """One number in both versions; None where a version has none."""

    name: str
    before: float | None
    after: float | None


@dataclass(frozen=True, eq=False)
class Side:
    """One version, as far as it is compared.

    Attributes:
        pieces: Reads its rows: customer_id, offer, promoted_category, cost, uplift [currency]; one row per customer,
            in ascending order.
        manifest: Its manifest.
    """

    pieces: Callable[[], Iterator[pd.DataFrame]]
    manifest: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path, manifest: Mapping[str, Any]) -> Self:
        """Read the Parquet of a version that is verified."""
        return cls(partial(read_rows, folder, manifest), manifest)

    @classmethod
    def of(cls, rows: pd.DataFrame, manifest: Mapping[str, Any]) -> Self:
        """Compare rows in memory."""
        return cls(lambda: iter([in_order(rows)]), manifest)

    @property
    def catalog(self) -> Catalog:
        return Catalog.from_dict(self.manifest["catalog"])


@dataclass(frozen=True)
class Diff:
    """What changes between two versions.

    Attributes:
        before, after: Their numbers.
        currency: Of the later one.
        customers: Of both tables together.
        added, removed: Customers of only the later, only the earlier one.
        changed: Customers whose offer is another one, or has other terms; not being in a table is like no offer.
        promoted: Customers with the same offer on another category.
        moves: From which offer to which, most customers first; the same name twice where its terms changed.
        figures: Numbers of both: customers with an offer, expected cost and uplift, cost at worst, budgets.
        rules_added, rules_removed: Rules in words.
        catalog, settings: What else changes, a sentence each.
    """

    before: int
    after: int
    currency: str
    customers: int
    added: int
    removed: int
    changed: int
    promoted: int
    moves: tuple[Move, ...]
    figures: tuple[Figure, ...]
    rules_added: tuple[str, ...]
    rules_removed: tuple[str, ...]
    catalog: tuple[str, ...]
    settings: tuple[str, ...]

    @property
    def share(self) -> float:
        """Share of the customers whose decision changes."""
        return self.changed / self.customers

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON holds."""
        return {**asdict(self), "share": self.share}

    def text(self) -> str:
        """Return it in words, some lines."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield (
            f"From v{self.before:06d} to v{self.after:06d}, the decision for {self.changed:,} of {self.customers:,} "
            f"customers ({100 * self.share:.1f} %) changes."
        )
        for what, count in (("new in the table", self.added), ("no longer in it", self.removed)):
            if count:
                yield f"{count:,} customers are {what}."
        if self.promoted:
            yield f"{self.promoted:,} customers keep their offer, on another category."
        for move in self.moves[:MOST_MOVES]:
            yield f"  {move.customers:>9,}  {_called(move.before)} -> {_called(move.after)}{_same(move)}"
        rest = self.moves[MOST_MOVES:]
        if rest:
            yield f"  {sum(move.customers for move in rest):>9,}  in {len(rest)} other ways"
        for figure in self.figures:
            yield f"{figure.name}: {_change(figure)}"
        for what, rules in (("Rules that are new", self.rules_added), ("Rules that are gone", self.rules_removed)):
            yield from [f"{what}:", *(f"  {rule}" for rule in rules)] if rules else []
        yield from (f"Catalog: {sentence}" for sentence in self.catalog)
        yield from (f"Setting: {sentence}" for sentence in self.settings)


def compare(before: Side, after: Side, versions: tuple[int, int]) -> Diff:
    """Compare two versions.

    Args:
        before: The earlier one.
        after: The later one.
        versions: Their numbers.
    """
    code = after.catalog.currency
    counted, sums = _Count(), (_Sums(before.catalog), _Sums(after.catalog))
    for old, new in aligned(before.pieces(), after.pieces()):
        counted.add(_joined(_spelt_out(old), _spelt_out(new)), before.catalog, after.catalog)
        sums[0].add(old)
        sums[1].add(new)
    rules = [
        {f"{rule.text}: {rule.offer_label}": None for rule in Segments.from_dict(side.manifest["rules"]).rules}
        for side in (before, after)
    ]
    return Diff(
        *versions,
        currency=code,
        customers=counted.customers,
        added=counted.added,
        removed=counted.removed,
        changed=counted.changed,
        promoted=counted.promoted,
        moves=counted.by_size(),
        figures=tuple(_figures((before, after), sums, code)),
        rules_added=tuple(rule for rule in rules[1] if rule not in rules[0]),
        rules_removed=tuple(rule for rule in rules[0] if rule not in rules[1]),
        catalog=tuple(_catalog_changes(before.catalog, after.catalog)),
        settings=tuple(_setting_changes(before.manifest, after.manifest)),
    )


def changed_share(before: Side, after: Side) -> float:
    """Return the share of customers of either table whose offer is another one, or has other terms."""
    customers = changed = 0
    catalogs = before.catalog, after.catalog
    for old, new in aligned(before.pieces(), after.pieces()):
        both = _joined(old, new)
        customers += len(both)
        changed += int(_different(both, *catalogs).sum())
    return changed / customers


@dataclass
class _Count:
    """What changes, counted piece by piece."""

    customers: int = 0
    added: int = 0
    removed: int = 0
    changed: int = 0
    promoted: int = 0
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, both: pd.DataFrame, before: Catalog, after: Catalog) -> None:
        different, merged = _different(both, before, after), both["_merge"]
        self.customers += len(both)
        self.added += int((merged == "right_only").sum())
        self.removed += int((merged == "left_only").sum())
        self.changed += int(different.sum())
        other = both["category_before"] != both["category_after"]
        self.promoted += int((~different & (merged == "both") & other).sum())
        counts = both[different].groupby(["offer_before", "offer_after"]).size().reset_index()
        for old, new, count in counts.itertuples(index=False):
            self.moves[str(old), str(new)] += int(count)

    def by_size(self) -> tuple[Move, ...]:
        """Return the moves, most customers first."""
        moves = [Move(*between, count) for between, count in self.moves.items()]
        return tuple(sorted(moves, key=lambda move: (-move.customers, move.before, move.after)))


class _Sums:
    """Figures of one version, summed piece by piece."""

    def __init__(self, catalog: Catalog) -> None:
        self.given, self.cost, self.uplift, self.worst_cents = 0, 0.0, 0.0, 0
        self._nothing = catalog.names[0]
        self._cents = {offer.name: offer.worst_cents for offer in catalog.offers}

    def add(self, rows: pd.DataFrame) -> None:
        counts = rows["offer"].astype("str").value_counts()
        self.given += int(counts.drop(self._nothing, errors="ignore").sum())
        self.cost += float(rows["cost"].sum())
        self.uplift += float(rows["uplift"].sum())
        self.worst_cents += sum(self._cents[str(name)] * int(count) for name, count in counts.items())


def _spelt_out(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with text in place of categories."""
    return rows.astype(dict.fromkeys(CODED, "str"))


def _joined(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return one row per customer of either: offer and category before and after; "" where not in a table."""
    old, new = (
        rows[["customer_id", "offer", "promoted_category"]].rename(
            columns={"offer": f"offer_{when}", "promoted_category": f"category_{when}"}
        )
        for rows, when in ((before, "before"), (after, "after"))
    )
    if old["customer_id"].equals(new["customer_id"]):
        return pd.concat([old, new.drop(columns="customer_id")], axis=1).assign(_merge="both")
    coded = {name: "str" for name in (*old.columns, *new.columns) if name != "customer_id"}
    old, new = (rows.astype({name: kind for name, kind in coded.items() if name in rows}) for rows in (old, new))
    joined = old.merge(new, on="customer_id", how="outer", indicator=True, validate="one_to_one")
    return joined.assign(_merge=joined["_merge"].astype("str")).fillna("")


def _different(both: pd.DataFrame, before: Catalog, after: Catalog) -> "pd.Series[bool]":
    codes: dict[tuple[Any, ...], int] = {}

    def coded(names: "pd.Series[str]", catalog: Catalog) -> "pd.Series[int]":
        code = {offer.name: codes.setdefault(_terms(offer), len(codes)) for offer in catalog.offers}
        code[""] = codes[_terms(catalog.offers[0])]
        known = names.astype("category").cat
        return pd.Series(np.array([code[name] for name in known.categories])[known.codes], index=names.index)

    return coded(both["offer_before"], before) != coded(both["offer_after"], after)


def _terms(offer: Offer) -> tuple[Any, ...]:
    """Return what an offer is, apart from what it is called; every "no offer" is the same."""
    plain = asdict(offer)
    return tuple(value for name, value in plain.items() if name not in ("name", "label"))


def _figures(sides: tuple[Side, Side], sums: tuple[_Sums, _Sums], code: str) -> Iterator[Figure]:
    for name, of in (
        ("Customers with an offer", lambda one: float(one.given)),
        (f"Expected cost of these offers [{code}]", lambda one: one.cost),
        (f"Expected uplift of these offers, net of their cost [{code}]", lambda one: one.uplift),
        (f"What they may cost at worst [{code}]", lambda one: one.worst_cents / 100),
    ):
        yield Figure(name, of(sums[0]), of(sums[1]))
    budgets = [{arm["name"]: float(arm["budget"]) for arm in side.manifest["arms"]["arms"]} for side in sides]
    for name in dict.fromkeys([*budgets[0], *budgets[1]]):
        yield Figure(f"Budget of arm {name} [{code}]", budgets[0].get(name), budgets[1].get(name))


def _catalog_changes(before: Catalog, after: Catalog) -> Iterator[str]:
    old, new = ({offer.name: asdict(offer) for offer in catalog.offers} for catalog in (before, after))
    for name in [name for name in old if name not in new]:
        yield f"{name!r} ({old[name]['label']}) is gone"
    for name, offer in new.items():
        if name not in old:
            yield f"{name!r} ({offer['label']}) is new"
        else:
            yield from (
                f"{name!r} has {term} {_plain(value)} instead of {_plain(old[name][term])}"
                for term, value in offer.items()
                if value != old[name][term]
            )
    for term in ("currency", "max_total_discount"):
        if getattr(before, term) != getattr(after, term):
            yield f"{term} is {getattr(after, term)} instead of {getattr(before, term)}"


def _setting_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    old, new = (dict(_settings(manifest)) for manifest in (before, after))
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield f"{name} is {_plain(new.get(name))} instead of {_plain(old.get(name))}"


def _settings(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a marketer set, or what says which policy it is."""
    for key in ("valid_from", "valid_to", "not_after"):
        yield key, manifest.get(key)
    for key in ("mode", "price", "per_customer_week"):
        yield f"budget.{key}", manifest["budget"].get(key)
    for key in ("agent", "seed"):
        yield f"policy.{key}", manifest.get("policy", {}).get(key)
    for key in ("campaign", "floor"):
        yield f"arms.{key}", manifest["arms"].get(key)
    for arm in manifest["arms"]["arms"]:
        yield f"parts of arm {arm['name']}", arm["parts"]
    rules = manifest["config"].get("values", {}).get("rules", {})
    yield from ((f"rules.{key}", value) for key, value in rules.items())


def _plain(value: Any) -> str:
    return "nothing" if value is None else f"{getattr(value, 'value', value)}"


def _called(offer: str) -> str:
    return offer or "(not in the table)"


def _same(move: Move) -> str:
    return ", on other terms" if move.before == move.after else ""


def _number(value: float | None) -> str:
    if value is None:
        return "nothing"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def _change(figure: Figure) -> str:
    if figure.before == figure.after:
        return f"{_number(figure.after)}, as before"
    both = f"{_number(figure.before)} -> {_number(figure.after)}"
    if figure.before is None or figure.after is None:
        return both
    change = figure.after - figure.before
    share = f", {100 * change / figure.before:+.1f} %" if figure.before else ""
    return f"{both} ({change:+,.2f}{share})"
