"""How much a customer leans on price cuts, against what the shop offers them: a ranking, not a response.

It says who buys more on promotion, and redeems more, than customers who meet as many promotions. It does not say what
they would do at another price: who buys on promotion may well have bought anyway. Only an experiment shows that.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from history.features import FEATURES, features, spend_rates
from history.state import State

PRIOR_SHARE = 0.1
"""Weight of the expectation in a customer's promotion share, as a share of the mean customer's spend; a convention."""


@dataclass(frozen=True, eq=False)
class PriceSensitivity:
    """What training customers do, to rank others by.

    Attributes:
        constant, slope: Expected promotion share, linear in the exposure of the customer's usual products; shape ().
        prior: Spend at which a customer's own share and the expectation weigh the same [currency per week], shape ().
        excess: Promotion share beyond the expectation of the training customers, ascending, shape (m,).
        redemptions: Their redemptions per week, ascending, shape (m,).
    """

    constant: Tensor
    slope: Tensor
    prior: Tensor
    excess: Tensor
    redemptions: Tensor


def fit_sensitivity(state: State) -> PriceSensitivity:
    """Learn what promotion share to expect at an exposure, weighted by spend, and how customers spread around it."""
    share, exposure, redemptions, spend = _habits(state)
    weight = spend / spend.sum().clamp(min=1e-9)
    centre, level = (weight * exposure).sum(), (weight * share).sum()
    spread = (weight * (exposure - centre) ** 2).sum()
    joint = (weight * (exposure - centre) * (share - level)).sum()
    slope = torch.where(spread > 1e-9, joint / spread.clamp(min=1e-9), torch.zeros_like(joint))
    prior = (PRIOR_SHARE * spend.mean()).clamp(min=1e-6)
    excess = _excess(share, exposure, spend, (level - slope * centre, slope, prior))
    return PriceSensitivity(level - slope * centre, slope, prior, excess.sort().values, redemptions.sort().values)


def score_sensitivity(score: PriceSensitivity, state: State) -> Tensor:
    """Return how price-sensitive a customer looks among the training customers, 0 least to 1 most; shape (n,).

    The mean of two ranks: promotion share beyond the expectation, and redemptions. Ties share their middle rank.
    """
    share, exposure, redemptions, spend = _habits(state)
    excess = _excess(share, exposure, spend, (score.constant, score.slope, score.prior))
    return (_rank(score.excess, excess) + _rank(score.redemptions, redemptions)) / 2


def promotion_shares(state: State) -> Tensor:
    """Return the share of spend on promotion, at a half-life of 13 weeks, shape (n,), 0..1."""
    return _habits(state)[0]


def _habits(state: State) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = features(state).double()
    share, exposure, redemptions = (
        rows[:, FEATURES.index(name)] for name in ("promo_share", "exposure", "redemption_rate")
    )
    return share.clamp(0.0, 1.0), exposure, redemptions, spend_rates(state)[:, 2].double()


def _excess(share: Tensor, exposure: Tensor, spend: Tensor, terms: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return the promotion share beyond the expectation, pulled to 0 where little was bought."""
    constant, slope, prior = terms
    return (share - constant - slope * exposure) * spend / (spend + prior)


def _rank(known: Tensor, values: Tensor) -> Tensor:
    # a habit that decays never reaches 0 exactly in float32, so values this close are ties
    low = torch.searchsorted(known, values - 1e-6, right=False)
    high = torch.searchsorted(known, values + 1e-6, right=True)
    return (low + high).double() / (2 * max(len(known), 1))
