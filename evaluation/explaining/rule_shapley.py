"""Exact Shapley values of a list of rules: the same game as `evaluation.explaining.shapley`, in closed form.

A rule fires where all of its conditions hold: a product of one 0-or-1 factor per group. Held against one background
customer, a group either holds for both, for x alone (set A), for b alone (set C) or for neither (the product is 0). The
value of a group of A is then (|A|-1)! |C|! / (|A|+|C|)!, of a group of C minus |A|! (|C|-1)! / (|A|+|C|)!, of any other
0. Rules that exclude one another add up, and the catch-all is what they leave.

References:
    Lundberg et al., "From local explanations to global understanding with explainable AI for trees", Nature Machine
    Intelligence 2, 2020 (interventional TreeSHAP).
    Laberge & Pequignot, "Understanding Interventional TreeSHAP: How and Why it Works", arXiv 2209.15123, 2022.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import factorial, inf
from typing import Final

import torch
from torch import Tensor

from campaigns.errors import InputError
from evaluation.explaining.players import PLAYERS, Player, player_of
from evaluation.ruling import Ruling

Features = Mapping[str, Tensor]
"""What rules may ask of customers, shape (n,) each."""
_ALLOWED: Final = PLAYERS.index(Player.ALLOWED)


class RuleGame:
    """Rules held against a background of customers."""

    def __init__(self, rules: Sequence[Ruling], worth: Tensor) -> None:
        """Check the rules.

        Args:
            rules: They exclude one another; the last has no limits.
            worth: What is explained of each offer, shape (n_offers, k); of "no offer", the first, 0.

        Raises:
            InputError: Two rules can hold at once, or the last one has limits.
        """
        for (i, one), (j, other) in combinations(enumerate(rules[:-1]), 2):
            if _overlap(one, other):
                raise InputError(f"rules {i + 1} and {j + 1} can hold at once; their tree is needed to explain them")
        if rules[-1].limits:
            raise InputError(f"rules: the last one has limits {dict(rules[-1].limits)}; expected the catch-all")
        self._rules, self._worth = rules, worth.double()

    def values(self, theirs: tuple[Features, Tensor], background: tuple[Features, Tensor]) -> Tensor:
        """Return every group's value against every background customer, shape (n, m, len(PLAYERS), k), float64.

        Args:
            theirs, background: What is known of n and of m customers, and the offers they are allowed.
        """
        *others, rest = self._rules
        shape = len(theirs[1]), len(background[1]), len(PLAYERS), self._worth.shape[1]
        phi = torch.zeros(shape, dtype=torch.float64, device=theirs[1].device)
        instead = [(one, offer, sign) for one in others for offer, sign in ((one.offer, 1.0), (rest.offer, -1.0))]
        for rule, offer, sign in [(rest, rest.offer, 1.0), *instead]:
            if bool(self._worth[offer].any()):
                held = (holds(rule, offer, *one) for one in (theirs, background))
                phi += product_values(*held).unsqueeze(3) * (sign * self._worth[offer]).to(phi.device)
        return phi


def decide(rules: Sequence[Ruling], features: Features, mask: Tensor) -> Tensor:
    """Return the offer of the first rule that fits, none where that is forbidden, shape (n,), int64."""
    action = torch.zeros(len(mask), dtype=torch.int64, device=mask.device)
    for rule in reversed(rules):  # the first that fits is written last
        hit = torch.ones_like(mask[:, 0])
        for name, limits in rule.limits.items():
            hit &= within(features[name], limits)
        action = torch.where(hit, rule.offer, action)
    return action * mask.gather(1, action.unsqueeze(1)).squeeze(1)


def within(values: Tensor, limits: tuple[float | None, float | None]) -> Tensor:
    """Return whether at least <= value < below, shape (n,)."""
    low, high = _limits(limits)
    return (values >= low) & (values < high)


def holds(rule: Ruling, offer: int, features: Features, mask: Tensor) -> Tensor:
    """Return for each group whether all that the rule asks of it is met, shape (n, len(PLAYERS)), bool."""
    met = torch.ones(len(mask), len(PLAYERS), dtype=torch.bool, device=mask.device)
    for name, limits in rule.limits.items():
        met[:, PLAYERS.index(player_of(name))] &= within(features[name], limits)
    met[:, _ALLOWED] &= mask[:, offer]
    return met


def product_values(theirs: Tensor, background: Tensor) -> Tensor:
    """Return the Shapley values of a product of factors that are 0 or 1, shape (n, m, p), float64.

    Args:
        theirs, background: Each player's factor, shape (n, p) and (m, p), bool.
    """
    x, b = theirs.unsqueeze(1), background.unsqueeze(0)
    mine, other = x & ~b, b & ~x
    alive = (x | b).all(dim=2)
    a, c = mine.sum(dim=2), other.sum(dim=2)
    p = theirs.shape[1]
    kernel = [[_weight(i, j) for j in range(p + 1)] for i in range(p + 1)]
    table = torch.tensor(kernel, dtype=torch.float64, device=theirs.device)
    won, lost = (table[i, j] * alive for i, j in ((a, c), (c, a)))
    return won.unsqueeze(2) * mine - lost.unsqueeze(2) * other


def _weight(own: int, against: int) -> float:
    """Return (own-1)! against! / (own+against)!; 0 where there are none of their own."""
    return factorial(own - 1) * factorial(against) / factorial(own + against) if own else 0.0


def _limits(limits: tuple[float | None, float | None]) -> tuple[float, float]:
    low, high = limits
    return -inf if low is None else low, inf if high is None else high


def _overlap(one: Ruling, other: Ruling) -> bool:
    """Return whether some customer can meet both."""
    for name in set(one.limits) & set(other.limits):
        (a, b), (c, d) = _limits(one.limits[name]), _limits(other.limits[name])
        if max(a, c) >= min(b, d):
            return False
    return True
