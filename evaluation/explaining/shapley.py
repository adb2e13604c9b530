"""Shapley values of what a policy does, for all customers at once: how much each group of features moves it.

The game of a customer x: of a coalition S of groups, the mean over a background of customers b of f at a row whose
groups in S are x's and whose others are b's (interventional, or marginal, expectation). The values of all groups sum to
f(x) less the mean of f over the background. Rows mixed like that need not be customers who could be: what is
attributed is what the policy computes, not what causes what in the world.

Every value is kept per background customer, so that whoever reads it can say how far it hangs on who these were.

References:
    Shapley, "A Value for n-Person Games", Contributions to the Theory of Games II, 1953.
    Janzing, Minorics & Bloebaum, "Feature relevance quantification in explainable AI: A causal problem", AISTATS 2020.
    Mitchell, Cooper, Frank & Holmes, "Sampling Permutations for Shapley Value Estimation", JMLR 23, 2022 (antithetic
    pairs: a permutation and its reverse).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import factorial
from typing import Final

import torch
from torch import Tensor

from campaigns.decision import Context
from campaigns.errors import InputError
from evaluation.explaining.players import PLAYERS, Table, take

ROWS: Final = 65_536
"""Rows that are put to the policy at a time."""
MOST_EXACT: Final = 10
"""Groups of which all coalitions are still gone through."""

Outcome = Callable[[Context[Tensor], Tensor], Tensor]
"""What is explained: from rows and the place of the customer whom each is about, shape (n,), to shape (n, k)."""


@dataclass(frozen=True, eq=False)
class Game:
    """What is explained, and against whom.

    Attributes:
        outcome: Of a row; the same row must always give the same.
        table: The groups.
        theirs: The customers who are explained, n rows.
        background: Whom they are held against, m rows.
    """

    outcome: Outcome
    table: Table
    theirs: Context[Tensor]
    background: Context[Tensor]

    @property
    def n(self) -> int:
        return len(self.theirs.price)

    @property
    def m(self) -> int:
        return len(self.background.price)


def exact(game: Game) -> Tensor:
    """Return every group's value against every background customer, shape (n, m, len(PLAYERS), k), float64.

    All coalitions of the groups that vary are gone through, so nothing is left to sampling but the background.

    Raises:
        InputError: Too many groups vary, or there is nobody to explain or to hold against.
    """
    active = _active(game)
    if len(active) > MOST_EXACT:
        raise InputError(f"shapley: {len(active)} groups vary; at most {MOST_EXACT} are gone through, sample instead")
    p = len(active)
    sizes = [factorial(s) * factorial(p - s - 1) / factorial(p) for s in range(p)]
    parts = []
    for theirs in _chunks(game):
        value = torch.stack([_value(game, theirs, _coalition(game, active, bits)) for bits in range(1 << p)])
        phi = value.new_zeros(*value.shape[1:3], len(PLAYERS), value.shape[3])
        for place, player in enumerate(active):
            for bits in range(1 << p):
                if not bits >> place & 1:
                    phi[:, :, player] += sizes[bits.bit_count()] * (value[bits | 1 << place] - value[bits])
        parts.append(phi)
    return torch.cat(parts)


def sampled(game: Game, seed: int, pairs: int = 1) -> Tensor:
    """Return an unbiased estimate of what `exact` returns, by antithetic pairs of permutations.

    Each background customer has `pairs` permutations and their reverses of its own, the same for every customer: so
    what is found of one does not hang on who else is asked about, or in how many parts.

    Raises:
        InputError: There is nobody to explain or to hold against.
    """
    active = _active(game)
    p, device = len(active), game.theirs.price.device
    generator = torch.Generator().manual_seed(seed)
    parts = []
    ranks = [torch.rand(game.m, max(p, 1), generator=generator).argsort(dim=1).to(device) for _ in range(pairs)]
    for theirs in _chunks(game):
        none = torch.zeros(1, len(PLAYERS), dtype=torch.bool, device=device)
        first, last = _value(game, theirs, none), _value(game, theirs, ~none)
        phi = first.new_zeros(*first.shape[:2], len(PLAYERS), first.shape[2])
        for rank in [one for forth in ranks for one in (forth, p - 1 - forth)]:
            before = first
            for step in range(p):
                come = torch.zeros(game.m, len(PLAYERS), dtype=torch.bool, device=device)
                come[:, list(active)] = rank <= step
                after = last if step == p - 1 else _value(game, theirs, come)
                who = torch.tensor(active, device=device)[(rank == step).to(torch.int64).argmax(dim=1)]
                place = who.view(1, -1, 1, 1).expand(len(after), -1, 1, after.shape[2])
                phi.scatter_add_(2, place, (after - before).unsqueeze(2))
                before = after
        parts.append(phi / (2 * pairs))
    return torch.cat(parts)


def mean_and_error(phi: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean over the background and its standard error, shape (n, players, k) each.

    Args:
        phi: As `exact` or `sampled` return it; of one background customer the error is not known, and infinite.
    """
    m = phi.shape[1]
    error = torch.full_like(phi[:, 0], torch.inf) if m < 2 else phi.std(dim=1) / m**0.5
    return phi.mean(dim=1), error


def _active(game: Game) -> tuple[int, ...]:
    if game.n == 0 or game.m == 0:
        raise InputError(f"shapley: {game.n} customers against {game.m}; expected one or more of each")
    return game.table.varying(game.theirs, game.background)


def _chunks(game: Game) -> Iterator[Tensor]:
    """Yield places of customers, as many as together with the background make `ROWS` rows."""
    yield from torch.split(torch.arange(game.n, device=game.theirs.price.device), max(ROWS // game.m, 1))


def _coalition(game: Game, active: tuple[int, ...], bits: int) -> Tensor:
    come = torch.zeros(1, len(PLAYERS), dtype=torch.bool)
    come[0, [player for place, player in enumerate(active) if bits >> place & 1]] = True
    return come.to(game.theirs.price.device)


def _value(game: Game, theirs: Tensor, come: Tensor) -> Tensor:
    """Return what comes of the customers' groups in `come` and the background's others, shape (len(theirs), m, k).

    Args:
        game: The game.
        theirs: Places of the customers.
        come: The coalition with each background customer, shape (m, players), or one for all, shape (1, players).
    """
    c, m = len(theirs), game.m
    mine = theirs.repeat_interleave(m)
    other = torch.arange(m, device=mine.device).repeat(c)
    wide = come if len(come) == 1 else come.repeat(c, 1)
    row = game.table.mix(take(game.theirs, mine), take(game.background, other), wide)
    found = game.outcome(row, mine).double()
    return found.view(c, m, found.shape[1])
