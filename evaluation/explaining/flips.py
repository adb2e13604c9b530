"""What would change a decision: the smallest change of one number of a customer at which another offer is favoured.

A change is measured by the share of the customers who lie between: so weeks and money can be compared. It stays within
what was observed, all else stays as it is, and the offers that are allowed change with it where weeks without a visit
or contacts do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

import torch
from torch import Tensor

from evaluation.explaining.rule_shapley import Features, decide
from evaluation.ruling import Ruling

QUANTILES: Final = 19
"""Values of a number that are tried: so many quantiles of what was observed, evenly apart."""
NONE: Final = -1

Favoured = Callable[[str, Tensor, Tensor], Tensor]
"""Returns the offers that n customers would get if a number of theirs had these values: name, values, places."""


@dataclass(frozen=True, eq=False)
class Permitted:
    """Which offers n customers may get, and how that hangs on numbers that may change.

    Attributes:
        mask: Now, shape (n, n_offers), bool.
        free: If they had been away for long and were never contacted, same shape.
        away: Weeks without a visit that each offer asks for, shape (n_offers,).
        contact_cap: Contacts in 8 weeks from which there is no offer; None where the cap counts other weeks.
    """

    mask: Tensor
    free: Tensor
    away: Tensor
    contact_cap: int | None

    def when(self, name: str, values: Tensor, features: Features, rows: Tensor) -> Tensor:
        """Return the mask of some customers when a number of theirs is another, shape (len(rows), n_offers)."""
        weeks = values if name == "weeks_since_visit" else features["weeks_since_visit"][rows]
        contacts = values if name == "contacts_8w" else features["contacts_8w"][rows]
        if name not in ("weeks_since_visit", "contacts_8w") or (name == "contacts_8w" and self.contact_cap is None):
            return self.mask[rows]
        capped = self.mask.new_zeros(len(rows)) if self.contact_cap is None else contacts >= self.contact_cap
        allowed = self.free[rows] & (weeks.unsqueeze(1) >= self.away) & ~capped.unsqueeze(1)
        allowed[:, 0] = True
        return allowed


@dataclass(frozen=True, eq=False)
class Flips:
    """The smallest change of one number at which n customers would get another offer; shape (n,) each.

    Attributes:
        feature: Place of the number in `names`; `NONE` where no single change within what was observed does it.
        at_least, below: Where the number would have to lie; infinite for no limit. A single value stands in both.
        offer: What they would get then.
        moved: Share of the customers who lie between, in [0, 1]; infinite where there is no such change.
        names: Of the numbers that were tried.
    """

    feature: Tensor
    at_least: Tensor
    below: Tensor
    offer: Tensor
    moved: Tensor
    names: tuple[str, ...]

    @classmethod
    def none(cls, n: int, names: Sequence[str], device: torch.device) -> Self:
        whole = torch.full((n,), NONE, dtype=torch.int64, device=device)
        far = torch.full((n,), torch.inf, dtype=torch.float64, device=device)
        return cls(whole, -far, far, whole, far, tuple(names))

    def nearer(self, feature: int, limits: tuple[Tensor, Tensor], offer: Tensor, moved: Tensor) -> "Flips":
        """Return the same with another change where that is smaller."""
        better = moved < self.moved
        return Flips(
            torch.where(better, feature, self.feature),
            torch.where(better, limits[0], self.at_least),
            torch.where(better, limits[1], self.below),
            torch.where(better, offer, self.offer),
            torch.where(better, moved, self.moved),
            self.names,
        )


def flip_rules(rules: Sequence[Ruling], features: Features, permitted: Permitted) -> Flips:
    """Find the smallest change of one number at which the rules give another offer; exact.

    Between two neighbouring limits that the rules name the answer is the same, so each such stretch is tried once.

    Args:
        rules: The last has no limits.
        features: What is known of n customers, without gaps.
        permitted: What they may get.
    """
    rows = torch.arange(len(permitted.mask), device=permitted.mask.device)
    now = decide(rules, features, permitted.mask)
    names = tuple(sorted({name for rule in rules for name in rule.limits}))
    found = Flips.none(len(rows), names, rows.device)
    for place, name in enumerate(names):
        values = features[name].double()
        ordered = values.sort().values
        cuts = {limit for rule in rules for limit in rule.limits.get(name, ()) if limit is not None}
        if name == "weeks_since_visit":
            cuts |= {float(weeks) for weeks in permitted.away.tolist() if weeks > 0}
        for low, high in pairwise([-torch.inf, *sorted(cuts), torch.inf]):
            inside = ordered[(ordered >= low) & (ordered < high)]
            if not len(inside):  # nobody was ever seen there
                continue
            tried = inside[:1].expand(len(rows))
            mask = permitted.when(name, tried, features, rows)
            offer = decide(rules, {**features, name: tried}, mask)
            moved = torch.where(values < low, _between(ordered, values, low), _between(ordered, high, values))
            moved = torch.where((values >= low) & (values < high) | (offer == now), torch.inf, moved)
            limits = (torch.full_like(values, low), torch.full_like(values, high))
            found = found.nearer(place, limits, offer, moved)
    return found


def flip_policy(now: Tensor, favoured: Favoured, observed: Features, whole: Sequence[str]) -> Flips:
    """Find the smallest change of one number, among quantiles of what was observed, at which another offer is favoured.

    Args:
        now: What n customers are favoured with, shape (n,), int64.
        favoured: Says what they would be favoured with.
        observed: The numbers that are tried, as n customers have them.
        whole: Those of them that are whole numbers.
    """
    rows = torch.arange(len(now), device=now.device)
    found = Flips.none(len(now), tuple(observed), now.device)
    for place, (name, values) in enumerate(observed.items()):
        values = values.double()
        ordered = values.sort().values
        levels = torch.linspace(0.0, 1.0, QUANTILES + 2, dtype=torch.float64, device=now.device)[1:-1]
        picked = ordered[(levels * (len(ordered) - 1)).round().to(torch.int64)]
        for value in sorted({*(picked.round() if name in whole else picked).tolist()}):
            tried = torch.full_like(values, value)
            offer = favoured(name, tried, rows)
            moved = torch.where(values < value, _between(ordered, values, value), _between(ordered, value, values))
            moved = torch.where((values == value) | (offer == now), torch.inf, moved)
            found = found.nearer(place, (tried, tried), offer, moved)
    return found


def _between(ordered: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Return the share of the observed values from `low` to below `high`, shape (n,) or ()."""
    first, last = (
        torch.searchsorted(ordered, torch.as_tensor(limit, dtype=ordered.dtype, device=ordered.device).contiguous())
        for limit in (low, high)
    )
    return (last - first).double() / len(ordered)
