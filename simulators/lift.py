"""What a live offer does to a customer, under the assumed effects: monotone in what it saves, by construction."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from campaigns.arithmetic import eligible_cents, promo_cents
from campaigns.offers import OfferColumns
from history.features import saved_share
from simulators.priors import Reach
from simulators.promotion import Wallet, to_cents
from simulators.records import MarketState
from simulators.response import Baseline


@dataclass(frozen=True, eq=False)
class Lift:
    """Effect of the live offer and of earlier ones, each shape (n,)."""

    visit_logit: Tensor  # added to the logit of a visit, >= 0
    spend_log: Tensor  # added to the mean log spend
    redeem_chance: Tensor  # chance to redeem in a week with a visit, 0 without a live offer
    carryover: Tensor  # share of induced habit that is causal


def live_terms(columns: OfferColumns, offer: Tensor) -> OfferColumns:
    """Return the terms of each customer's offer, shape (n,) each."""
    return columns.to(lambda column: column.index_select(0, offer))


def measure_lift(terms: OfferColumns, state: MarketState, wallet: Wallet) -> Lift:
    """Return what the live offers, by their terms, and the memory of earlier ones do this week.

    The pull of an offer grows with the log of what it would save on the customer's typical basket, fades over the
    offer's life and with the number of recent contacts; savings of the past lower what a basket at full price is worth
    (reference price) and stand in the pantry (stockpiling), both measured against the shadow.
    """
    effects, live = state.effects.at(state.week), (state.weeks_left > 0).to(torch.float32)
    saving = live * _saving(terms, slice(None), wallet.basket, wallet.basket * wallet.share)
    tired = effects.fatigue * state.customer.recent_contacts.sum(dim=1)
    pull = torch.exp(torch.log(effects.salience) * state.age - tired)
    kind = terms.kind.unsqueeze(1)
    hazard = (
        state.redeem_hazard
        + effects.redeem_shift.gather(1, kind).squeeze(1)
        + effects.redeem_slope * torch.log(saving.clamp(min=0.05))
    )
    week = wallet.week.clamp(min=5.0)
    pantry = (state.customer.pantry - state.shadow.pantry) / week
    return Lift(
        visit_logit=effects.visit.gather(1, kind).squeeze(1) * reached_log(effects.reach, kind, saving) * pull,
        spend_log=effects.spend * reached_share(effects.reach, (saving / week).clamp(max=1.0)) * pull
        - effects.reference_price * (saved_share(state.customer) - saved_share(state.shadow)).clamp(min=0.0)
        - effects.stockpiling * pantry.clamp(0.0, 1.0),
        redeem_chance=live * torch.sigmoid(hazard),
        carryover=effects.carryover,
    )


def reached_log(reach: Reach | None, kind: Tensor, saving: Tensor) -> Tensor:
    """Return log1p(saving), bent by a draw where it lies outside what the history's offers of the kind saved.

    Equal to log1p(saving) in the mean above the support and inside it, rising everywhere, and 0 at 0.

    Args:
        reach: Support and draws, or None where nothing was learned.
        kind: Place in `OfferKind`, shape (n, 1), int64.
        saving: USD, shape (n,).
    """
    log = torch.log1p(saving)
    if reach is None:
        return log
    floor, ceiling = (ends.gather(1, kind).squeeze(1) for ends in (reach.floor, reach.ceiling))
    stretch = reach.stretch.gather(1, kind).squeeze(1)
    above = torch.minimum(log, ceiling) + stretch * (log - ceiling).clamp(min=0.0)
    share = (log / floor.clamp(min=1e-6)).clamp(max=1.0)
    return torch.where(log < floor, floor * torch.exp(stretch * torch.log(share)), above)


def reached_share(reach: Reach | None, share: Tensor) -> Tensor:
    """Return the share of a week's spend that is saved, bent by a draw where none such was ever seen, shape (n,)."""
    if reach is None:
        return share
    return torch.minimum(share, reach.share_ceiling) + reach.share_stretch * (share - reach.share_ceiling).clamp(
        min=0.0
    )


def apply_lift(both: Baseline, lift: Lift) -> Baseline:
    """Let habit that offers induced count only as far as it is causal, then add the offer's own lift.

    Args:
        both: Of the customers as they are and of their shadows, each shape (2, n); the shadows stay as they are.
        lift: Of the customers.
    """
    own, shadow = both.apart()
    share = lift.carryover
    touched = Baseline(
        visit_logit=torch.lerp(shadow.visit_logit, own.visit_logit, share) + lift.visit_logit,
        extra_baskets=torch.lerp(shadow.extra_baskets, own.extra_baskets, share),
        spend_log_mean=torch.lerp(shadow.spend_log_mean, own.spend_log_mean, share) + lift.spend_log,
        spend_log_sd=shadow.spend_log_sd,
    )
    return touched.beside(shadow)


def expected_saving(columns: OfferColumns, offer: Tensor, wallet: Wallet) -> Tensor:
    """Return what an offer is worth to a customer on the typical basket [USD], shape (n,).

    A threshold above the typical basket is priced as if it were reached, times the square of how near it is; a gift
    counts at its cost to the shop.
    """
    return _saving(columns, offer, wallet.basket, wallet.basket * wallet.share)


def every_saving(columns: OfferColumns, wallet: Wallet) -> Tensor:
    """Return `expected_saving` of every offer of the catalog, shape (n, n_offers)."""
    return _saving(columns, (slice(None), None), wallet.basket, wallet.basket * wallet.share).T


def _saving(columns: OfferColumns, offer: Any, basket: Tensor, category: Tensor) -> Tensor:
    threshold, cents = columns.threshold[offer], to_cents(basket)
    base = torch.maximum(cents, threshold)
    eligible = eligible_cents(columns, offer, base, to_cents(category))
    worth = promo_cents(columns, offer, base, eligible).cost / 100.0
    near = (cents / threshold.clamp(min=1)).clamp_(max=1.0).square_()
    saving: Tensor = worth * torch.where(threshold > 0, near, 1.0)
    return saving
