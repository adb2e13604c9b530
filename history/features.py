"""Features: what a response model or a policy sees of a customer's state before the week's decision."""

import math
from typing import Final

import torch
from torch import Tensor

from history.state import (
    HABIT_HALF_LIFE,
    TASTE_HALF_LIFE,
    VISIT_HALF_LIVES,
    State,
    decay_of,
    visit_gains,
)

FEATURES: Final = (
    "weeks_since_visit",
    *(f"visit_rate_{h:g}w" for h in VISIT_HALF_LIVES),
    *(f"spend_{h:g}w" for h in VISIT_HALF_LIVES),
    "basket_rate",
    "spend_per_active_week",
    "promo_share",
    "saving_share",
    "redemption_rate",
    "weeks_since_contact",
    "contacts_8w",
    "weeks_since_redemption",
    "exposure",
    "pantry",
    "taste_focus",
    "weeks_seen",
)
"""Names of the columns of `features`; counts, baskets, money and clocks are log1p'd, other rates and shares plain."""


HABIT: Final = VISIT_HALF_LIVES.index(HABIT_HALF_LIFE)


def features(state: State) -> Tensor:
    """Return what may be seen of n customers, shape (n, len(FEATURES)), float32, laid out column by column."""
    corrections = _corrections(state)
    habit = corrections[:, HABIT]
    habit_spend = torch.maximum(state.spend_average[:, HABIT], 1e-2 * habit)
    columns = [
        torch.log1p(state.weeks_since_visit),
        *(state.visit_average / corrections).unbind(dim=1),
        *(state.spend_average / corrections).log1p_().unbind(dim=1),
        (state.basket_average / habit).log1p_(),
        spend_per_active_week(state).log1p_(),
        state.promo_average / habit_spend,
        state.saving_average / habit_spend,
        state.redeemed_average / habit,
        torch.log1p(state.weeks_since_contact),
        state.recent_contacts.sum(dim=1),
        torch.log1p(state.weeks_since_redemption),
        state.exposure_average / habit,
        torch.log1p(state.pantry),
        state.category_average.square().sum(dim=1) / _category_total(state).square_(),
        torch.log1p(state.weeks_seen),
    ]
    return torch.stack(columns).T


def visit_rates(state: State) -> Tensor:
    """Return the average visits per week at each half-life, shape (n, len(VISIT_HALF_LIVES))."""
    return state.visit_average / _corrections(state)


def spend_rates(state: State) -> Tensor:
    """Return the average spend per week at each half-life [USD], shape (n, len(VISIT_HALF_LIVES))."""
    return state.spend_average / _corrections(state)


def spend_per_active_week(state: State) -> Tensor:
    """Return the spend of a week with a visit, averaged at a half-life of 13 weeks [USD], shape (n,)."""
    return state.spend_average[:, 2] / state.visit_average[:, 2].clamp(min=1e-3)


def saved_share(state: State) -> Tensor:
    """Return the share of spend that coupons and other targeted offers saved, shape (n,)."""
    return state.saving_average / torch.maximum(state.spend_average[:, HABIT], _correction(state, HABIT_HALF_LIFE))


def basket_rate(state: State) -> Tensor:
    """Return the average number of baskets per week at a half-life of 13 weeks, shape (n,)."""
    return state.basket_average / _correction(state, HABIT_HALF_LIFE)


def exposure_rate(state: State) -> Tensor:
    """Return the average share of the customer's usual products on feature or display, shape (n,)."""
    return state.exposure_average / _correction(state, HABIT_HALF_LIFE)


def taste(state: State) -> Tensor:
    """Return each category's share of the customer's spend, shape (n, n_categories); rows sum to 1, or to 0."""
    return state.category_average * _category_total(state).reciprocal_().unsqueeze(1)


def _category_total(state: State) -> Tensor:
    """Return the weekly spend in all categories, at least a trace, in the scale of their raw average, shape (n,)."""
    trace = _correction(state, TASTE_HALF_LIFE).mul_(1e-6)
    return torch.maximum(state.category_average.sum(dim=1), trace)


def _correction(state: State, half_life: float) -> Tensor:
    return _seen_share(state.weeks_seen * math.log(decay_of(half_life)))


def _corrections(state: State) -> Tensor:
    log_decays = torch.log1p(-visit_gains(state.weeks_seen.device))
    return _seen_share(torch.outer(log_decays, state.weeks_seen)).T


def _seen_share(log_left: Tensor) -> Tensor:
    return log_left.exp_().neg_().add_(1.0).clamp_(min=1e-6)
