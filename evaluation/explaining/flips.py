"""What would change a decision: the smallest change of one number of a customer at which another offer is favoured.

A change is measured by the share of the customers whom it passes: so weeks and money can be compared. It stays within
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
"""Values of a number that are tried: so many quantiles of what was observed, evenly apart, in two digits."""
NONE: Final = -1
WEEKS: Final = "weeks_since_visit"
CONTACTS: Final = "contacts_8w"

Favoured = Callable[[str, Tensor, Tensor], Tensor]
"""Returns the offers that n customers would get if a number of theirs had these values: name, values, places."""


@dataclass(frozen=True, eq=False)
class Permitted:
    """Which offers n customers may get, and how that hangs on numbers that may change.

    Attributes:
        mask: Now, shape (n, n_offers), bool.
        free: If they had been away for long, and never contacted where `contact_cap` is given, same shape.
        away: Weeks without a visit that each offer asks for, shape (n_offers,).
        contact_cap: Contacts in 8 weeks from which there is no offer; None where the cap counts other weeks.
    """

    mask: Tensor
    free: Tensor
    away: Tensor
    contact_cap: int | None

    def when(self, name: str, values: Tensor, features: Features, rows: Tensor) -> Tensor:
        """Return the mask of some customers when a number of theirs is another, shape (len(rows), n_offers)."""
        hangs_on = (WEEKS,) if self.contact_cap is None else (WEEKS, CONTACTS)
        known = {one: features[one][rows] for one in hangs_on if name in hangs_on}
        if name not in known:
            return self.mask[rows]
        known[name] = values
        allowed = self.free[rows] & (known[WEEKS].unsqueeze(1) >= self.away)
        if self.contact_cap is not None:
            allowed &= (known[CONTACTS] < self.contact_cap).unsqueeze(1)
        allowed[:, 0] = True
        return allowed

    def cuts(self, name: str) -> set[float]:
        """Return the values of a number at which what is allowed changes."""
        if name == WEEKS:
            return {float(weeks) for weeks in self.away.tolist() if weeks > 0}
        return {float(self.contact_cap)} if name == CONTACTS and self.contact_cap is not None else set()


@dataclass(frozen=True, eq=False)
class Flips:
    """The smallest change of one number at which n customers would get another offer; shape (n,) each.

    Attributes:
        feature: Place of the number in `names`; `NONE` where no single change within what was observed does it.
        at_least, below: Where the number would have to lie; infinite for no limit. A single value stands in both.
        offer: What they would get then.
        moved: Share of the customers who lie strictly between, in [0, 1]; infinite where there is no such change.
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

    Between two neighbouring limits of rules and offers the answer is the same, so each such stretch is tried once.

    Args:
        rules: The last has no limits.
        features: What is known of n customers, without gaps.
        permitted: What they may get.
    """
    rows = torch.arange(len(permitted.mask), device=permitted.mask.device)
    now = decide(rules, features, permitted.mask)
    asked = {name for rule in rules for name in rule.limits}
    names = tuple(sorted(asked | ({WEEKS} if permitted.cuts(WEEKS) else set())))
    found = Flips.none(len(rows), names, rows.device)
    for place, name in enumerate(names):
        values = features[name].double()
        ordered = values.sort().values
        below = _below(ordered, values)
        limits_named = {limit for rule in rules for limit in rule.limits.get(name, ()) if limit is not None}
        for low, high in pairwise([-torch.inf, *sorted(limits_named | permitted.cuts(name)), torch.inf]):
            inside = ordered[(ordered >= low) & (ordered < high)]
            if not len(inside):  # nobody was ever seen there
                continue
            tried = inside[:1].expand(len(rows))
            mask = permitted.when(name, tried, features, rows)
            offer = decide(rules, {**features, name: tried}, mask)
            limits = torch.full_like(values, low), torch.full_like(values, high)
            up, down = _below(ordered, limits[0]) - _up_to(ordered, values), below - _below(ordered, limits[1])
            moved = torch.where(values < low, up, down)
            moved = torch.where((values >= low) & (values < high) | (offer == now), torch.inf, moved)
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
        below = _below(ordered, values)
        levels = torch.linspace(0.0, 1.0, QUANTILES + 2, dtype=torch.float64, device=now.device)[1:-1]
        picked = ordered[(levels * (len(ordered) - 1)).round().to(torch.int64)]
        for value in sorted({_readable(one, name in whole) for one in picked.tolist()}):
            tried = torch.full_like(values, value)
            offer = favoured(name, tried, rows)
            up, down = _below(ordered, tried) - _up_to(ordered, values), below - _up_to(ordered, tried)
            moved = torch.where(values < value, up, down)
            moved = torch.where((values == value) | (offer == now), torch.inf, moved)
            found = found.nearer(place, (tried, tried), offer, moved)
    return found


def contact_cap_ends(contacts: Tensor, cap: int) -> Tensor:
    """Return the weeks until the contact cap no longer binds if nothing is sent until then, 0 where it does not bind.

    Args:
        contacts: Of each week of the window, the newest first, shape (n, weeks).
        cap: Contacts within the window from which there is no offer; 0 ends never, and 0 is returned.
    """
    counted = torch.cat([torch.zeros_like(contacts[:, :1]), contacts.cumsum(dim=1)], dim=1).flip(1)
    return (counted < cap).to(torch.int64).argmax(dim=1)


def _readable(value: float, whole: bool) -> float:
    """Return a number as people would say it, so that what is told is what was tried: whole, or two digits."""
    return float(round(value)) if whole else float(f"{value:.2g}")


def _below(ordered: Tensor, limit: Tensor) -> Tensor:
    """Return the share of the observed values below a limit, in the limit's shape."""
    return torch.searchsorted(ordered, limit).double() / len(ordered)


def _up_to(ordered: Tensor, limit: Tensor) -> Tensor:
    return torch.searchsorted(ordered, limit, right=True).double() / len(ordered)
