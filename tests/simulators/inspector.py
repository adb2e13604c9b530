"""An inspector who believes nothing but what happened: recomputes every limit of a campaign from its outcomes alone.

Nothing here reads the ledger, the mask, the live offers of the state or the catalog's columns. Who holds what, since
when, what was paid and what may still be owed is written down from the offers made and the redemptions seen, and
priced from the offers' own records.
"""

from collections import Counter, deque

import torch
from torch import Tensor

from campaigns.offers import Offer, OfferKind, Scope
from history.state import State
from simulators.promotion import open_wallet
from simulators.records import Market, MarketState, Outcome

CENT = 1.51
"""What a price is rounded by: its base to the nearest cent, what is taken off it down to a whole one [cents]."""


class Inspector:
    """Follows one campaign of n rows in g cohorts, and counts what was broken by the name of the limit."""

    def __init__(self, market: Market, start: State, cohorts: int, budget_cents: int) -> None:
        self._market, self._offers = market, market.catalog.offers
        self._cohorts, self._budget = cohorts, budget_cents
        self._cap, self._contact, self._weeks, self._absence = (
            torch.tensor([getattr(offer, name) for offer in self._offers])
            for name in ("cap_cents", "contact_cents", "weeks", "min_weeks_since_visit")
        )
        self._weeks[0] = 0
        window = market.rules.contact_window_weeks
        self._told: deque[Tensor] = deque(start.recent_contacts[:, : window - 1].flip(1).unbind(1), maxlen=window)
        self._silent = start.weeks_since_visit.clone()
        self._held = torch.zeros(start.n, dtype=torch.int64)
        self._left = torch.zeros(start.n, dtype=torch.int64)
        self._paid = torch.zeros(cohorts, dtype=torch.int64)
        self.steps = 0
        self.offers = 0
        self.redeemed = 0
        self.closest = 2**62
        """Least that any cohort's budget had left in the worst case [cents]."""
        self.broken: Counter[str] = Counter()

    def see(self, before: MarketState, outcome: Outcome, wanted: Tensor) -> None:
        """Take in a week: where customers stood, what happened and what was asked for, shape (n,)."""
        made, new = outcome.offer, outcome.offer > 0
        self._count("an offer that nobody asked for", new & (made != wanted))
        self._count("an offer to somebody who cannot be reached", new & ~before.here)
        if before.week >= self._market.horizon.campaign_weeks:
            self._count("an offer after the campaign", new)
        self._count("a second live offer", new & (self._left > 0))
        self._count("an offer to somebody who is not eligible", new & (self._silent < self._absence[made]))
        self._count("an offer below the margin floor", new & (self._earned(before, made) < 0))
        self._see_contacts(new)
        self._held = torch.where(new, made, self._held)
        self._left = torch.where(new, self._weeks[made], self._left)
        self._see_money(before, outcome)
        self._left = torch.where(outcome.redeemed, 0, (self._left - 1).clamp(min=0))
        self._held = torch.where(self._left > 0, self._held, 0)
        came = outcome.happened.baskets > 0
        self._silent = torch.where(before.here, torch.where(came, 0.0, self._silent + 1.0), self._silent)
        self.steps += len(made)
        self.offers += int(new.sum())
        self.redeemed += int(outcome.redeemed.sum())

    def _count(self, limit: str, broken: Tensor) -> None:
        if found := int(broken.sum()):
            self.broken[limit] += found

    def _see_contacts(self, new: Tensor) -> None:
        shops, cap = self._market.shops, self._market.rules.contact_cap
        self._told.append(new.float())
        of_person = torch.stack(list(self._told)).sum(dim=0).view(-1, shops).sum(dim=1)
        told_now = new.view(-1, shops).sum(dim=1)
        self._count("a contact beyond the cap", (told_now > 0) & (of_person > cap))
        self._count("two offers to one person in a week", told_now > 1)

    def _see_money(self, before: MarketState, outcome: Outcome) -> None:
        contact = torch.where(outcome.offer > 0, self._contact[outcome.offer], 0)
        cents = torch.round(outcome.realised_cost.double() * 100).to(torch.int64)
        paid = cents - contact
        holds = self._left > 0
        self._count("a redemption of nothing", outcome.redeemed & ~(holds & outcome.visited))
        self._count("money for no redemption", (paid != 0) & ~outcome.redeemed)
        self._count(
            "a redemption at another price than the offer's", outcome.redeemed & ~self._fair(before, outcome, paid)
        )
        self._count("a redemption beyond the face value", (paid < 0) | (paid > self._cap[self._held]))
        owed = self._paid + (contact + torch.where(holds, self._cap[self._held], 0)).view(self._cohorts, -1).sum(dim=1)
        self._count("a budget that the worst case passes", owed > self._budget)
        self.closest = min(self.closest, int((self._budget - owed).min()))
        self._paid = self._paid + cents.view(self._cohorts, -1).sum(dim=1)
        self._count("a budget that was overspent", self._paid > self._budget)
        for index, offer in enumerate(self._offers):
            if offer.stock is not None:
                most = max(round(offer.stock * self._market.stock_share), 1)
                sold = (outcome.redeemed & (self._held == index)).view(self._cohorts, -1).sum(dim=1)
                self._count("more sold than there was", sold > most)

    def _fair(self, before: MarketState, outcome: Outcome, paid: Tensor) -> Tensor:
        """Say where what was paid is what the held offer costs on the basket that was bought, to a cent of either."""
        wallet = open_wallet(self._market.categories, before.customer, before.promoted)
        basket = 100.0 * outcome.happened.spend.double() / outcome.happened.baskets.double().clamp(min=1.0)
        least, most = (
            self._price(self._held, near, near * wallet.share.double()) for near in (basket - CENT, basket + CENT)
        )
        return (least - CENT <= paid) & (paid <= most + CENT)

    def _earned(self, before: MarketState, made: Tensor) -> Tensor:
        """Return by how much the margin of the typical basket passes the floor once the offer is paid, [cents]."""
        wallet, floor = open_wallet(self._market.categories, before.customer, before.promoted), self._market.rules
        basket, margin = 100.0 * wallet.basket.double(), wallet.margin.double()
        cost = self._price(made, basket, basket * wallet.share.double())
        slack = CENT + 1e-4 * basket  # a margin is rounded to basis points
        return (margin - floor.margin_floor) * basket - cost + slack

    def _price(self, held: Tensor, basket: Tensor, category: Tensor) -> Tensor:
        """Return what each customer's offer costs on a basket [cents], offer by offer, in float64."""
        cost = torch.zeros_like(basket)
        for index, offer in enumerate(self._offers):
            base = category if offer.scope is Scope.CATEGORY else basket
            mine = held == index
            cost[mine] = _cost(offer, basket[mine], base[mine], self._market.catalog.max_total_discount)
        return cost


def _cost(offer: Offer, basket: Tensor, base: Tensor, most_share: float) -> Tensor:
    if offer.kind is OfferKind.NONE:
        return torch.zeros_like(basket)
    reached = (base >= offer.threshold_cents - 0.5) & (base >= 0.5)
    if offer.kind is OfferKind.GIFT:
        return offer.gift_cost_cents * reached.double()
    off = offer.depth * base if offer.depth else torch.full_like(base, float(offer.value_cents))
    return reached * torch.minimum(off.clamp(max=offer.cap_cents), torch.minimum(base, most_share * basket))
