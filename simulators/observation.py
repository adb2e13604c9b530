"""What a policy sees of the market: standardised features, the mask and the budget price, for a batch of customers."""

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from campaigns.decision import SAVING, Context, ObservationLayout
from campaigns.describe import offer_features
from history.features import FEATURES
from simulators.lift import every_saving
from simulators.market import Market, MarketState, Sight
from simulators.promotion import Wallet

CAMPAIGN_FEATURES: Final = ("live_offer", "live_weeks_left", "campaign_left", "basket_usd", "promoted_share", "margin")
MAX_FEATURE: Final = 10.0


@dataclass(frozen=True, eq=False)
class Observer:
    """Standardises the customers' features by what the training customers look like.

    Attributes:
        mean, scale: Of `FEATURES` over the training split, shape (n_features,).
    """

    mean: Tensor
    scale: Tensor

    def layout(self, market: Market) -> ObservationLayout:
        saving = tuple(SAVING + name for name in market.catalog.names[1:])
        names = (*FEATURES, *CAMPAIGN_FEATURES, *saving)
        return ObservationLayout(names, market.catalog.names, offer_features(market.catalog))

    def to(self, device: torch.device | str) -> "Observer":
        return replace(self, mean=self.mean.to(device), scale=self.scale.to(device))

    def observe(self, market: Market, state: MarketState, sight: Sight, price: Tensor) -> Context[Tensor]:
        """Return what is known of n customers before the week.

        Args:
            market: The world.
            state: Of n customers.
            sight: What `look` said of it.
            price: Budget price λ [USD/USD], shape (n,).
        """
        customer = (sight.features - self.mean) / self.scale
        saving = torch.log1p(every_saving(market.columns, sight.wallet)[:, 1:])
        rows = torch.cat([customer, _campaign(market, state, sight.wallet), saving], dim=1)
        return Context(rows.clamp(-MAX_FEATURE, MAX_FEATURE), sight.mask, price)


def _campaign(market: Market, state: MarketState, wallet: Wallet) -> Tensor:
    """Return the columns `CAMPAIGN_FEATURES`, each brought near unit scale by a fixed constant."""
    weeks = market.horizon.campaign_weeks
    left = torch.full_like(wallet.basket, max(weeks - state.week, 0) / weeks)
    columns = [
        (state.weeks_left > 0).to(torch.float32),
        state.weeks_left.to(torch.float32) / 4.0,
        left,
        torch.log1p(wallet.basket) - 3.0,
        wallet.share * 3.0,
        (wallet.margin - 0.28) * 20.0,
    ]
    return torch.stack(columns, dim=1)
