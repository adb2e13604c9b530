"""What a policy sees of the market: standardised features, the mask and the budget price, for a batch of customers."""

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from campaigns.decision import Context, ObservationLayout
from history.features import FEATURES, features
from simulators.lift import expected_saving
from simulators.market import Market, MarketState, allowed_offers
from simulators.promotion import open_wallet

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
        saving = tuple(f"saving_{name}" for name in market.catalog.names[1:])
        return ObservationLayout((*FEATURES, *CAMPAIGN_FEATURES, *saving), market.catalog.names)

    def to(self, device: torch.device | str) -> "Observer":
        return replace(self, mean=self.mean.to(device), scale=self.scale.to(device))

    def observe(self, market: Market, state: MarketState, price: Tensor) -> Context[Tensor]:
        """Return what is known of n customers before the week.

        Args:
            market: The world.
            state: Of n customers.
            price: Budget price λ [USD/USD], shape (n,).
        """
        customer = (features(state.customer) - self.mean) / self.scale
        rows = torch.cat([customer, self._campaign(market, state), self._savings(market, state)], dim=1)
        return Context(rows.clamp(-MAX_FEATURE, MAX_FEATURE), allowed_offers(market, state), price)

    def _campaign(self, market: Market, state: MarketState) -> Tensor:
        wallet = open_wallet(market.categories, state.customer, state.promoted)
        weeks = market.horizon.campaign_weeks
        left = torch.full_like(wallet.basket, max(weeks - state.week, 0) / weeks)
        return torch.stack(
            [
                (state.weeks_left > 0).to(torch.float32),
                state.weeks_left.to(torch.float32) / 4.0,
                left,
                torch.log1p(wallet.basket) - 3.0,
                wallet.share * 3.0,
                (wallet.margin - 0.28) * 20.0,
            ],
            dim=1,
        )

    def _savings(self, market: Market, state: MarketState) -> Tensor:
        """Return log1p of what each offer would save the customer [USD], shape (n, n_actions - 1)."""
        wallet = open_wallet(market.categories, state.customer, state.promoted)
        columns = [
            expected_saving(market.columns, torch.full_like(state.offer, index), wallet)
            for index in range(1, market.n_actions)
        ]
        return torch.log1p(torch.stack(columns, dim=1))
