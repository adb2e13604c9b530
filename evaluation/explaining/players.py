"""What a decision is explained by: the features of a customer in groups that people know, and what is allowed.

A group moves as a whole. Its columns say one thing several times over (visits at four half-lives), so a change of one
of them alone would be a customer who cannot be; and the rules, which ask for other numbers, are asked about the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import torch
from torch import Tensor

from campaigns.decision import SAVING, Context


class Player(StrEnum):
    """A group of what a decision is made from; the value is its name in files."""

    RHYTHM = "rhythm"  # when and how often they visit
    VALUE = "value"  # what they spend, and so what an offer would save them
    PROMOTION = "promotion"  # what they buy on promotion, redeem and save
    CONTACTS = "contacts"  # what was sent to them
    TASTE = "taste"  # how they divide their spend, and what of it an offer would promote
    CLOCK = "clock"  # how much of the campaign is left
    PRICE = "price"  # what money costs: λ
    ALLOWED = "allowed"  # which offers the shop's rules leave
    OTHER = "other"  # features that this module does not know


PLAYERS: Final = tuple(Player)
_STARTS: Final = {
    Player.RHYTHM: ("weeks_since_visit", "visit_rate_", "visits_per_week", "basket_rate", "weeks_seen"),
    Player.VALUE: ("spend_", "basket_", "margin", SAVING),
    Player.PROMOTION: (
        "promo_share", "saving_share", "redemption_rate", "weeks_since_redemption", "exposure", "pantry",
    ),
    Player.CONTACTS: ("weeks_since_contact", "contacts_8w", "live_offer", "live_weeks_left"),
    Player.TASTE: ("taste_focus", "promoted_share"),
    Player.CLOCK: ("campaign_left",),
}  # fmt: skip
_EXACT: Final = {"basket_rate": Player.RHYTHM, "saving_share": Player.PROMOTION}
"""Names that begin like those of another group."""


def player_of(feature: str) -> Player:
    """Return the group of a feature of the policy, or of the rules, by its name."""
    if feature in _EXACT:
        return _EXACT[feature]
    return next((player for player, starts in _STARTS.items() if feature.startswith(starts)), Player.OTHER)


@dataclass(frozen=True, eq=False)
class Table:
    """Where each group stands in a context.

    Attributes:
        columns: Place in `PLAYERS` of each feature's group, shape (n_features,), int64.
    """

    columns: Tensor

    @classmethod
    def of(cls, feature_names: Sequence[str]) -> "Table":
        return cls(torch.tensor([PLAYERS.index(player_of(name)) for name in feature_names]))

    def varying(self, one: Context[Tensor], other: Context[Tensor]) -> tuple[int, ...]:
        """Return the places in `PLAYERS` of the groups in which not all of these customers are alike.

        All others have no part in who gets what, and their Shapley value is 0.
        """
        both = [torch.cat(pair) for pair in zip(_parts(one), _parts(other), strict=True)]
        features, mask, price = ((part != part[:1]).any(dim=0) for part in both)
        found = {int(self.columns[column]) for column in features.nonzero().flatten().tolist()}
        found |= {PLAYERS.index(Player.ALLOWED)} if bool(mask.any()) else set()
        found |= {PLAYERS.index(Player.PRICE)} if bool(price.any()) else set()
        return tuple(sorted(found))

    def mix(self, theirs: Context[Tensor], others: Context[Tensor], from_theirs: Tensor) -> Context[Tensor]:
        """Return rows whose groups are partly one customer's, partly another's.

        Args:
            theirs, others: n rows each.
            from_theirs: Which groups are `theirs`, shape (n, len(PLAYERS)) or (1, len(PLAYERS)), bool.
        """
        wide = from_theirs[:, self.columns.to(from_theirs.device)]
        allowed, price = (from_theirs[:, PLAYERS.index(one)] for one in (Player.ALLOWED, Player.PRICE))
        return replace(
            theirs,
            features=torch.where(wide, theirs.features, others.features),
            mask=torch.where(allowed.unsqueeze(1), theirs.mask, others.mask),
            price=torch.where(price, theirs.price, others.price),
        )


def take(context: Context[Tensor], rows: Tensor) -> Context[Tensor]:
    """Return the rows named by `rows`, shape (m,), int64."""
    return Context(*(part.index_select(0, rows) for part in _parts(context)))


def _parts(context: Context[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    return context.features, context.mask, context.price
